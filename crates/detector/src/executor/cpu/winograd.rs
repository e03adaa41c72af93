//! Winograd's convolution: how it is cut into groups of tiles, and what each task does with a group.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

mod tile;
mod weights;

use std::ops::Range;

use kernels::{Epilogue, Kernels, LINE, Outputs, Product, Quantization, Storage, Taps};

use super::context::Context;
use super::layout::Region;
use super::memory::Shared;
use super::packing::Parameters;
pub(super) use tile::TileSize;
use weights::TAPS;
pub(super) use weights::{Transformed, pack, pack_taps, packed_len};

/// Tiles of a group that a thread has for itself: enough that the weights are read seldom, few enough that the products
/// stay in the cache.
const GROUP: usize = 56;
/// Most values of a group's inputs at the points, where threads share them: they are read from the cache of all cores.
const INPUTS: usize = 1 << 20;
/// Most values of a group's products at the points, where threads share it: they stay in a core's own cache.
const PRODUCTS: usize = 1 << 17;
/// Weights, in values, that are too many to be read again and again.
const WEIGHTS: usize = 3_000_000;
/// Input channels whose weights are brought to the points at a time: these stay in a core's own cache.
const CHUNK: usize = 64;

/// How threads share the tiles of all pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    /// Each takes a group of tiles with all channels.
    Apart,
    /// All take a group of tiles together: first its inputs, then some output channels each, so that the weights are read
    /// once for a larger group.
    Together,
}

/// A 3x3 convolution of stride 1 without its weights.
#[derive(Debug)]
pub(super) struct WinogradConv {
    pub(super) tile: TileSize,
    pub(super) transformed: Transformed,
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    pub(super) input: Region,
    pub(super) output: Region,
    pub(super) residual: Option<Region>,
    pub(super) epilogue: Epilogue,
}

/// Distances in a thread's scratch, in values.
#[derive(Debug, Clone, Copy)]
struct Scratch {
    /// From an input's point to the next.
    inputs: usize,
    /// From a product's point to the next.
    products: usize,
    /// From a weight's point to the next, where weights are brought to the points in each run.
    weights: usize,
    /// From the inputs to the products.
    to_products: usize,
    /// From the inputs to the weights.
    to_weights: usize,
    len: usize,
}

/// Tiles of the largest group that threads share, of so many values at each point.
fn most_together(tile: TileSize, values: usize, kernels: &Kernels) -> usize {
    let (input, product) = (tile.points() * values, tile.points() * 2 * kernels.lanes);
    (INPUTS / input).min(PRODUCTS / product).max(1)
}

/// How often weights are brought to the points for so many tiles, if that is done in each run.
pub(super) fn times_made(tile: TileSize, tiles: usize, in_channels: usize, kernels: &Kernels) -> usize {
    tiles.div_ceil(most_together(tile, in_channels, kernels))
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
            Share::Together => most_together(self.tile, self.values(kernels), kernels),
        };
        most.next_multiple_of(self.register_tile(kernels))
    }

    /// How threads share so many tiles.
    fn share(&self, kernels: &Kernels, tiles: usize, threads: usize) -> Share {
        let channel_groups = self.out_channels.div_ceil(2 * kernels.lanes);
        let weights = self.tile.points() * self.values(kernels) * self.out_channels;
        let groups = tiles.div_ceil(self.most(Share::Apart, kernels));
        let is_made = self.transformed == Transformed::EachRun;
        let is_much = is_made || weights > WEIGHTS;
        if groups == 1 || is_much && channel_groups >= 2 * threads { Share::Together } else { Share::Apart }
    }

    fn layout(&self, kernels: &Kernels, tiles: usize) -> Scratch {
        let points = self.tile.points();
        // A line more, so that the points do not all fall into the same sets of the cache.
        let inputs = tiles * self.values(kernels) + LINE;
        let products = tiles * 2 * kernels.lanes + LINE;
        let weights = match self.transformed {
            Transformed::AtLoad => 0,
            Transformed::EachRun => CHUNK * 2 * kernels.lanes + LINE,
        };
        let to_products = (points * inputs).next_multiple_of(LINE);
        let to_weights = (to_products + points * products).next_multiple_of(LINE);
        let len = to_weights + self.tile.row() * weights;
        Scratch { inputs, products, weights, to_products, to_weights, len }
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

/// Weights of some input channels at some points.
#[derive(Debug, Clone)]
struct Weights {
    channels: Range<usize>,
    points: Range<usize>,
    /// Of the first channel at the first point.
    first: *const f32,
    /// From a point to the next, in values.
    point: usize,
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
        let before = channel_group * 2 * lanes * channels;
        let transforms = conv.tile.transforms(kernels);
        // SAFETY: inputs, products and weights are as large as the layout and the packing made them.
        unsafe {
            let products = scratch.add(self.scratch.to_products);
            match conv.transformed {
                Transformed::AtLoad => {
                    let weights = Weights {
                        channels: 0..channels,
                        points: 0..conv.tile.points(),
                        first: self.weights[before * conv.tile.points()..].as_ptr(),
                        point: channels * vectors * lanes,
                    };
                    self.products(group, vectors, inputs, &weights, products);
                }
                Transformed::EachRun => {
                    let made = scratch.add(self.scratch.to_weights);
                    let (taps, row) = (&self.weights[before * TAPS..], conv.tile.row());
                    for first in (0..channels).step_by(CHUNK) {
                        let chunk = first..(first + CHUNK).min(channels);
                        let taps = Taps {
                            taps: taps[first * TAPS * vectors * lanes..].as_ptr(),
                            channels: chunk.len(),
                            vectors,
                            output: made,
                            point: self.scratch.weights,
                        };
                        for y in 0..row {
                            (transforms.taps)(y, &taps);
                            let weights = Weights {
                                channels: chunk.clone(),
                                points: y * row..(y + 1) * row,
                                first: made,
                                point: self.scratch.weights,
                            };
                            self.products(group, vectors, inputs, &weights, products);
                        }
                    }
                }
            }
            for (index, (picture, y, x)) in self.tiles(group).enumerate() {
                for vector in 0..vectors {
                    self.store(
                        transforms.outputs,
                        products.add((index * vectors + vector) * lanes),
                        channel_group * 2 + vector,
                        (picture, y, x),
                    );
                }
            }
        }
    }

    /// A group's products with some weights; those of all but the first channels are added to what is there.
    ///
    /// # Safety
    ///
    /// As [`Pass::outputs`].
    unsafe fn products(
        &self,
        group: usize,
        vectors: usize,
        inputs: *const f32,
        weights: &Weights,
        products: *mut f32,
    ) {
        let Self { conv, kernels, .. } = *self;
        let product_of = match conv.input.storage {
            Storage::Numbers => kernels.product,
            Storage::Halves | Storage::Bytes(_) => kernels.product_halves,
        };
        let (channels, values) = (&weights.channels, conv.values(kernels));
        let count = self.tiles(group).count();
        let runs = count.div_ceil(conv.register_tile(kernels));
        for (index, point) in weights.points.clone().enumerate() {
            for run in 0..runs {
                let (first, end) = (count * run / runs, count * (run + 1) / runs);
                // SAFETY: the caller's.
                unsafe {
                    let product = Product {
                        input: inputs.add(point * self.scratch.inputs + first * values + channels.start),
                        tile: values,
                        channels: channels.len(),
                        weights: weights.first.add(index * weights.point),
                        output: products.add(point * self.scratch.products + first * vectors * kernels.lanes),
                        adds: channels.start > 0,
                    };
                    product_of(vectors, end - first, &product);
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
