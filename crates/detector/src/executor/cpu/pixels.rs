//! Layers that move pixels: pooling, upsampling, depth to space, and a layer's channels among those of others.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

use std::ops::Range;

use kernels::{MaxPool, Storage, Window};

use super::context::Context;
use super::layout::Region;

/// A layer without weights.
#[derive(Debug)]
pub(super) struct Move {
    pub(super) kind: Kind,
    pub(super) input: Region,
    pub(super) output: Region,
}

/// Where an output pixel comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The largest value of a window.
    MaxPool(Window),
    /// The pixel at half its row and column.
    Upsample,
    /// A quarter of the channels of the pixel at half its row and column; so many channels come out.
    DepthToSpace(usize),
}

impl Kind {
    /// What the layer does, in a word.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::MaxPool(_) => "max-pool",
            Self::Upsample => "upsample",
            Self::DepthToSpace(_) => "depth-to-space",
        }
    }
}

impl Move {
    /// Computes the output of every picture.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, and nobody else uses it.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>) {
        let (kernels, arena, batch) = (context.kernels, context.arena, context.batch);
        let (input, output) = (self.input, self.output);
        let (height, width) = output.size;
        let max_pool = match output.storage {
            Storage::Numbers => kernels.max_pool,
            Storage::Halves => kernels.max_pool_halves,
            Storage::Bytes(_) => kernels.max_pool_bytes,
        };
        context.threads.run(batch * output.blocks, &|task, _| {
            let (picture, block) = (task / output.blocks, task % output.blocks);
            let from = input.start(batch, picture);
            let to = output.start(batch, picture) + block * output.block();
            let same = from + block * input.block();
            // SAFETY: this task has the block of the output; all pixels lie in their regions.
            unsafe {
                for y in 0..height {
                    let row = arena.at(to + output.pixel(y, 0));
                    match self.kind {
                        Kind::MaxPool(window) => {
                            let argument = MaxPool {
                                input: arena.at(same + input.pixel(0, 0)),
                                row: input.row(),
                                size: input.size,
                                window,
                                output: row,
                                y,
                                width,
                            };
                            max_pool(&argument);
                        }
                        Kind::Upsample => {
                            for x in 0..width {
                                let source = arena.at(same + input.pixel(y / 2, x / 2));
                                source.copy_to_nonoverlapping(row.add(x * output.lanes), output.lanes);
                            }
                        }
                        Kind::DepthToSpace(channels) => {
                            for x in 0..width {
                                let source = arena.at(from + input.pixel(y / 2, x / 2));
                                let target = row.add(x * output.lanes);
                                let quarter = (y % 2 * 2 + x % 2) * channels;
                                let first = quarter + block * output.channels();
                                let wanted = first..quarter + channels;
                                match output.storage {
                                    Storage::Numbers => gather::<f32>(input, source, target, wanted, 0.0),
                                    Storage::Halves => {
                                        gather::<u16>(input, source.cast(), target.cast(), wanted, 0);
                                    }
                                    Storage::Bytes(_) => {
                                        gather::<u8>(input, source.cast(), target.cast(), wanted, 0);
                                    }
                                }
                            }
                        }
                    }
                }
                output.clear_border(arena, to, 0..height, 0..width);
            }
        });
    }
}

/// Copies neighbouring channels of a pixel, which may lie in several blocks, to `target` until a block is full, and completes
/// it with zeros.
///
/// # Safety
///
/// `source` is the pixel in the first block of `input`, which has such channels, and `target` has room for a block.
unsafe fn gather<T: Copy>(
    input: Region,
    source: *const T,
    target: *mut T,
    mut channels: Range<usize>,
    zero: T,
) {
    let block = input.block() * (size_of::<f32>() / size_of::<T>());
    for lane in 0..input.channels() {
        // SAFETY: the caller's.
        unsafe {
            let value = match channels.next() {
                Some(channel) => {
                    source.add(channel / input.channels() * block + channel % input.channels()).read()
                }
                None => zero,
            };
            target.add(lane).write(value);
        }
    }
}

/// A layer's channels put among those of a concatenation.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) input: Region,
    /// Of the input.
    pub(super) channels: usize,
    /// The concatenation, stored as the input.
    pub(super) output: Region,
    /// The concatenation's channel that the first one becomes.
    pub(super) first: usize,
}

impl Join {
    /// Copies the channels of every picture, and zeros into what completes the last block.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, later channels of the concatenation have not been
    /// written to the last block, and nobody else uses the arena.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>) {
        // SAFETY: the caller's.
        unsafe {
            match self.output.storage {
                Storage::Numbers => self.copy::<f32>(context, 0.0),
                Storage::Halves => self.copy::<u16>(context, 0),
                Storage::Bytes(_) => self.copy::<u8>(context, 0),
            }
        }
    }

    /// # Safety
    ///
    /// As [`Join::run`], for channels that are `T`.
    unsafe fn copy<T: Copy + Sync>(&self, context: &mut Context<'_>, zero: T) {
        let (arena, batch) = (context.arena, context.batch);
        let Self { input, channels, output, first } = *self;
        // Channels of a block, which all regions have the same.
        let whole = output.channels();
        let (height, width) = output.size;
        context.threads.run(batch * height, &|task, _| {
            let (picture, y) = (task / height, task % height);
            let from = input.start(batch, picture) + input.pixel(y, 0);
            let to = output.start(batch, picture);
            // SAFETY: this task has the row; all pixels lie in their regions.
            unsafe {
                for position in first..(first + channels).next_multiple_of(whole) {
                    let channel = position - first;
                    let source = (channel < channels).then(|| {
                        arena.at(from + channel / whole * input.block()).cast::<T>().add(channel % whole)
                    });
                    let target = arena
                        .at(to + position / whole * output.block() + output.pixel(y, 0))
                        .cast::<T>()
                        .add(position % whole);
                    for x in (0..width * whole).step_by(whole) {
                        let value = source.map_or(zero, |source| source.add(x).read());
                        target.add(x).write(value);
                    }
                }
                for block in first / whole..(first + channels).div_ceil(whole) {
                    output.clear_border(arena, to + block * output.block(), y..y + 1, 0..width);
                }
            }
        });
    }
}
