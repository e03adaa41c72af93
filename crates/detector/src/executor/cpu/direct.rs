//! A convolution by its definition: how it is cut into tasks and register tiles.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

use kernels::{Direct, Epilogue, Kernels, Step, pair};

use super::context::Context;
use super::layout::{Region, counts};
use super::memory::Aligned;
use super::packing::{Parameters, packed};
use super::threads::Threads;
use crate::graph::Geometry;

/// Input that stays in a core's own cache while a group of output channels passes over it, in bytes.
const CHUNK: usize = 400_000;

/// A convolution without its weights.
#[derive(Debug)]
pub(super) struct DirectConv {
    pub(super) geometry: Geometry,
    /// Values of each block of the input that a tap reads.
    pub(super) counts: Vec<u16>,
    /// Whether the input is the picture.
    pub(super) picture: bool,
    pub(super) input: Region,
    pub(super) output: Region,
    pub(super) residual: Option<Region>,
    pub(super) epilogue: Epilogue,
}

/// How many values a convolution's weights become, `each` of which make one.
pub(super) fn packed_len(geometry: &Geometry, each: usize, kernels: &Kernels) -> usize {
    let taps = geometry.kernel * geometry.kernel;
    geometry.out_channels.next_multiple_of(kernels.lanes) * geometry.in_channels.div_ceil(each) * taps
}

/// Weights in the order in which the register tiles take them: for each group of up to two vectors of output channels
/// all blocks of input channels, rows and columns of taps, and channels.
pub(super) fn pack(geometry: &Geometry, kernels: &Kernels, weight: &[f32], threads: &mut Threads) -> Aligned {
    let Geometry { in_channels, kernel, .. } = *geometry;
    pack_values(geometry, kernels, 1, threads, &|output, inputs, tap| {
        weight[(output * in_channels + inputs) * kernel * kernel + tap]
    })
}

/// As [`pack`], with the halves of two input channels for each value.
pub(super) fn pack_halves(
    geometry: &Geometry,
    kernels: &Kernels,
    weight: &[f32],
    threads: &mut Threads,
) -> Aligned {
    let Geometry { in_channels, kernel, .. } = *geometry;
    pack_values(geometry, kernels, 2, threads, &|output, inputs, tap| {
        let half = |input: usize| {
            if input < in_channels {
                weight[(output * in_channels + input) * kernel * kernel + tap]
            } else {
                0.0
            }
        };
        pair([half(2 * inputs), half(2 * inputs + 1)])
    })
}

/// As [`pack`], with the bytes of four input channels for each value.
pub(super) fn pack_bytes(
    geometry: &Geometry,
    kernels: &Kernels,
    weight: &[i8],
    threads: &mut Threads,
) -> Aligned {
    let Geometry { in_channels, kernel, .. } = *geometry;
    pack_values(geometry, kernels, 4, threads, &|output, inputs, tap| {
        let byte = |input: usize| {
            if input < in_channels {
                weight[(output * in_channels + input) * kernel * kernel + tap] as u8
            } else {
                0
            }
        };
        f32::from_bits(u32::from_ne_bytes(std::array::from_fn(|lane| byte(4 * inputs + lane))))
    })
}

/// `value` is called with an output channel, the number of a value of input channels, `each` of which make one, and a tap.
fn pack_values(
    geometry: &Geometry,
    kernels: &Kernels,
    each: usize,
    threads: &mut Threads,
    value: &(dyn Fn(usize, usize, usize) -> f32 + Sync),
) -> Aligned {
    let Geometry { in_channels, out_channels, kernel, .. } = *geometry;
    let inputs = in_channels.div_ceil(each);
    let depth = inputs * kernel * kernel;
    let outputs = out_channels.next_multiple_of(kernels.lanes);
    packed(outputs * depth, 2 * kernels.lanes * depth, threads, &|group, packed| {
        let first = 2 * kernels.lanes * group;
        let row = kernels.vectors(out_channels - first) * kernels.lanes;
        let mut rows = packed.chunks_exact_mut(row);
        for block in (0..inputs).step_by(kernels.lanes) {
            for tap in 0..kernel * kernel {
                for input in block..(block + kernels.lanes).min(inputs) {
                    let Some(row) = rows.next() else { return };
                    for (output, to) in (first..out_channels).zip(row) {
                        *to = value(output, input, tap);
                    }
                }
            }
        }
    })
}

impl DirectConv {
    /// Values of each block of the input that a tap reads: its channels, or all taps of a row of the picture.
    pub(super) fn counts(geometry: &Geometry, picture: bool, input: &Region) -> Vec<u16> {
        if picture {
            vec![(input.lanes * geometry.kernel) as u16]
        } else {
            counts(geometry.in_channels, input.lanes, input.storage.each())
        }
    }

    /// Computes the output of every picture.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, `parameters` are packed for this convolution, and nobody
    /// else uses the arena.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>, parameters: &Parameters) {
        let Parameters { weights, scales, bias } = parameters;
        let (kernels, arena, batch) = (context.kernels, context.arena, context.batch);
        let (input, output) = (self.input, self.output);
        let Geometry { kernel, stride, out_channels, .. } = self.geometry;
        let groups = out_channels.div_ceil(2 * kernels.lanes);
        let plan = self.split(groups, context.threads.count(), batch);
        // A row of the picture's taps is one run of values.
        let (taps, column) = if self.picture { ((kernel, 1), 0) } else { ((kernel, kernel), input.lanes) };
        let step = match (self.picture, stride) {
            (false, 1) => Step::Block,
            (false, _) => Step::TwoBlocks,
            (true, 1) => Step::Rgb,
            (true, _) => Step::TwoRgb,
        };
        let products = kernels.products(input.storage);
        let values: usize = self.counts.iter().map(|&count| usize::from(count)).sum();
        let group_weights = 2 * kernels.lanes * values * taps.0 * taps.1;
        // Where bytes fill a block, several groups do.
        let groups_a_block = (output.storage.each() / 2).max(1);
        let (height, width) = output.size;
        let tiles = width.div_ceil(products.tile);
        context.threads.run(plan.chunks * groups, &|task, _| {
            let (chunk, group) = if plan.rows_first {
                (task / groups, task % groups)
            } else {
                (task % plan.chunks, task / plan.chunks)
            };
            let vectors = kernels.vectors(out_channels - group * 2 * kernels.lanes);
            let (picture, chunk) = (chunk / plan.chunks_each, chunk % plan.chunks_each);
            let rows = chunk * plan.rows..((chunk + 1) * plan.rows).min(height);
            let from = input.start(batch, picture);
            let to = output.start(batch, picture) + output.vector(2 * group);
            let add = self.residual.map(|add| (add, add.start(batch, picture) + add.vector(2 * group)));
            for y in rows.clone() {
                for tile in 0..tiles {
                    // Tiles as even as can be: a narrow one at the end would wait for its additions.
                    let (x, end) = (width * tile / tiles, width * (tile + 1) / tiles);
                    // From the first output's centre to its first tap.
                    let first = from + input.pixel(y * stride, x * stride)
                        - self.geometry.padding() * (input.row() + input.lanes);
                    let argument = Direct {
                        input: arena.at(first),
                        input_block: input.block(),
                        row: input.row(),
                        column,
                        taps,
                        counts: &self.counts,
                        weights: weights.values()[group * group_weights..].as_ptr(),
                        scales: scales.values().as_ptr().wrapping_add(group * 2 * kernels.lanes),
                        bias: bias.values()[group * 2 * kernels.lanes..].as_ptr(),
                        output: arena.at(to + output.pixel(y, x)),
                        output_vector: output.vector(1),
                        residual: add.map_or(std::ptr::null(), |(add, at)| arena.at(at + add.pixel(y, x))),
                        residual_vector: add.map_or(0, |(add, _)| add.vector(1)),
                        epilogue: self.epilogue,
                    };
                    // SAFETY: the tile lies in the output, its taps in the input and its border; no other task has it.
                    unsafe { (products.direct)(step, vectors, end - x, &argument) };
                }
            }
            if group % groups_a_block == 0 {
                for block in (0..vectors).step_by(output.storage.each()) {
                    // SAFETY: no other task clears these rows of these blocks, or writes there.
                    unsafe {
                        output.clear_border(arena, to + block * output.block(), rows.clone(), 0..width)
                    };
                }
            }
        });
    }

    /// Cuts the output into chunks of rows. Either the groups of output channels follow each other over a chunk, or the
    /// chunks within a group, whichever reads less from outside of a core's cache; and there are enough for all threads.
    fn split(&self, groups: usize, threads: usize, batch: usize) -> Split {
        let height = self.output.size.0;
        let bytes = |values: usize| values * size_of::<f32>();
        let row = bytes(self.input.row() * self.input.blocks * self.geometry.stride);
        let chunks = height.div_ceil((CHUNK / row.max(1)).clamp(1, height));
        let weights = bytes(self.geometry.weights()) / self.input.storage.each();
        let input = bytes(self.input.block() * self.input.blocks) * batch;
        let rows_first = chunks * batch * weights + input < groups * input + weights;
        let least = if groups * batch < 2 * threads { (2 * threads).div_ceil(batch) } else { 1 };
        let chunks = if rows_first { chunks.max(least) } else { least.min(threads) }.min(height);
        let rows = height.div_ceil(chunks);
        let chunks_each = height.div_ceil(rows);
        Split { rows_first, rows, chunks_each, chunks: chunks_each * batch }
    }
}

/// Chunks of rows.
#[derive(Debug)]
struct Split {
    rows_first: bool,
    /// Of a chunk.
    rows: usize,
    /// Chunks of a picture.
    chunks_each: usize,
    /// Chunks of all pictures.
    chunks: usize,
}
