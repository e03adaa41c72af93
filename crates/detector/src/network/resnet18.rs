//! YOLOv3 on ResNet-18, with heads of half the usual width.
//!
//! Definition: `yolo3_multiscale.py` and `resnet18.py` of KubeEdge Sedna's helmet detection example.

use super::{Builder, Norm, Output, head};
use crate::graph::{NodeId, Residual, Window};

/// Padded as TensorFlow's `SAME` pads the even axes that it meets here: one pixel at the bottom and right, none before.
const POOL: Window = Window { size: 3, stride: 2, before: 0 };

/// The outputs for the strides 8, 16 and 32.
pub(super) fn build(builder: &mut Builder<'_>, picture: NodeId) -> [NodeId; 3] {
    let first = builder.conv("conv1", picture, Output::Scaled(64), (7, 2), Norm::Batch);
    let c1 = builder.max_pool(first, POOL);
    let c2 = stage(builder, 2, c1, 64, 1);
    let c3 = stage(builder, 3, c2, 128, 2);
    let c4 = stage(builder, 4, c3, 256, 2);
    let c5 = stage(builder, 5, c4, 512, 2);
    head::build(builder, [c3, c4, c5], [64, 128, 256])
}

/// Two blocks, of whose channels the full network makes `full`.
fn stage(builder: &mut Builder<'_>, index: usize, input: NodeId, full: usize, stride: usize) -> NodeId {
    let first = block(builder, &format!("conv{index}_1"), input, full, stride);
    block(builder, &format!("conv{index}_2"), first, full, 1)
}

/// Two 3x3 convolutions, and the input added before the last activation; a shortcut without a norm fits it to the output
/// where the stride is not 1, whatever the width makes of the channels.
fn block(builder: &mut Builder<'_>, name: &str, input: NodeId, full: usize, stride: usize) -> NodeId {
    let inner = builder.conv(format!("{name}.conv1"), input, Output::Scaled(full), (3, stride), Norm::Batch);
    let channels = if stride == 1 { Output::Exactly(builder.channels(input)) } else { Output::Scaled(full) };
    let conv2 = builder.declare(format!("{name}.conv2"), inner, channels, (3, 1), Norm::Batch);
    let fitted = if stride == 1 {
        input
    } else {
        let channels = Output::Exactly(builder.out_channels(conv2));
        builder.conv(format!("{name}.shortcut"), input, channels, (1, stride), Norm::None)
    };
    builder.place(conv2, inner, Some((fitted, Residual::BeforeActivation)))
}
