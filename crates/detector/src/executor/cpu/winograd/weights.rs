//! Weights as they are packed at load.

use kernels::{Kernels, Storage, Tile2, Tile3, Tile4, Tile6, pair, weights};

use super::super::memory::Aligned;
use super::super::packing::packed;
use super::super::threads::Threads;
use super::tile::TileSize;
use crate::graph::Geometry;

/// Weights of a pair of channels.
pub(super) const TAPS: usize = 9;

/// When weights are brought to the points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Transformed {
    /// Once: they then take the memory of the points.
    AtLoad,
    /// In each run: they take no more memory than plain ones. Only where the input is numbers.
    EachRun,
}

impl Transformed {
    /// Values for each weight of a channel pair.
    fn values(self, tile: TileSize) -> usize {
        match self {
            Self::AtLoad => tile.points(),
            Self::EachRun => TAPS,
        }
    }
}

/// How many values [`pack`] makes of a convolution's weights, `each` of which make one.
pub(in super::super) fn packed_len(
    tile: TileSize,
    transformed: Transformed,
    geometry: &Geometry,
    each: usize,
    kernels: &Kernels,
) -> usize {
    let whole = |channels: usize| channels.next_multiple_of(kernels.lanes);
    whole(geometry.out_channels) * whole(geometry.in_channels) / each * transformed.values(tile)
}

/// Weights in the order in which a group of output channels takes them, for [`Transformed::EachRun`]: for each group of up to
/// two vectors of output channels all input channels and their taps.
pub(in super::super) fn pack_taps(
    tile: TileSize,
    geometry: &Geometry,
    kernels: &Kernels,
    weight: &[f32],
    threads: &mut Threads,
) -> Aligned {
    let Geometry { in_channels, out_channels, .. } = *geometry;
    let lanes = kernels.lanes;
    packed(
        packed_len(tile, Transformed::EachRun, geometry, 1, kernels),
        2 * lanes * in_channels.next_multiple_of(lanes) * TAPS,
        threads,
        &|group, packed| {
            let first = 2 * lanes * group;
            let row = kernels.vectors(out_channels - first) * lanes;
            for (lane, output) in (first..out_channels).take(row).enumerate() {
                let taps = &weight[output * in_channels * TAPS..][..in_channels * TAPS];
                for (place, tap) in taps.iter().enumerate() {
                    packed[place * row + lane] = *tap;
                }
            }
        },
    )
}

/// Weights at the points, for [`Transformed::AtLoad`], in the order in which the products take them: for each group of up to
/// two vectors of output channels all points and input channels. A value is the weight of an input channel, or two halves for
/// two of them; where the input is bytes, times their scale.
pub(in super::super) fn pack(
    tile: TileSize,
    geometry: &Geometry,
    input: Storage,
    kernels: &Kernels,
    weight: &[f32],
    threads: &mut Threads,
) -> Aligned {
    let Geometry { in_channels, out_channels, .. } = *geometry;
    let at_points = match tile {
        TileSize::Two => weights::<Tile2>,
        TileSize::Three => weights::<Tile3>,
        TileSize::Four => weights::<Tile4>,
        TileSize::Six => weights::<Tile6>,
    };
    let (lanes, points, each) = (kernels.lanes, tile.points(), input.each_at_points());
    let scale = match input {
        Storage::Numbers | Storage::Halves => 1.0,
        Storage::Bytes(quantization) => quantization.scale,
    };
    let inputs = in_channels.next_multiple_of(lanes) / each;
    packed(
        packed_len(tile, Transformed::AtLoad, geometry, each, kernels),
        2 * lanes * inputs * points,
        threads,
        &|group, packed| {
            let first = 2 * lanes * group;
            let row = kernels.vectors(out_channels - first) * lanes;
            for value in 0..in_channels.div_ceil(each) {
                for (lane, output) in (first..out_channels).take(row).enumerate() {
                    let of = |input: usize| {
                        let mut taps = [0.0; 9];
                        if input < in_channels {
                            taps.copy_from_slice(&weight[(output * in_channels + input) * 9..][..9]);
                        }
                        at_points(&taps.map(|tap| tap * scale))
                    };
                    let mut weights = of(each * value);
                    if each == 2 {
                        let others = of(each * value + 1);
                        weights = std::array::from_fn(|point| pair([weights[point], others[point]]));
                    }
                    for (point, weight) in weights.into_iter().enumerate().take(points) {
                        packed[(point * inputs + value) * row + lane] = weight;
                    }
                }
            }
        },
    )
}
