//! The networks that are compared.

use std::fmt;

use clap::ValueEnum;

/// A network at full width, with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// YOLOv3 on ResNet-18, 416x736, 2 classes: the edge's
    Resnet18,
    /// YOLOv3 on Darknet-53, 544x544, 80 classes: the cloud's
    Darknet53,
}

impl Network {
    /// The name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Darknet53 => "darknet53",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
