//! The network families and the constants that belong to each.

use std::fmt;
use std::str::FromStr;

/// A network architecture together with the pre- and post-processing that its compatible form prescribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// YOLOv3 heads of half the usual width on a ResNet-18 without batch norm in its shortcuts; multi-label.
    Yolov3Resnet18,
    /// YOLOv3 on Darknet-53 as tensorflow-yolov3 has it; one class a box.
    Yolov3Darknet53,
    /// Any YOLOv3 of Darknet's: the model file itself says what its layers are. Pictures are scaled and boxes
    /// chosen as by Darknet; multi-label.
    Yolov3Darknet,
    /// YOLOv5's heads: the model file itself says what its layers are. Pictures are scaled and boxes chosen as by
    /// Ultralytics' prediction; one class a box.
    Yolov5,
    /// The heads of YOLOv8 and of later networks, without anchors; as [`Family::Yolov5`] otherwise.
    Yolov8,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 5] =
        [Self::Yolov3Resnet18, Self::Yolov3Darknet53, Self::Yolov3Darknet, Self::Yolov5, Self::Yolov8];

    /// The name in a model file's metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yolov3Resnet18 => "yolov3-resnet18",
            Self::Yolov3Darknet53 => "yolov3-darknet53",
            Self::Yolov3Darknet => "yolov3-darknet",
            Self::Yolov5 => "yolov5",
            Self::Yolov8 => "yolov8",
        }
    }

    /// The constant that batch norm adds to the variance; part of the architecture, not of the weights. For Darknet it is
    /// that of OpenCV and, added to the deviation, of Darknet itself on processors; on GPUs Darknet has 1e-5.
    pub(crate) fn batch_norm_epsilon(self) -> f32 {
        match self {
            Self::Yolov3Darknet => 1e-6,
            Self::Yolov3Resnet18 => 1e-5,
            Self::Yolov3Darknet53 | Self::Yolov5 | Self::Yolov8 => 1e-3,
        }
    }

    /// Whether boxes are multiples of anchors.
    pub(crate) fn has_anchors(self) -> bool {
        self != Self::Yolov8
    }

    /// Whether the most boxes are those of a whole picture, not of each class.
    pub(crate) fn limits_pictures(self) -> bool {
        matches!(self, Self::Yolov5 | Self::Yolov8)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A family name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown network family {0:?}; known are yolov3-resnet18, yolov3-darknet53, yolov3-darknet, yolov5 and yolov8"
)]
pub struct UnknownFamily(pub String);

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|family| family.name() == name).ok_or_else(|| UnknownFamily(name.into()))
    }
}
