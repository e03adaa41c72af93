//! One convolution layer: convolution, bias, activation and, where asked, a residual sum.
//!
//! [`Conv2d`] is the seam: networks know it alone. On the processor it runs as one candle `CustomOp` over
//! tiles of output pixels (`tiled`); on other devices through candle's own convolution.

mod candle;
mod columns;
mod matrix;
#[cfg(test)]
mod tests;
mod tiled;

use std::num::NonZeroUsize;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

use candle::CandleConv;
use tiled::TiledConv;

/// A function applied to every output value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Activation {
    /// The value itself.
    Identity,
    /// `max(v, 0)`.
    Relu,
    /// `v` where positive, `slope * v` elsewhere; the slope lies in `0..=1`.
    LeakyRelu(f32),
}

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
    fn padding(&self) -> usize {
        (self.kernel - 1) / 2
    }

    /// Output pixels of an axis of `length` input pixels.
    fn output_length(&self, length: usize) -> usize {
        length.div_ceil(self.stride)
    }

    /// Values that one output value is the weighted sum of.
    pub(crate) fn depth(&self) -> usize {
        self.in_channels * self.kernel * self.kernel
    }
}

/// When a residual is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Residual {
    /// `activation(convolution + residual)`, as in ResNet.
    BeforeActivation,
    /// `activation(convolution) + residual`, as in Darknet.
    AfterActivation,
}

/// What computes convolutions.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// Tiles of output pixels on the threads of a pool.
    Tiled(Arc<ThreadPool>),
    /// candle's own convolution on a device.
    Candle(Device),
}

impl Engine {
    /// The engine for processors, with threads of its own: `threads`, or as many as this process may use.
    pub(crate) fn tiled(threads: Option<NonZeroUsize>) -> std::result::Result<Self, ThreadPoolBuildError> {
        let threads =
            threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("detector-{index}"))
            .build()?;
        Ok(Self::Tiled(Arc::new(pool)))
    }
}

/// A convolution with its weights.
#[derive(Debug)]
pub(crate) enum Conv2d {
    /// On the processor.
    Tiled(TiledConv),
    /// Through candle's own operations.
    Candle(CandleConv),
}

impl Conv2d {
    /// A layer of the given shape: `weight` in the order out, in, row, column; one `bias` value for each
    /// output channel.
    ///
    /// # Errors
    ///
    /// If the lengths do not fit the shape, or the device has no memory left.
    pub(crate) fn new(
        engine: &Engine,
        geometry: Geometry,
        activation: Activation,
        weight: Vec<f32>,
        bias: Vec<f32>,
    ) -> Result<Self> {
        if weight.len() != geometry.out_channels * geometry.depth() || bias.len() != geometry.out_channels {
            candle_core::bail!("{} weights and {} biases do not fit {geometry:?}", weight.len(), bias.len());
        }
        Ok(match engine {
            Engine::Tiled(pool) => {
                Self::Tiled(TiledConv::new(geometry, activation, weight, bias, Arc::clone(pool)))
            }
            Engine::Candle(device) => {
                Self::Candle(CandleConv::new(geometry, activation, weight, bias, device)?)
            }
        })
    }

    /// `[batch, in, height, width]` to `[batch, out, ceil(height / stride), ceil(width / stride)]`, in `f32`.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<Tensor> {
        match self {
            Self::Tiled(conv) => input.apply_op1_no_bwd(conv),
            Self::Candle(conv) => conv.forward(input, None),
        }
    }

    /// As [`Conv2d::forward`], with `residual` of the output's shape added.
    pub(crate) fn forward_residual(
        &self,
        input: &Tensor,
        residual: &Tensor,
        when: Residual,
    ) -> Result<Tensor> {
        match self {
            Self::Tiled(conv) => input.apply_op2_no_bwd(residual, &conv.with_residual(when)),
            Self::Candle(conv) => conv.forward(input, Some((residual, when))),
        }
    }
}
