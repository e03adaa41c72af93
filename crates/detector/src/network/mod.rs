//! How the convolutions of a family are joined.
//!
//! A network is generic over its layer type: built with [`Conv2d`] it runs; built with anything else it
//! enumerates its convolutions in order, which is how a model file is checked before a weight is read.

mod darknet53;
mod head;
mod resnet18;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use candle_core::{Result, Tensor};

use crate::Family;
use crate::conv::{Activation, Conv2d, Geometry};
use crate::family::LEAKY_SLOPE;
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

/// Output channels of a network's convolutions, but for the outputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Channels {
    /// Those of the full network times this, as multiples of 8 and at least 8.
    Multiplied(f64),
    /// Each convolution's own, in the order of [`convolutions`].
    Listed(Vec<usize>),
}

impl Channels {
    /// Channels of the convolution at `index` that has `full` in the full network.
    fn of(&self, index: usize, full: usize) -> usize {
        match self {
            Self::Multiplied(width) => (8.0 * (full as f64 * width / 8.0).ceil()).max(8.0) as usize,
            Self::Listed(channels) => channels.get(index).copied().unwrap_or(full),
        }
    }
}

/// How a coarse head's features come to twice their size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upsampling {
    /// Every pixel four times.
    Nearest,
    /// A transposed 2x2 convolution of stride 2.
    Transposed,
}

impl Upsampling {
    /// The name in a model file's metadata.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Transposed => "transposed",
        }
    }
}

/// An upsampling that is not known.
#[derive(Debug, thiserror::Error)]
#[error("known are nearest and transposed")]
pub(crate) struct UnknownUpsampling;

impl FromStr for Upsampling {
    type Err = UnknownUpsampling;

    fn from_str(name: &str) -> std::result::Result<Self, Self::Err> {
        [Self::Nearest, Self::Transposed]
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or(UnknownUpsampling)
    }
}

/// What a model file chooses within a family.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) family: Family,
    pub(crate) channels: Channels,
    pub(crate) classes: usize,
    pub(crate) upsampling: Upsampling,
    pub(crate) activation: Activation,
}

impl Scale {
    /// The family as it was published, with another channel multiplier and number of classes.
    pub(crate) fn multiplied(family: Family, width: f64, classes: usize) -> Self {
        Self {
            family,
            channels: Channels::Multiplied(width),
            classes,
            upsampling: Upsampling::Nearest,
            activation: family.activation(LEAKY_SLOPE),
        }
    }

    /// Channels of a head's output: box, objectness and classes for each of three anchors.
    fn outputs(&self) -> usize {
        3 * (5 + self.classes)
    }
}

/// Output channels of a convolution.
#[derive(Debug, Clone, Copy)]
enum Output {
    /// The model file's choice, where the full network has so many.
    Scaled(usize),
    /// So many, because others depend on it.
    Exactly(usize),
}

/// Makes the layers of a network from their specifications.
pub(crate) struct Builder<'a, L, E> {
    scale: &'a Scale,
    /// Convolutions made so far.
    made: usize,
    layer: &'a mut dyn FnMut(ConvSpec) -> std::result::Result<L, E>,
}

impl<L, E> Builder<'_, L, E> {
    /// A convolution from `in_channels`, and how many channels come out of it.
    fn conv(
        &mut self,
        name: impl Into<String>,
        in_channels: usize,
        output: Output,
        (kernel, stride): (usize, usize),
        norm: Norm,
    ) -> std::result::Result<(L, usize), E> {
        let activation = match norm {
            Norm::Batch => self.scale.activation,
            Norm::Bias | Norm::None => Activation::Identity,
        };
        let out_channels = match output {
            Output::Scaled(full) => self.scale.channels.of(self.made, full),
            Output::Exactly(channels) => channels,
        };
        self.made += 1;
        let geometry = Geometry { in_channels, out_channels, kernel, stride };
        let layer = (self.layer)(ConvSpec { name: name.into(), geometry, norm, activation })?;
        Ok((layer, out_channels))
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
        scale: &Scale,
        layer: &mut dyn FnMut(ConvSpec) -> std::result::Result<L, E>,
    ) -> std::result::Result<Self, E> {
        let mut builder = Builder { scale, made: 0, layer };
        Ok(match scale.family {
            Family::Yolov3Resnet18 => Self::Resnet18(Resnet18::build(&mut builder)?),
            Family::Yolov3Darknet53 => Self::Darknet53(Darknet53::build(&mut builder)?),
        })
    }
}

/// Every convolution of a network.
pub(crate) fn convolutions(scale: &Scale) -> Vec<ConvSpec> {
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
