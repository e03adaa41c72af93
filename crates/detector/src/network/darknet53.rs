//! YOLOv3 on Darknet-53 (Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018).

use candle_core::{Result, Tensor};

use super::head::Heads;
use super::{Builder, Norm, Output};
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
        let (conv0, mut input) = builder.conv("conv0", 3, Output::Scaled(32), (3, 1), Norm::Batch)?;
        let mut stages = Vec::with_capacity(BLOCKS.len());
        let mut features = [0; BLOCKS.len()];
        for (index, (&channels, &blocks)) in CHANNELS.iter().zip(&BLOCKS).enumerate() {
            let name = format!("stage{}", index + 1);
            let (down, output) =
                builder.conv(format!("{name}.down"), input, Output::Scaled(channels), (3, 2), Norm::Batch)?;
            let mut stage = Stage { down, blocks: Vec::with_capacity(blocks) };
            for block in 1..=blocks {
                stage.blocks.push(Block::build(builder, &format!("{name}.block{block}"), output, channels)?);
            }
            stages.push(stage);
            features[index] = output;
            input = output;
        }
        let [_, _, fine, middle, coarse] = features;
        let heads = Heads::build(builder, [fine, middle, coarse], [128, 256, 512])?;
        Ok(Self { conv0, stages, heads })
    }
}

impl<L> Block<L> {
    /// A block from `channels` to as many, of which the full network has `full`.
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        name: &str,
        channels: usize,
        full: usize,
    ) -> std::result::Result<Self, E> {
        let (conv1, half) =
            builder.conv(format!("{name}.conv1"), channels, Output::Scaled(full / 2), (1, 1), Norm::Batch)?;
        let (conv2, _) =
            builder.conv(format!("{name}.conv2"), half, Output::Exactly(channels), (3, 1), Norm::Batch)?;
        Ok(Self { conv1, conv2 })
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
