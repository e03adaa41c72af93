//! The three heads of YOLOv3, from coarse to fine, each finer one fed by the coarser.

use super::{Builder, Norm, Output, Upsampling};
use crate::graph::NodeId;

/// Heads on backbone features at the strides 8, 16 and 32; `widths` are the heads' own narrow channel counts at full
/// width. Both and the outputs are in the same order.
pub(super) fn build(builder: &mut Builder<'_>, features: [NodeId; 3], widths: [usize; 3]) -> [NodeId; 3] {
    let (route, coarse) = head(builder, 32, features[2], widths[2]);
    let joined = joined(builder, 32, route, widths[2], features[1]);
    let (route, middle) = head(builder, 16, joined, widths[1]);
    let joined = self::joined(builder, 16, route, widths[1], features[0]);
    let (_, fine) = head(builder, 8, joined, widths[0]);
    [fine, middle, coarse]
}

/// One head: five convolutions to the route, one more and the output. Gives the route and the output.
fn head(builder: &mut Builder<'_>, stride: usize, input: NodeId, width: usize) -> (NodeId, NodeId) {
    let conv = |builder: &mut Builder<'_>, index: usize, input: NodeId| {
        let (channels, kernel) = if index % 2 == 1 { (width, 1) } else { (2 * width, 3) };
        let name = format!("head{stride}.conv{index}");
        builder.conv(name, input, Output::Scaled(channels), (kernel, 1), Norm::Batch)
    };
    let route = (1..=5).fold(input, |features, index| conv(builder, index, features));
    let last = conv(builder, 6, route);
    let outputs = Output::Exactly(builder.scale.outputs());
    let output = builder.conv(format!("head{stride}.output"), last, outputs, (1, 1), Norm::Bias);
    (route, output)
}

/// The route of the head of `width` and the given stride at twice its size, joined with the next finer features.
fn joined(builder: &mut Builder<'_>, stride: usize, route: NodeId, width: usize, finer: NodeId) -> NodeId {
    let name = format!("head{stride}.lateral");
    let lateral = builder.conv(name, route, Output::Scaled(width / 2), (1, 1), Norm::Batch);
    let upsampled = match builder.scale.upsampling {
        Upsampling::Nearest => builder.upsample(lateral),
        Upsampling::Transposed => {
            let channels = Output::Exactly(4 * builder.channels(lateral));
            let pixels =
                builder.conv(format!("head{stride}.upsample"), lateral, channels, (1, 1), Norm::Bias);
            builder.depth_to_space(pixels)
        }
    };
    builder.concat(vec![upsampled, finer])
}
