//! YOLOv3 on Darknet-53 (Redmon and Farhadi, "YOLOv3: An Incremental Improvement", 2018).

use super::{Builder, Norm, Output, head};
use crate::graph::{NodeId, Residual};

/// Channels and residual blocks of each stage at full width.
const STAGES: [(usize, usize); 5] = [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)];

/// The outputs for the strides 8, 16 and 32.
pub(super) fn build(builder: &mut Builder<'_>, picture: NodeId) -> [NodeId; 3] {
    let mut features = builder.conv("conv0", picture, Output::Scaled(32), (3, 1), Norm::Batch);
    let mut stages = [features; STAGES.len()];
    for (index, (channels, blocks)) in STAGES.into_iter().enumerate() {
        let name = format!("stage{}", index + 1);
        features =
            builder.conv(format!("{name}.down"), features, Output::Scaled(channels), (3, 2), Norm::Batch);
        for number in 1..=blocks {
            features = block(builder, &format!("{name}.block{number}"), features, channels);
        }
        stages[index] = features;
    }
    let [_, _, fine, middle, coarse] = stages;
    head::build(builder, [fine, middle, coarse], [128, 256, 512])
}

/// A 1x1 convolution to half of the `full` network's channels and a 3x3 back, with the input added after the
/// activation.
fn block(builder: &mut Builder<'_>, name: &str, input: NodeId, full: usize) -> NodeId {
    let half = builder.conv(format!("{name}.conv1"), input, Output::Scaled(full / 2), (1, 1), Norm::Batch);
    let channels = Output::Exactly(builder.channels(input));
    let conv2 = builder.declare(format!("{name}.conv2"), half, channels, (3, 1), Norm::Batch);
    builder.place(conv2, half, Some((input, Residual::AfterActivation)))
}
