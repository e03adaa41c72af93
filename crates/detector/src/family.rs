//! The network families and the constants that belong to each.

use std::fmt;
use std::str::FromStr;

use crate::graph::Activation;

/// The slope of leaky activations where a model file does not say another.
pub(crate) const LEAKY_SLOPE: f32 = 0.1;

/// A network architecture together with the pre- and post-processing that its compatible form prescribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// YOLOv3 heads of half the usual width on a ResNet-18 without batch norm in its shortcuts; multi-label.
    Yolov3Resnet18,
    /// YOLOv3 on Darknet-53; one class a box.
    Yolov3Darknet53,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 2] = [Self::Yolov3Resnet18, Self::Yolov3Darknet53];

    /// The name in a model file's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yolov3Resnet18 => "yolov3-resnet18",
            Self::Yolov3Darknet53 => "yolov3-darknet53",
        }
    }

    /// The constant that batch norm adds to the variance; part of the architecture, not of the weights.
    pub(crate) fn batch_norm_epsilon(self) -> f32 {
        match self {
            Self::Yolov3Resnet18 => 1e-5,
            Self::Yolov3Darknet53 => 1e-3,
        }
    }

    /// The activation after every convolution but the heads' outputs and the shortcuts; `leaky_slope` is that of
    /// a leaky one.
    pub(crate) fn activation(self, leaky_slope: f32) -> Activation {
        match self {
            Self::Yolov3Resnet18 => Activation::Relu,
            Self::Yolov3Darknet53 => Activation::LeakyRelu(leaky_slope),
        }
    }

    /// Height and width of the input that Sedna's helmet example gives a network of the family.
    pub(crate) fn usual_input(self) -> (usize, usize) {
        match self {
            Self::Yolov3Resnet18 => (416, 736),
            Self::Yolov3Darknet53 => (544, 544),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A family name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown network family {0:?}; known are yolov3-resnet18 and yolov3-darknet53")]
pub struct UnknownFamily(pub String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|family| family.name() == name).ok_or_else(|| UnknownFamily(name.into()))
    }
}
