//! Attention: how it is cut into tasks.
#![expect(unsafe_code, reason = "threads write to parts of the arena through pointers")]

use kernels::Kernels;

use super::context::Context;
use super::layout::Region;

/// For each pixel the mean of all pixels' values, weighed by queries and keys.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) query: Region,
    pub(super) key: Region,
    pub(super) value: Region,
    pub(super) output: Region,
    /// Of a query and a key.
    pub(super) channels: usize,
    pub(super) scale: f32,
}

impl Attention {
    /// Pixels, and what completes the last vector of them.
    fn pixels(&self, kernels: &Kernels) -> usize {
        (self.output.size.0 * self.output.size.1).next_multiple_of(kernels.lanes)
    }

    /// Values of a thread's scratch: all keys, and a share for each pixel.
    pub(super) fn scratch(&self, kernels: &Kernels) -> usize {
        (self.channels + 1) * self.pixels(kernels)
    }

    /// Computes the output of every picture.
    ///
    /// # Safety
    ///
    /// The regions lie in the context's arena and do not overlap, the scratch is large enough, and nobody else uses either.
    pub(super) unsafe fn run(&self, context: &mut Context<'_>) {
        let (kernels, arena, batch) = (context.kernels, context.arena, context.batch);
        let (scratch, scratch_each) = (context.scratch, context.scratch_each);
        let Self { query, key, value, output, channels, scale } = *self;
        let (height, width) = output.size;
        let pixels = self.pixels(kernels);
        // Every task brings the keys into order once, so that there are few.
        let parts = height.min(2 * context.threads.count());
        context.threads.run(batch * parts, &|task, thread| {
            let (picture, part) = (task / parts, task % parts);
            let rows = height * part / parts..height * (part + 1) / parts;
            let keys = scratch.at(thread * scratch_each);
            let from = key.start(batch, picture);
            // SAFETY: this thread has its part of the scratch, this task the rows; all pixels lie in their regions.
            unsafe {
                for channel in 0..channels {
                    let source = from + channel / key.lanes * key.block() + channel % key.lanes;
                    let row = keys.add(channel * pixels);
                    row.write_bytes(0, pixels);
                    for y in 0..height {
                        for x in 0..width {
                            row.add(y * width + x).write(arena.at(source + key.pixel(y, x)).read());
                        }
                    }
                }
                let to = output.start(batch, picture);
                for y in rows.clone() {
                    for x in 0..width {
                        (kernels.attention)(&kernels::Attention {
                            query: arena.at(query.start(batch, picture) + query.pixel(y, x)),
                            query_block: query.block(),
                            keys,
                            pixels,
                            channels,
                            scale,
                            shares: keys.add(channels * pixels),
                            value: arena.at(value.start(batch, picture) + value.pixel(0, 0)),
                            value_block: value.block(),
                            value_row: value.row(),
                            size: output.size,
                            blocks: output.blocks,
                            output: arena.at(to + output.pixel(y, x)),
                            output_block: output.block(),
                        });
                    }
                }
                for block in 0..output.blocks {
                    output.clear_border(arena, to + block * output.block(), rows.clone(), 0..width);
                }
            }
        });
    }
}
