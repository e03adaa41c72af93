//! The networks that are known by their names, as graphs.

mod backbone;
mod darknet53;
mod head;
mod resnet18;
#[cfg(test)]
mod tests;

use std::ops::{Deref, DerefMut};
use std::str::FromStr;

pub(crate) use backbone::{Backbone, LEAKY_SLOPE};

use crate::graph::{Activation, ConvSpec, Geometry, Graph, NodeId, Norm};

/// Output channels of a network's convolutions, but for the outputs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Channels {
    /// Those of the full network times this, as multiples of 8 and at least 8.
    Multiplied(f64),
    /// Each convolution's own, in the order of [`Graph::convolutions`].
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

/// What a model file chooses of a published network.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    pub(crate) backbone: Backbone,
    pub(crate) channels: Channels,
    pub(crate) classes: usize,
    pub(crate) upsampling: Upsampling,
    pub(crate) activation: Activation,
}

impl Scale {
    /// The network as it was published, with another channel multiplier and number of classes.
    pub(crate) fn multiplied(backbone: Backbone, width: f64, classes: usize) -> Self {
        Self {
            backbone,
            channels: Channels::Multiplied(width),
            classes,
            upsampling: Upsampling::Nearest,
            activation: backbone.activation(LEAKY_SLOPE),
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

/// Makes the graph of a published network.
struct Builder<'a> {
    scale: &'a Scale,
    graph: Graph,
}

impl Builder<'_> {
    /// A convolution of `input`.
    fn conv(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        output: Output,
        shape: (usize, usize),
        norm: Norm,
    ) -> NodeId {
        let convolution = self.declare(name, input, output, shape, norm);
        self.graph.place(convolution, input, None)
    }

    /// A convolution of `input` of which later ones depend before it can be placed.
    fn declare(
        &mut self,
        name: impl Into<String>,
        input: NodeId,
        output: Output,
        (kernel, stride): (usize, usize),
        norm: Norm,
    ) -> usize {
        let activation = match norm {
            Norm::Batch => self.scale.activation,
            Norm::Bias | Norm::None => Activation::Identity,
        };
        let out_channels = match output {
            Output::Scaled(full) => self.scale.channels.of(self.graph.convolutions().len(), full),
            Output::Exactly(channels) => channels,
        };
        let geometry = Geometry { in_channels: self.graph.channels(input), out_channels, kernel, stride };
        self.graph.declare(input, ConvSpec { name: name.into(), geometry, norm, activation })
    }

    /// Output channels of a declared convolution.
    fn out_channels(&self, convolution: usize) -> usize {
        self.graph.convolutions()[convolution].geometry.out_channels
    }
}

impl Deref for Builder<'_> {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.graph
    }
}

impl DerefMut for Builder<'_> {
    fn deref_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }
}

/// The network; its outputs are the raw heads for strides 8, 16 and 32, each of `3 * (5 + classes)` channels. Height
/// and width of its picture are multiples of 32.
pub(crate) fn graph(scale: &Scale) -> Graph {
    let (graph, picture) = Graph::new();
    let mut builder = Builder { scale, graph };
    let outputs = match scale.backbone {
        Backbone::Resnet18 => resnet18::build(&mut builder, picture),
        Backbone::Darknet53 => darknet53::build(&mut builder, picture),
    };
    for output in outputs {
        builder.graph.output(output);
    }
    builder.graph
}

/// Every convolution of a network.
pub(crate) fn convolutions(scale: &Scale) -> Vec<ConvSpec> {
    graph(scale).convolutions().to_vec()
}
