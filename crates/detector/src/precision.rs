//! How exactly a network computes.

use std::fmt;
use std::str::FromStr;

/// The numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    F32,
    /// Halves, bfloat16, with sums in single precision. The picture, what attention reads and makes, and the network's
    /// outputs are in single precision.
    Bf16,
    /// Bytes: weights with a scale for each output channel, activations with one for each layer, sums in 32 bits. The
    /// picture and the network's outputs are in single precision.
    Int8,
}

impl Precision {
    const ALL: [Self; 3] = [Self::F32, Self::Bf16, Self::Int8];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A precision that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown precision {0:?}; known are f32, bf16 and int8")]
pub struct UnknownPrecision(pub String);

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| UnknownPrecision(name.into()))
    }
}
