//! Convolution by its definition on blocks of channels: a register tile of neighbouring output pixels, each of one or
//! two vectors of channels, takes every tap in turn.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use super::epilogue::Epilogue;
use crate::executor::cpu::simd::{Simd, prefetch_weights};

/// What a register tile of a convolution is made of. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub(in crate::executor::cpu) struct Direct<'a> {
    /// The first tap of the first pixel.
    pub(in crate::executor::cpu) input: *const f32,
    /// From a block of input channels to the next.
    pub(in crate::executor::cpu) input_block: usize,
    /// From a row of taps to the next.
    pub(in crate::executor::cpu) row: usize,
    /// From a tap to its right neighbour.
    pub(in crate::executor::cpu) column: usize,
    /// Rows and columns of taps.
    pub(in crate::executor::cpu) taps: (usize, usize),
    /// Channels of each block of the input.
    pub(in crate::executor::cpu) counts: &'a [u16],
    /// In the order of the loops: block, row, column, channel, and the tile's vectors of output channels.
    pub(in crate::executor::cpu) weights: *const f32,
    /// One for each output channel of the tile.
    pub(in crate::executor::cpu) bias: *const f32,
    /// The first pixel's first vector; the others' follow it.
    pub(in crate::executor::cpu) output: *mut f32,
    /// From a block of output channels to the next.
    pub(in crate::executor::cpu) output_block: usize,
    /// What is added, laid out as the output.
    pub(in crate::executor::cpu) residual: *const f32,
    pub(in crate::executor::cpu) residual_block: usize,
    pub(in crate::executor::cpu) epilogue: Epilogue,
}

macro_rules! tile {
    ($name:ident, $pixels:literal, [$($t:literal),*]) => {
        /// A tile of so many pixels, `PIXEL` input values apart.
        ///
        /// # Safety
        ///
        /// As [`Simd`], for everything that `a` points to.
        #[inline(always)]
        unsafe fn $name<S: Simd, const VECTORS: usize, const PIXEL: usize>(a: &Direct<'_>) {
            // SAFETY: the caller's.
            unsafe {
                let mut first = [S::splat(0.0); $pixels];
                let mut second = [S::splat(0.0); $pixels];
                let mut weights = a.weights;
                let mut block = a.input;
                for &count in a.counts {
                    let next = block.wrapping_add(a.input_block);
                    for row in 0..a.taps.0 {
                        for column in 0..a.taps.1 {
                            let tap = row * a.row + column * a.column;
                            let taps = block.add(tap);
                            // The next block's lines: those between two pixels are the first columns'. The picture has
                            // no next block.
                            if PIXEL >= S::LANES && column * S::LANES < PIXEL {
                                $( S::prefetch(next.wrapping_add(tap + $t * PIXEL)); )*
                            }
                            for channel in 0..usize::from(count) {
                                prefetch_weights::<S, VECTORS>(weights);
                                let w = S::load(weights);
                                if VECTORS == 2 {
                                    let w2 = S::load(weights.add(S::LANES));
                                    $(
                                        let value = S::splat(*taps.add($t * PIXEL + channel));
                                        first[$t] = S::mul_add(w, value, first[$t]);
                                        second[$t] = S::mul_add(w2, value, second[$t]);
                                    )*
                                } else {
                                    $(
                                        let value = S::splat(*taps.add($t * PIXEL + channel));
                                        first[$t] = S::mul_add(w, value, first[$t]);
                                    )*
                                }
                                weights = weights.add(VECTORS * S::LANES);
                            }
                        }
                    }
                    block = next;
                }
                let bias = S::load(a.bias);
                a.epilogue.store::<S, $pixels>(first, bias, a.output, a.residual);
                if VECTORS == 2 {
                    let bias = S::load(a.bias.add(S::LANES));
                    let residual = a.residual.wrapping_add(a.residual_block);
                    a.epilogue.store::<S, $pixels>(second, bias, a.output.add(a.output_block), residual);
                }
            }
        }
    };
}

register_tiles!(tile);

/// A tile of `pixels` in `1..=S::TILE`.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(super) unsafe fn direct<S: Simd, const VECTORS: usize, const PIXEL: usize>(
    pixels: usize,
    a: &Direct<'_>,
) {
    // SAFETY: the caller's. Tiles above what the instruction set uses are left out of its code.
    unsafe { by_tile!(pixels, S::TILE, (S, VECTORS, PIXEL), a) }
}
