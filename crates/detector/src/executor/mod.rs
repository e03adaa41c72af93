//! What computes a network's graph.

pub(crate) mod candle;
pub(crate) mod cpu;
#[cfg(test)]
mod definition;
#[cfg(all(test, feature = "cuda"))]
mod gpu_tests;
mod heads;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use heads::ByteRow;
pub(crate) use heads::{Head, Outputs, PictureMut};

use crate::graph::{ConvSpec, Graph, Size};

/// A convolution's weights in the order out, in, row, column, and a bias for each output channel.
pub(crate) type Weights = (Vec<f32>, Vec<f32>);

/// What computes networks.
#[derive(Debug, Clone)]
pub(crate) enum Engine {
    /// The processor, with kernels for its instruction set.
    Cpu(cpu::Settings),
    /// A device, through candle's own operations.
    Candle(candle::Settings),
}

/// Why a network cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The processor's kernels cannot compute it, or not now.
    #[error(transparent)]
    Cpu(#[from] cpu::Error),
    /// The device has no room for its weights.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// A network ready to run.
#[derive(Debug)]
pub(crate) enum Executor {
    /// On the processor.
    Cpu(Box<cpu::Program>),
    /// On a device.
    Candle(Box<candle::Layers>),
}

impl Executor {
    /// Makes `graph` ready for pictures of `size`; `weights` is asked for each convolution in turn.
    ///
    /// # Errors
    ///
    /// Those of `weights`, and if the engine cannot compute the graph, or lacks threads or memory.
    pub(crate) fn new<E: From<Error>>(
        engine: &Engine,
        graph: &Graph,
        size: Size,
        weights: &mut dyn FnMut(&ConvSpec) -> std::result::Result<Weights, E>,
    ) -> std::result::Result<Self, E> {
        Ok(match engine {
            Engine::Cpu(settings) => Self::Cpu(Box::new(cpu::Program::new(graph, size, settings, weights)?)),
            Engine::Candle(settings) => {
                Self::Candle(Box::new(candle::Layers::new(graph, size, settings, weights)?))
            }
        })
    }

    /// Runs the network on a batch: `fill` is called for each picture, `read` once with the outputs.
    ///
    /// # Errors
    ///
    /// If the device fails.
    pub(crate) fn run<T>(
        &self,
        batch: usize,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
        read: impl FnOnce(&dyn Outputs) -> T,
    ) -> Result<T> {
        match self {
            Self::Cpu(program) => Ok(program.run(batch, fill, read)),
            Self::Candle(layers) => layers.run(batch, fill, read),
        }
    }

    /// Runs the network, which computes on the processor in single precision, on one picture, and calls `see` with the output
    /// of each convolution by its number. A device's is not seen.
    #[cfg(feature = "detect")]
    pub(crate) fn observe(
        &self,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
        see: &mut dyn FnMut(usize, &Head<'_>),
    ) {
        if let Self::Cpu(program) = self {
            program.observe(fill, see);
        }
    }

    /// The raw outputs, each `[batch, channels, rows, columns]`, of pictures `[batch, 3, height, width]` of RGB in
    /// `0..=1`.
    ///
    /// # Errors
    ///
    /// If the pictures have another shape, or the device fails.
    pub(crate) fn forward(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        match self {
            Self::Cpu(program) => program.forward(pictures),
            Self::Candle(layers) => layers.forward(pictures),
        }
    }
}
