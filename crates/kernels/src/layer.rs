//! What the loops over layers are told of them.

use serde::{Deserialize, Serialize};

/// A function applied to every output value of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// The value itself.
    Identity,
    /// `max(v, 0)`.
    Relu,
    /// `v` where positive, `slope * v` elsewhere; the slope lies in `0..=1`.
    LeakyRelu(f32),
    /// `v / (1 + exp(-v))` (Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units", 2018).
    Silu,
}

/// When a residual is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// `activation(convolution + residual)`, as in ResNet.
    BeforeActivation,
    /// `activation(convolution) + residual`, as in Darknet.
    AfterActivation,
}

/// The window of a maximum. An axis of `n` pixels becomes `ceil(n / stride)`; pixels outside of the picture count
/// for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width in pixels.
    pub size: usize,
    /// Distance of neighbouring outputs in input pixels, on both axes.
    pub stride: usize,
    /// Pixels of the first window that lie before the picture, on both axes; fewer than `size`.
    pub before: usize,
}
