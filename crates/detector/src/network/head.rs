//! The three heads of YOLOv3, from coarse to fine, each finer one fed by the coarser.

use candle_core::{Result, Tensor};

use super::{Builder, Norm};
use crate::conv::Conv2d;

/// The heads at strides 32, 16 and 8.
#[derive(Debug)]
pub(super) struct Heads<L> {
    coarse: Head<L>,
    coarse_lateral: L,
    middle: Head<L>,
    middle_lateral: L,
    fine: Head<L>,
}

/// One head: five convolutions to the route, one more to the output.
#[derive(Debug)]
struct Head<L> {
    body: [L; 5],
    last: L,
    output: L,
}

impl<L> Heads<L> {
    /// Heads on backbone features of `features` channels (scaled) at strides 8, 16 and 32; `widths` are the
    /// heads' own narrow channel counts at full width, in the same order.
    pub(super) fn build<E>(
        builder: &mut Builder<'_, L, E>,
        features: [usize; 3],
        widths: [usize; 3],
    ) -> std::result::Result<Self, E> {
        let coarse = Head::build(builder, 32, features[2], widths[2])?;
        let (coarse_lateral, upsampled) = lateral(builder, 32, widths[2])?;
        let middle = Head::build(builder, 16, upsampled + features[1], widths[1])?;
        let (middle_lateral, upsampled) = lateral(builder, 16, widths[1])?;
        let fine = Head::build(builder, 8, upsampled + features[0], widths[0])?;
        Ok(Self { coarse, coarse_lateral, middle, middle_lateral, fine })
    }
}

/// The 1x1 convolution from a route of `width` channels towards the next finer head, and how many channels
/// (scaled) it brings there.
fn lateral<L, E>(
    builder: &mut Builder<'_, L, E>,
    stride: usize,
    width: usize,
) -> std::result::Result<(L, usize), E> {
    let (input, output) = (builder.scale.channels(width), builder.scale.channels(width / 2));
    let layer = builder.conv(format!("head{stride}.lateral"), (input, output), (1, 1), Norm::Batch)?;
    Ok((layer, output))
}

impl Heads<Conv2d> {
    /// Outputs for strides 8, 16 and 32 from the backbone's features in the same order.
    pub(super) fn forward(&self, features: [&Tensor; 3]) -> Result<[Tensor; 3]> {
        let (route, coarse) = self.coarse.forward(features[2])?;
        let joined = join(&self.coarse_lateral.forward(&route)?, features[1])?;
        let (route, middle) = self.middle.forward(&joined)?;
        let joined = join(&self.middle_lateral.forward(&route)?, features[0])?;
        let (_, fine) = self.fine.forward(&joined)?;
        Ok([fine, middle, coarse])
    }
}

impl<L> Head<L> {
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        stride: usize,
        input: usize,
        width: usize,
    ) -> std::result::Result<Self, E> {
        let (narrow, wide) = (builder.scale.channels(width), builder.scale.channels(2 * width));
        let outputs = builder.scale.outputs();
        let mut conv = |index: usize, input: usize| {
            let (output, kernel) = if index % 2 == 1 { (narrow, 1) } else { (wide, 3) };
            builder.conv(format!("head{stride}.conv{index}"), (input, output), (kernel, 1), Norm::Batch)
        };
        let body = [conv(1, input)?, conv(2, narrow)?, conv(3, wide)?, conv(4, narrow)?, conv(5, wide)?];
        let last = conv(6, narrow)?;
        let output = builder.conv(format!("head{stride}.output"), (wide, outputs), (1, 1), Norm::Bias)?;
        Ok(Self { body, last, output })
    }
}

impl Head<Conv2d> {
    /// The route to the next finer head, and this head's raw output.
    fn forward(&self, input: &Tensor) -> Result<(Tensor, Tensor)> {
        let [first, rest @ ..] = &self.body;
        let mut route = first.forward(input)?;
        for conv in rest {
            route = conv.forward(&route)?;
        }
        let output = self.output.forward(&self.last.forward(&route)?)?;
        Ok((route, output))
    }
}

/// `coarse` at twice its size (nearest neighbour), followed by the channels of `fine`.
fn join(coarse: &Tensor, fine: &Tensor) -> Result<Tensor> {
    let (_, _, height, width) = coarse.dims4()?;
    Tensor::cat(&[&coarse.upsample_nearest2d(2 * height, 2 * width)?, fine], 1)
}
