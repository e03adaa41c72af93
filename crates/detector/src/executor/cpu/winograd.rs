//! Winograd's convolution: how it is cut into groups of tiles, and what each task does with a group.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

use kernels::{
    Epilogue, Kernels, LINE, Outputs, Product, Quantization, Storage, Tile, Tile2, Tile3, Tile4, Transforms,
    pair, weights,
};

use super::context::Context;
use super::layout::Region;
use super::memory::{Aligned, Shared};
use super::packing::{Parameters, packed};
use super::threads::Threads;
use crate::graph::Geometry;

/// Tiles of a group that a thread has for itself: enough that the weights are read seldom, few enough that the products
/// stay in the cache.
const GROUP: usize = 56;
/// Most values of a group's inputs at the points, where threads share them: they are read from the cache of all cores.
const INPUTS: usize = 1 << 20;
/// Most values of a group's products at the points, where threads share it: they stay in a core's own cache.
const PRODUCTS: usize = 1 << 17;
/// Weights, in values, that are too many to be read again and again.
const WEIGHTS: usize = 3_000_000;

/// How threads share the tiles of all pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Each takes a group of tiles with all channels.
    Apart,
    /// All take a group of tiles together: first its inputs, then some output channels each, so that the weights are read
    /// once for a larger group.
    Together,
}

/// Outputs of an axis of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TileSize {
    Two,
    Three,
    Four,
}

impl TileSize {
    /// Every size.
    pub(super) const ALL: [Self; 3] = [Self::Two, Self::Three, Self::Four];

    pub(super) fn outputs(self) -> usize {
        match self {
            Self::Two => Tile2::OUTPUTS,
            Self::Three => Tile3::OUTPUTS,
            Self::Four => Tile4::OUTPUTS,
        }
    }

    /// Points of a tile.
    pub(super) fn points(self) -> usize {
        (self.outputs() + 2) * (self.outputs() + 2)
    }

    /// Rows and columns of tiles that cover a picture.
    pub(super) fn cover(self, (height, width): (usize, usize)) -> (usize, usize) {
        (height.div_ceil(self.outputs()), width.div_ceil(self.outputs()))
    }

    fn transforms(self, kernels: &Kernels) -> Transforms {
        match self {
            Self::Two => kernels.transforms[0],
            Self::Three => kernels.transforms[1],
            Self::Four => kernels.transforms[2],
        }
    }
}

/// A 3x3 convolution of stride 1 without its weights.
#[derive(Debug)]
pub(super) struct WinogradConv {
    pub(super) tile: TileSize,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) input: Region,
    pub(super) output: Region,
    pub(super) residual: Option<Region>,
    pub(super) epilogue: Epilogue,
}

/// How many values [`pack`] makes of a convolution's weights, `each` of which make one.
pub(super) fn packed_len(tile: TileSize, geometry: &Geometry, each: usize, kernels: &Kernels) -> usize {
    let whole = |channels: usize| channels.next_multiple_of(kernels.lanes);
    whole(geometry.out_channels) * whole(geometry.in_channels) / each * tile.points()
}

/// Weights at the points, in the order in which the products take them: for each group of up to two vectors of output
/// channels all points and input channels. A value is the weight of an input channel, or two halves for two of them; where
/// the input is bytes, times their scale.
pub(super) fn pack(
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
    };
    let (lanes, points, each) = (kernels.lanes, tile.points(), input.each_at_points());
    let scale = match input {
        Storage::Numbers | Storage::Halves => 1.0,
        Storage::Bytes(quantization) => quantization.scale,
    };
    let inputs = in_channels.next_multiple_of(lanes) / each;
    packed(
        packed_len(tile, geometry, each, kernels),
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

/// Distances in a thread's scratch, in values.
#[derive(Debug, Clone, Copy)]
struct Scratch {
    /// From an input's point to the next.
    inputs: usize,
    /// From a product's point to the next.
    products: usize,
    /// From the inputs to the products.
    offset: usize,
    len: usize,
}

impl WinogradConv {
    /// Vectors of input channels, which are all that is ever written of the input's blocks.
    fn vectors(&self, kernels: &Kernels) -> usize {
        self.in_channels.div_ceil(kernels.lanes)
    }

    /// Values of a tile's input channels at one point.
    fn values(&self, kernels: &Kernels) -> usize {
        self.vectors(kernels) * kernels.lanes / self.input.storage.each_at_points()
    }

    /// Tiles of the largest register tile.
    fn register_tile(&self, kernels: &Kernels) -> usize {
        match self.input.storage {
            Storage::Numbers => kernels.numbers.tile,
            Storage::Halves | Storage::Bytes(_) => kernels.halves.tile,
        }
    }

    /// Values that a thread needs for itself.
    pub(super) fn scratch(&self, kernels: &Kernels) -> usize {
        let each = [Share::Apart, Share::Together].map(|share| self.most(share, kernels));
        self.layout(kernels, each.into_iter().max().unwrap_or(0)).len
    }

    /// Tiles of the largest group.
    fn most(&self, share: Share, kernels: &Kernels) -> usize {
        let most = match share {
            Share::Apart => GROUP,
            Share::Together => {
                let input = self.tile.points() * self.values(kernels);
                let product = self.tile.points() * 2 * kernels.lanes;
                (INPUTS / input).min(PRODUCTS / product).max(1)
            }
        };
        most.next_multiple_of(self.register_tile(kernels))
    }

    /// How threads share so many tiles.
    fn share(&self, kernels: &Kernels, tiles: usize, threads: usize) -> Share {
        let channel_groups = self.out_channels.div_ceil(2 * kernels.lanes);
        let weights = self.tile.points() * self.values(kernels) * self.out_channels;
        let groups = tiles.div_ceil(self.most(Share::Apart, kernels));
        if groups == 1 || weights > WEIGHTS && channel_groups >= 2 * threads {
            Share::Together
        } else {
            Share::Apart
        }
    }

    fn layout(&self, kernels: &Kernels, tiles: usize) -> Scratch {
        // A line more, so that the points do not all fall into the same sets of the cache.
        let inputs = tiles * self.values(kernels) + LINE;
        let products = tiles * 2 * kernels.lanes + LINE;
        let offset = (self.tile.points() * inputs).next_multiple_of(LINE);
        Scratch { inputs, products, offset, len: offset + self.tile.points() * products }
    }

    /// Computes the output of every picture.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, `parameters` are packed for this convolution, the
    /// scratch is large enough, and nobody else uses either.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>, parameters: &Parameters) {
        let (kernels, threads) = (context.kernels, context.threads.count());
        let (rows, columns) = self.tile.cover(self.output.size);
        let tiles = rows * columns * context.batch;
        let share = self.share(kernels, tiles, threads);
        let groups = tiles.div_ceil(self.most(share, kernels));
        let groups = if share == Share::Apart { groups.next_multiple_of(threads) } else { groups };
        let each = tiles.div_ceil(groups);
        let groups = tiles.div_ceil(each);
        let channel_groups = self.out_channels.div_ceil(2 * kernels.lanes);
        let pass = &Pass {
            conv: self,
            kernels,
            arena: context.arena,
            batch: context.batch,
            cover: (rows, columns),
            tiles,
            each,
            scratch: self.layout(kernels, each),
            weights: parameters.weights.values(),
            bias: parameters.bias.values(),
        };
        let (scratch, scratch_each) = (context.scratch, context.scratch_each);
        match share {
            Share::Apart => context.threads.run(groups, &|group, thread| {
                let own = scratch.at(thread * scratch_each);
                // SAFETY: groups of tiles share no output, and the scratch is this thread's own.
                unsafe {
                    (0..self.vectors(kernels)).for_each(|vector| pass.inputs(group, vector, own));
                    (0..channel_groups).for_each(|channels| pass.outputs(group, channels, own, own));
                }
            }),
            Share::Together => {
                for group in 0..groups {
                    // The inputs lie in the first thread's scratch, products in each thread's own.
                    // SAFETY: tasks have vectors of their own.
                    context.threads.run(self.vectors(kernels), &|vector, _| unsafe {
                        pass.inputs(group, vector, scratch.at(0))
                    });
                    context.threads.run(channel_groups, &|channels, thread| {
                        // SAFETY: groups of channels share no output.
                        unsafe {
                            let own = scratch.at(thread * scratch_each);
                            pass.outputs(group, channels, scratch.at(0), own);
                        }
                    });
                }
            }
        }
    }
}

/// A convolution on its way over the tiles of all pictures.
#[derive(Debug)]
struct Pass<'a> {
    conv: &'a WinogradConv,
    kernels: &'static Kernels,
    arena: Shared,
    batch: usize,
    /// Rows and columns of tiles of a picture.
    cover: (usize, usize),
    /// Of all pictures.
    tiles: usize,
    /// Tiles of a group.
    each: usize,
    scratch: Scratch,
    weights: &'a [f32],
    bias: &'a [f32],
}

impl Pass<'_> {
    /// The tiles of a group: picture, row and column of the first pixel.
    fn tiles(&self, group: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let (rows, columns) = self.cover;
        let outputs = self.conv.tile.outputs();
        (group * self.each..((group + 1) * self.each).min(self.tiles)).map(move |tile| {
            let (picture, tile) = (tile / (rows * columns), tile % (rows * columns));
            (picture, tile / columns * outputs, tile % columns * outputs)
        })
    }

    /// One vector of a group's inputs at the points, into the inputs of `scratch`.
    ///
    /// # Safety
    ///
    /// The convolution's; nobody else has this vector in `scratch`.
    unsafe fn inputs(&self, group: usize, vector: usize, scratch: *mut f32) {
        let Self { conv, kernels, .. } = *self;
        let input = conv.input;
        let transforms = conv.tile.transforms(kernels);
        let values = conv.values(kernels);
        let within = vector * kernels.lanes / input.storage.each_at_points();
        for (index, (picture, y, x)) in self.tiles(group).enumerate() {
            let first = input.start(self.batch, picture) + input.vector(vector) + input.pixel(y, x)
                - input.row()
                - input.lanes;
            // SAFETY: the tile lies in the input and its border.
            unsafe {
                let (from, row) = (self.arena.at(first), input.row());
                let (to, point) = (scratch.add(index * values + within), self.scratch.inputs);
                match input.storage {
                    Storage::Numbers => (transforms.inputs)(from, row, to, point),
                    Storage::Halves => (transforms.inputs_halves)(from, row, to, point),
                    Storage::Bytes(Quantization { zero, .. }) => {
                        (transforms.inputs_bytes)(from, row, to, point, zero.into());
                    }
                }
            }
        }
    }

    /// The outputs of a group for one group of channels: the products of `inputs` go to the products of `scratch`.
    ///
    /// # Safety
    ///
    /// The convolution's; nobody else has these outputs or these products.
    unsafe fn outputs(&self, group: usize, channel_group: usize, inputs: *const f32, scratch: *mut f32) {
        let Self { conv, kernels, .. } = *self;
        let lanes = kernels.lanes;
        let vectors = kernels.vectors(conv.out_channels - channel_group * 2 * lanes);
        let channels = conv.values(kernels);
        let count = self.tiles(group).count();
        let weights = &self.weights[channel_group * 2 * lanes * channels * conv.tile.points()..];
        let product_of = match conv.input.storage {
            Storage::Numbers => kernels.product,
            Storage::Halves | Storage::Bytes(_) => kernels.product_halves,
        };
        let tile = conv.register_tile(kernels);
        // SAFETY: inputs, products and weights are as large as the layout and the packing made them.
        unsafe {
            let products = scratch.add(self.scratch.offset);
            let runs = count.div_ceil(tile);
            for point in 0..conv.tile.points() {
                for run in 0..runs {
                    let (first, end) = (count * run / runs, count * (run + 1) / runs);
                    let product = Product {
                        input: inputs.add(point * self.scratch.inputs + first * channels),
                        channels,
                        weights: weights[point * channels * vectors * lanes..].as_ptr(),
                        output: products.add(point * self.scratch.products + first * vectors * lanes),
                    };
                    product_of(vectors, end - first, &product);
                }
            }
            let transform = conv.tile.transforms(kernels).outputs;
            for (index, (picture, y, x)) in self.tiles(group).enumerate() {
                for vector in 0..vectors {
                    self.store(
                        transform,
                        products.add((index * vectors + vector) * lanes),
                        channel_group * 2 + vector,
                        (picture, y, x),
                    );
                }
            }
        }
    }

    /// One tile's outputs of one vector of channels from its products.
    ///
    /// # Safety
    ///
    /// As [`Pass::outputs`].
    unsafe fn store(
        &self,
        transform: unsafe fn(&Outputs),
        products: *const f32,
        vector: usize,
        (picture, y, x): (usize, usize, usize),
    ) {
        let Self { conv, arena, batch, .. } = *self;
        let output = conv.output;
        let start = output.start(batch, picture) + output.vector(vector);
        let (height, width) = output.size;
        let end = |first: usize, length: usize| (first + conv.tile.outputs()).min(length);
        let (bottom, right) = (end(y, height), end(x, width));
        let residual = conv.residual.map(|add| {
            let start = add.start(batch, picture) + add.vector(vector);
            (arena.at(start + add.pixel(y, x)), add.row())
        });
        let argument = Outputs {
            products,
            point: self.scratch.products,
            bias: self.bias[vector * self.kernels.lanes..].as_ptr(),
            output: arena.at(start + output.pixel(y, x)),
            row: output.row(),
            size: (bottom - y, right - x),
            residual: residual.map_or(std::ptr::null(), |(first, _)| first),
            residual_row: residual.map_or(0, |(_, row)| row),
            epilogue: conv.epilogue,
        };
        // SAFETY: the caller's.
        unsafe {
            transform(&argument);
            // A block of halves or bytes has several vectors.
            let begins = vector.is_multiple_of(output.storage.each());
            if begins && (y == 0 || x == 0 || bottom == height || right == width) {
                output.clear_border(arena, start, y..bottom, x..right);
            }
        }
    }
}
