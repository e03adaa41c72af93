//! How exactly a network computes.

use std::fmt;
use std::str::FromStr;

use candle_core::DType;

/// The numbers that a network computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Single precision.
    F32,
    /// Halves, IEEE 754's, on GPUs, with sums in single precision unless cuDNN computes them. Attention computes in single
    /// precision. Of a value's size, 0.05 % may get lost where it is stored; none may be larger than 65504.
    F16,
    /// Halves, bfloat16, with sums in single precision. Attention computes in single precision. Of a value's size, 0.4 % may
    /// get lost where it is stored. On the processor, the picture and the network's outputs are in single precision.
    Bf16,
    /// Bytes: weights with a scale for each output channel, activations with one for each layer, sums in 32 bits. The
    /// picture and the network's outputs are in single precision.
    Int8,
}

impl Precision {
    const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }

    /// What layers are stored as where candle's own operations compute; there are none of bytes.
    pub(crate) fn dtype(self) -> DType {
        match self {
            Self::F16 => DType::F16,
            Self::Bf16 => DType::BF16,
            Self::F32 | Self::Int8 => DType::F32,
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
#[error("unknown precision {0:?}; known are f32, f16, bf16 and int8")]
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
