//! YOLOv3 on Darknet-53 (Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018).

use candle_core::{Result, Tensor};

use super::head::Heads;
use super::{Builder, Norm};
use crate::conv::{Conv2d, Residual};

/// Residual blocks of each stage.
const BLOCKS: [usize; 5] = [1, 2, 8, 8, 4];
/// Channels of each stage at full width.
const CHANNELS: [usize; 5] = [64, 128, 256, 512, 1024];

#[derive(Debug)]
pub(crate) struct Darknet53<L> {
    conv0: L,
    stages: Vec<Stage<L>>,
    heads: Heads<L>,
}

/// A convolution of stride 2, then residual blocks.
#[derive(Debug)]
struct Stage<L> {
    down: L,
    blocks: Vec<Block<L>>,
}

/// A 1x1 convolution to half the channels and a 3x3 back, with the input added after the activation.
#[derive(Debug)]
struct Block<L> {
    conv1: L,
    conv2: L,
}

impl<L> Darknet53<L> {
    pub(super) fn build<E>(builder: &mut Builder<'_, L, E>) -> std::result::Result<Self, E> {
        let scale = builder.scale;
        let mut input = scale.channels(32);
        let conv0 = builder.conv("conv0", (3, input), (3, 1), Norm::Batch)?;
        let mut stages = Vec::with_capacity(BLOCKS.len());
        for (index, (&channels, &blocks)) in CHANNELS.iter().zip(&BLOCKS).enumerate() {
            let (half, output) = (scale.channels(channels / 2), scale.channels(channels));
            let name = format!("stage{}", index + 1);
            let down = builder.conv(format!("{name}.down"), (input, output), (3, 2), Norm::Batch)?;
            let mut stage = Stage { down, blocks: Vec::with_capacity(blocks) };
            for block in 1..=blocks {
                let name = format!("{name}.block{block}");
                stage.blocks.push(Block {
                    conv1: builder.conv(format!("{name}.conv1"), (output, half), (1, 1), Norm::Batch)?,
                    conv2: builder.conv(format!("{name}.conv2"), (half, output), (3, 1), Norm::Batch)?,
                });
            }
            stages.push(stage);
            input = output;
        }
        let features = [256, 512, 1024].map(|channels| scale.channels(channels));
        let heads = Heads::build(builder, features, [128, 256, 512])?;
        Ok(Self { conv0, stages, heads })
    }
}

impl Darknet53<Conv2d> {
    pub(super) fn forward(&self, input: &Tensor) -> Result<[Tensor; 3]> {
        let mut features = self.conv0.forward(input)?;
        let mut stages = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            features = stage.down.forward(&features)?;
            for block in &stage.blocks {
                let inner = block.conv1.forward(&features)?;
                features = block.conv2.forward_residual(&inner, &features, Residual::AfterActivation)?;
            }
            stages.push(features.clone());
        }
        self.heads.forward([&stages[2], &stages[3], &stages[4]])
    }
}
