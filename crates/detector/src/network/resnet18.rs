//! YOLOv3 on ResNet-18, with heads of half the usual width.
//!
//! Definition: `yolo3_multiscale.py` and `resnet18.py` of KubeEdge Sedna's helmet detection example.

use candle_core::{Result, Tensor};

use super::head::Heads;
use super::{Builder, Norm, Output};
use crate::conv::{Conv2d, Residual};

#[derive(Debug)]
pub(crate) struct Resnet18<L> {
    conv1: L,
    /// Stages 2 to 5 of two blocks each.
    stages: [[Block<L>; 2]; 4],
    heads: Heads<L>,
}

/// A basic block: two 3x3 convolutions, and the input added before the last activation.
#[derive(Debug)]
struct Block<L> {
    conv1: L,
    conv2: L,
    /// Fits the input to the output where their shapes differ; the family has no norm here.
    shortcut: Option<L>,
}

impl<L> Resnet18<L> {
    pub(super) fn build<E>(builder: &mut Builder<'_, L, E>) -> std::result::Result<Self, E> {
        let (conv1, c2) = builder.conv("conv1", 3, Output::Scaled(64), (7, 2), Norm::Batch)?;
        let (stage2, c2) = stage(builder, 2, (c2, 64), 1)?;
        let (stage3, c3) = stage(builder, 3, (c2, 128), 2)?;
        let (stage4, c4) = stage(builder, 4, (c3, 256), 2)?;
        let (stage5, c5) = stage(builder, 5, (c4, 512), 2)?;
        let heads = Heads::build(builder, [c3, c4, c5], [64, 128, 256])?;
        Ok(Self { conv1, stages: [stage2, stage3, stage4, stage5], heads })
    }
}

/// Two blocks on `input` channels, of which the full network makes `full`, and how many they make.
fn stage<L, E>(
    builder: &mut Builder<'_, L, E>,
    index: usize,
    (input, full): (usize, usize),
    stride: usize,
) -> std::result::Result<([Block<L>; 2], usize), E> {
    let (first, output) = Block::build(builder, &format!("conv{index}_1"), (input, full), stride)?;
    let (second, output) = Block::build(builder, &format!("conv{index}_2"), (output, full), 1)?;
    Ok(([first, second], output))
}

impl<L> Block<L> {
    /// A block; the shortcut stands where the stride is not 1, whatever the width makes of the channels.
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        name: &str,
        (input, full): (usize, usize),
        stride: usize,
    ) -> std::result::Result<(Self, usize), E> {
        let (conv1, inner) =
            builder.conv(format!("{name}.conv1"), input, Output::Scaled(full), (3, stride), Norm::Batch)?;
        let output = if stride == 1 { Output::Exactly(input) } else { Output::Scaled(full) };
        let (conv2, output) = builder.conv(format!("{name}.conv2"), inner, output, (3, 1), Norm::Batch)?;
        let shortcut = if stride == 1 {
            None
        } else {
            let name = format!("{name}.shortcut");
            Some(builder.conv(name, input, Output::Exactly(output), (1, stride), Norm::None)?.0)
        };
        Ok((Self { conv1, conv2, shortcut }, output))
    }
}

impl Resnet18<Conv2d> {
    pub(super) fn forward(&self, input: &Tensor) -> Result<[Tensor; 3]> {
        let mut features = max_pool(&self.conv1.forward(input)?)?;
        let mut stages = Vec::with_capacity(self.stages.len());
        for blocks in &self.stages {
            for block in blocks {
                features = block.forward(&features)?;
            }
            stages.push(features.clone());
        }
        self.heads.forward([&stages[1], &stages[2], &stages[3]])
    }
}

impl Block<Conv2d> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let inner = self.conv1.forward(input)?;
        match &self.shortcut {
            None => self.conv2.forward_residual(&inner, input, Residual::BeforeActivation),
            Some(shortcut) => {
                let fitted = shortcut.forward(input)?;
                self.conv2.forward_residual(&inner, &fitted, Residual::BeforeActivation)
            }
        }
    }
}

/// 3x3 maximum of stride 2, padded as TensorFlow's `SAME` pads the even axes that it meets here: one pixel at
/// the bottom and right, none before. The padding is zero, which never exceeds what ReLU let through.
fn max_pool(input: &Tensor) -> Result<Tensor> {
    input.pad_with_zeros(2, 0, 1)?.pad_with_zeros(3, 0, 1)?.max_pool2d_with_stride(3, 2)
}
