//! What the layers of a network are, whatever computes them.

use kernels::Activation;
use serde::{Deserialize, Serialize};

/// The shape of a convolution. Its padding follows from it: of the `kernel - 1` zero pixels that each axis
/// needs in total, `(kernel - 1) / 2` come before the picture and the rest after. An axis of `n` pixels
/// becomes `ceil(n / stride)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Channels that go in.
    pub(crate) in_channels: usize,
    /// Channels that come out.
    pub(crate) out_channels: usize,
    /// Height and width of the kernel in pixels; odd.
    pub(crate) kernel: usize,
    /// Distance of neighbouring outputs in input pixels, on both axes.
    pub(crate) stride: usize,
}

impl Geometry {
    /// Zero pixels before the first row and column.
    pub(crate) fn padding(&self) -> usize {
        (self.kernel - 1) / 2
    }

    /// Output pixels of an axis of `length` input pixels.
    pub(crate) fn output_length(&self, length: usize) -> usize {
        length.div_ceil(self.stride)
    }

    /// Values that one output value is the weighted sum of.
    pub(crate) fn depth(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }

    /// Number of weights.
    pub(crate) fn weights(&self) -> usize {
        self.out_channels * self.depth()
    }
}

/// What follows a convolution in a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Norm {
    /// Batch norm; or a bias, where it has been folded already.
    Batch,
    /// A bias.
    Bias,
    /// Nothing; or a bias.
    None,
}

/// One convolution of a network, as the model file names it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConvSpec {
    /// Its name, unique in the network.
    pub(crate) name: String,
    pub(crate) geometry: Geometry,
    pub(crate) norm: Norm,
    pub(crate) activation: Activation,
}
