//! Layers that move pixels: pooling, upsampling, depth to space, and a layer's channels among those of others.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

use super::context::Context;
use super::kernel::MaxPool;
use super::layout::Region;
use crate::graph::Window;

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
                            (kernels.max_pool)(&argument);
                        }
                        Kind::Upsample => {
                            for x in 0..width {
                                let source = arena.at(same + input.pixel(y / 2, x / 2));
                                source.copy_to_nonoverlapping(row.add(x * output.lanes), output.lanes);
                            }
                        }
                        Kind::DepthToSpace(channels) => {
                            for x in 0..width {
                                let source = from + input.pixel(y / 2, x / 2);
                                let quarter = (y % 2 * 2 + x % 2) * channels;
                                for lane in 0..output.lanes {
                                    let channel = block * output.lanes + lane;
                                    let value = if channel < channels {
                                        let position = quarter + channel;
                                        let block = position / input.lanes * input.block();
                                        arena.at(source + block + position % input.lanes).read()
                                    } else {
                                        0.0
                                    };
                                    row.add(x * output.lanes + lane).write(value);
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

/// A layer's channels put among those of a concatenation.
#[derive(Debug)]
pub(super) struct Join {
    pub(super) input: Region,
    /// Of the input.
    pub(super) channels: usize,
    /// The concatenation.
    pub(super) output: Region,
    /// The concatenation's channel that the first one becomes.
    pub(super) first: usize,
}

impl Join {
    /// Copies the channels of every picture, and zeros into the lanes that complete the last block.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, later channels of the concatenation have not been
    /// written to the last block, and nobody else uses the arena.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>) {
        let (arena, batch) = (context.arena, context.batch);
        let Self { input, channels, output, first } = *self;
        let lanes = output.lanes;
        let (height, width) = output.size;
        context.threads.run(batch * height, &|task, _| {
            let (picture, y) = (task / height, task % height);
            let from = input.start(batch, picture);
            let to = output.start(batch, picture);
            // SAFETY: this task has the row; all pixels lie in their regions.
            unsafe {
                for position in first..(first + channels).next_multiple_of(lanes) {
                    let channel = position - first;
                    let source = from + channel / lanes * input.block() + channel % lanes + input.pixel(y, 0);
                    let target =
                        to + position / lanes * output.block() + position % lanes + output.pixel(y, 0);
                    for x in (0..width * lanes).step_by(lanes) {
                        let value = if channel < channels { arena.at(source + x).read() } else { 0.0 };
                        arena.at(target + x).write(value);
                    }
                }
                for block in first / lanes..(first + channels).div_ceil(lanes) {
                    output.clear_border(arena, to + block * output.block(), y..y + 1, 0..width);
                }
            }
        });
    }
}
