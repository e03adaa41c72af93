//! YOLOv3 on ResNet-18, with heads of half the usual width.
//!
//! Definition: `yolo3_multiscale.py` and `resnet18.py` of KubeEdge Sedna's helmet detection example.

use candle_core::{Result, Tensor};

use super::head::Heads;
use super::{Builder, Norm};
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
        let scale = builder.scale;
        let [c2, c3, c4, c5] = [64, 128, 256, 512].map(|channels| scale.channels(channels));
        let conv1 = builder.conv("conv1", (3, c2), (7, 2), Norm::Batch)?;
        let stages = [
            stage(builder, 2, (c2, c2), 1)?,
            stage(builder, 3, (c2, c3), 2)?,
            stage(builder, 4, (c3, c4), 2)?,
            stage(builder, 5, (c4, c5), 2)?,
        ];
        let heads = Heads::build(builder, [c3, c4, c5], [64, 128, 256])?;
        Ok(Self { conv1, stages, heads })
    }
}

fn stage<L, E>(
    builder: &mut Builder<'_, L, E>,
    index: usize,
    (input, output): (usize, usize),
    stride: usize,
) -> std::result::Result<[Block<L>; 2], E> {
    Ok([
        Block::build(builder, &format!("conv{index}_1"), (input, output), stride)?,
        Block::build(builder, &format!("conv{index}_2"), (output, output), 1)?,
    ])
}

impl<L> Block<L> {
    /// A block; the shortcut stands where the stride is not 1, whatever the width makes of the channels.
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        name: &str,
        (input, output): (usize, usize),
        stride: usize,
    ) -> std::result::Result<Self, E> {
        let conv1 = builder.conv(format!("{name}.conv1"), (input, output), (3, stride), Norm::Batch)?;
        let conv2 = builder.conv(format!("{name}.conv2"), (output, output), (3, 1), Norm::Batch)?;
        let shortcut = if stride == 1 {
            None
        } else {
            Some(builder.conv(format!("{name}.shortcut"), (input, output), (1, stride), Norm::None)?)
        };
        Ok(Self { conv1, conv2, shortcut })
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
