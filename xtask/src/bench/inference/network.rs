//! The networks that are compared.

use std::fmt;

use clap::ValueEnum;

/// A network with random weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Network {
    /// YOLOv3 on ResNet-18, 416x736, 2 classes: the edge's
    Resnet18,
    /// YOLOv3 on Darknet-53, 544x544, 80 classes: the cloud's
    Darknet53,
    /// That of the demo's little model: resnet18 a quarter as wide, 4 classes
    DemoLittle,
    /// That of the demo's big model: darknet53 a quarter as wide, 416x736, 4 classes
    DemoBig,
}

impl Network {
    /// Every network.
    pub const ALL: [Self; 4] = [Self::Resnet18, Self::Darknet53, Self::DemoLittle, Self::DemoBig];

    /// The name of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::Darknet53 => "darknet53",
            Self::DemoLittle => "demo-little",
            Self::DemoBig => "demo-big",
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
