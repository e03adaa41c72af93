//! The networks that are known by their names.

use crate::Family;
use crate::graph::Activation;

/// The slope of leaky activations where a model file does not say another.
pub(crate) const LEAKY_SLOPE: f32 = 0.1;

/// What a published network has under its heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backbone {
    Resnet18,
    Darknet53,
}

impl Backbone {
    /// The family of networks on it.
    pub(crate) fn family(self) -> Family {
        match self {
            Self::Resnet18 => Family::Yolov3Resnet18,
            Self::Darknet53 => Family::Yolov3Darknet53,
        }
    }

    /// The backbone of a family's networks; none if they do not share one.
    pub(crate) fn of(family: Family) -> Option<Self> {
        [Self::Resnet18, Self::Darknet53].into_iter().find(|backbone| backbone.family() == family)
    }

    /// The activation after every convolution but the heads' outputs and the shortcuts; `leaky_slope` is that of
    /// a leaky one.
    pub(crate) fn activation(self, leaky_slope: f32) -> Activation {
        match self {
            Self::Resnet18 => Activation::Relu,
            Self::Darknet53 => Activation::LeakyRelu(leaky_slope),
        }
    }

    /// Height and width of the input that Sedna's helmet example gives a network on it.
    pub(crate) fn usual_input(self) -> (usize, usize) {
        match self {
            Self::Resnet18 => (416, 736),
            Self::Darknet53 => (544, 544),
        }
    }
}
