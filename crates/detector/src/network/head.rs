//! The three heads of YOLOv3, from coarse to fine, each finer one fed by the coarser.

use candle_core::{Result, Tensor};

use super::{Builder, Norm, Output, Upsampling};
use crate::conv::Conv2d;

/// The heads at strides 32, 16 and 8.
#[derive(Debug)]
pub(super) struct Heads<L> {
    coarse: Head<L>,
    coarse_lateral: Lateral<L>,
    middle: Head<L>,
    middle_lateral: Lateral<L>,
    fine: Head<L>,
}

/// From a head's route towards the next finer head.
#[derive(Debug)]
struct Lateral<L> {
    conv: L,
    /// A 1x1 convolution whose output channels are those of 2x2 pixels; without it, each pixel is repeated.
    upsample: Option<L>,
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
        let (coarse, route) = Head::build(builder, 32, features[2], widths[2])?;
        let (coarse_lateral, upsampled) = Lateral::build(builder, 32, route, widths[2])?;
        let (middle, route) = Head::build(builder, 16, upsampled + features[1], widths[1])?;
        let (middle_lateral, upsampled) = Lateral::build(builder, 16, route, widths[1])?;
        let (fine, _) = Head::build(builder, 8, upsampled + features[0], widths[0])?;
        Ok(Self { coarse, coarse_lateral, middle, middle_lateral, fine })
    }
}

impl<L> Lateral<L> {
    /// From a route of `input` channels in a head of `width`, and how many channels it brings there.
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        stride: usize,
        input: usize,
        width: usize,
    ) -> std::result::Result<(Self, usize), E> {
        let name = format!("head{stride}.lateral");
        let (conv, output) = builder.conv(name, input, Output::Scaled(width / 2), (1, 1), Norm::Batch)?;
        let upsample = match builder.scale.upsampling {
            Upsampling::Nearest => None,
            Upsampling::Transposed => {
                let name = format!("head{stride}.upsample");
                Some(builder.conv(name, output, Output::Exactly(4 * output), (1, 1), Norm::Bias)?.0)
            }
        };
        Ok((Self { conv, upsample }, output))
    }
}

impl Lateral<Conv2d> {
    /// The route's features at twice its size.
    fn forward(&self, route: &Tensor) -> Result<Tensor> {
        let features = self.conv.forward(route)?;
        match &self.upsample {
            None => {
                let (_, _, height, width) = features.dims4()?;
                features.upsample_nearest2d(2 * height, 2 * width)
            }
            Some(conv) => {
                let pixels = conv.forward(&features)?;
                let (batch, channels, height, width) = pixels.dims4()?;
                // Row and column within the 2x2 pixels go beside those of the cell.
                pixels
                    .reshape(vec![batch, 2, 2, channels / 4, height, width])?
                    .permute([0, 3, 4, 1, 5, 2])?
                    .reshape((batch, channels / 4, 2 * height, 2 * width))
            }
        }
    }
}

impl Heads<Conv2d> {
    /// Outputs for strides 8, 16 and 32 from the backbone's features in the same order.
    pub(super) fn forward(&self, features: [&Tensor; 3]) -> Result<[Tensor; 3]> {
        let (route, coarse) = self.coarse.forward(features[2])?;
        let joined = Tensor::cat(&[&self.coarse_lateral.forward(&route)?, features[1]], 1)?;
        let (route, middle) = self.middle.forward(&joined)?;
        let joined = Tensor::cat(&[&self.middle_lateral.forward(&route)?, features[0]], 1)?;
        let (_, fine) = self.fine.forward(&joined)?;
        Ok([fine, middle, coarse])
    }
}

impl<L> Head<L> {
    /// A head on `input` channels, and the channels of its route.
    fn build<E>(
        builder: &mut Builder<'_, L, E>,
        stride: usize,
        input: usize,
        width: usize,
    ) -> std::result::Result<(Self, usize), E> {
        let mut conv = |index: usize, input: usize| {
            let (output, kernel) = if index % 2 == 1 { (width, 1) } else { (2 * width, 3) };
            let name = format!("head{stride}.conv{index}");
            builder.conv(name, input, Output::Scaled(output), (kernel, 1), Norm::Batch)
        };
        let (conv1, channels) = conv(1, input)?;
        let (conv2, channels) = conv(2, channels)?;
        let (conv3, channels) = conv(3, channels)?;
        let (conv4, channels) = conv(4, channels)?;
        let (conv5, route) = conv(5, channels)?;
        let (last, channels) = conv(6, route)?;
        let outputs = Output::Exactly(builder.scale.outputs());
        let (output, _) =
            builder.conv(format!("head{stride}.output"), channels, outputs, (1, 1), Norm::Bias)?;
        Ok((Self { body: [conv1, conv2, conv3, conv4, conv5], last, output }, route))
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
