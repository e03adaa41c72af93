//! The instruction sets that there are kernels for.

use std::fmt;
use std::str::FromStr;

/// Vector instructions of a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstructionSet {
    /// AVX-512F: 16 values a vector.
    Avx512,
    /// AVX2 with FMA: 8 values.
    Avx2,
    /// NEON of 64-bit ARM: 4 values.
    Neon,
    /// What the compiler makes of plain code, on any processor.
    Portable,
}

impl InstructionSet {
    const ALL: [Self; 4] = [Self::Avx512, Self::Avx2, Self::Neon, Self::Portable];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        }
    }
}

impl fmt::Display for InstructionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An instruction set that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown instruction set {0:?}; known are avx512, avx2, neon and portable")]
pub struct UnknownInstructionSet(pub String);

impl FromStr for InstructionSet {
    type Err = UnknownInstructionSet;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|set| set.name() == name).ok_or_else(|| UnknownInstructionSet(name.into()))
    }
}
