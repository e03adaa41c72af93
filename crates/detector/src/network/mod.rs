//! How the convolutions of a family are joined.
//!
//! A network is generic over its layer type: built with [`Conv2d`] it runs; built with anything else it
//! enumerates its convolutions in order, which is how a model file is checked before a weight is read.

mod darknet53;
mod head;
mod resnet18;
#[cfg(test)]
mod tests;

use candle_core::{Result, Tensor};

use crate::Family;
use crate::conv::{Activation, Conv2d, Geometry};
use darknet53::Darknet53;
use resnet18::Resnet18;

/// What follows a convolution in a model file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub(crate) name: String,
    pub(crate) geometry: Geometry,
    pub(crate) norm: Norm,
    pub(crate) activation: Activation,
}

/// The sizes that a model file chooses within a family.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) family: Family,
    /// Multiplies every channel count but the picture's and the outputs'.
    pub(crate) width: f64,
    pub(crate) classes: usize,
}

impl Scale {
    /// `channels` of the full network at this width: a multiple of 8, at least 8.
    pub(crate) fn channels(&self, channels: usize) -> usize {
        (8.0 * (channels as f64 * self.width / 8.0).ceil()).max(8.0) as usize
    }

    /// Channels of a head's output: box, objectness and classes for each of three anchors.
    pub(crate) fn outputs(&self) -> usize {
        3 * (5 + self.classes)
    }
}

/// Makes the layers of a network from their specifications.
pub(crate) struct Builder<'a, L, E> {
    scale: Scale,
    layer: &'a mut dyn FnMut(ConvSpec) -> std::result::Result<L, E>,
}

impl<L, E> Builder<'_, L, E> {
    /// A convolution from `input` to `output` channels, both as the network has them (not scaled further).
    fn conv(
        &mut self,
        name: impl Into<String>,
        (in_channels, out_channels): (usize, usize),
        (kernel, stride): (usize, usize),
        norm: Norm,
    ) -> std::result::Result<L, E> {
        let activation = match norm {
            Norm::Batch => self.scale.family.activation(),
            Norm::Bias | Norm::None => Activation::Identity,
        };
        let geometry = Geometry { in_channels, out_channels, kernel, stride };
        (self.layer)(ConvSpec { name: name.into(), geometry, norm, activation })
    }
}

/// A network of one of the families.
#[derive(Debug)]
pub(crate) enum Network<L = Conv2d> {
    Resnet18(Resnet18<L>),
    Darknet53(Darknet53<L>),
}

impl<L> Network<L> {
    /// Builds the network, asking `layer` for each convolution in turn.
    pub(crate) fn build<E>(
        scale: Scale,
        layer: &mut dyn FnMut(ConvSpec) -> std::result::Result<L, E>,
    ) -> std::result::Result<Self, E> {
        let mut builder = Builder { scale, layer };
        Ok(match scale.family {
            Family::Yolov3Resnet18 => Self::Resnet18(Resnet18::build(&mut builder)?),
            Family::Yolov3Darknet53 => Self::Darknet53(Darknet53::build(&mut builder)?),
        })
    }
}

/// Every convolution of a network.
pub(crate) fn convolutions(scale: Scale) -> Vec<ConvSpec> {
    let mut specs = Vec::new();
    let Ok(_) = Network::<()>::build(scale, &mut |spec| {
        specs.push(spec);
        Ok::<_, std::convert::Infallible>(())
    });
    specs
}

impl Network {
    /// Raw head outputs for strides 8, 16 and 32, each `[batch, outputs, height / stride, width / stride]`,
    /// from `[batch, 3, height, width]` of RGB in `0..=1`; height and width are multiples of 32.
    pub(crate) fn forward(&self, input: &Tensor) -> Result<[Tensor; 3]> {
        match self {
            Self::Resnet18(network) => network.forward(input),
            Self::Darknet53(network) => network.forward(input),
        }
    }
}
