//! Convolution by its definition on blocks of channels: a register tile of neighbouring output pixels, each of one or
//! two vectors of channels, takes every tap in turn.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use super::epilogue::Epilogue;
use crate::simd::{Dot, Simd, prefetch_weights};

/// What a register tile of a convolution is made of. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct Direct<'a> {
    /// The first tap of the first pixel.
    pub input: *const f32,
    /// From a block of input channels to the next.
    pub input_block: usize,
    /// From a row of taps to the next.
    pub row: usize,
    /// From a tap to its right neighbour.
    pub column: usize,
    /// Rows and columns of taps.
    pub taps: (usize, usize),
    /// Values of each block of the input that a tap takes.
    pub counts: &'a [u16],
    /// In the order of the loops: block, row, column, value, and the tile's vectors of output channels.
    pub weights: *const f32,
    /// One for each output channel of the tile; for sums of bytes only.
    pub scales: *const f32,
    /// One for each output channel of the tile.
    pub bias: *const f32,
    /// The first pixel's first vector; the others' follow it.
    pub output: *mut f32,
    /// From there to the second vector.
    pub output_vector: usize,
    /// What is added, laid out as the output.
    pub residual: *const f32,
    /// From there to the second vector.
    pub residual_vector: usize,
    /// What becomes of the sums.
    pub epilogue: Epilogue,
}

macro_rules! tile {
    ($name:ident, $pixels:literal, [$($t:literal),*]) => {
        /// A tile of so many pixels, `PIXEL` input values apart.
        ///
        /// # Safety
        ///
        /// As [`Simd`], for everything that `a` points to.
        #[inline(always)]
        unsafe fn $name<D: Dot, const VECTORS: usize, const PIXEL: usize>(a: &Direct<'_>) {
            // SAFETY: the caller's.
            unsafe {
                let mut first = [D::zero(); $pixels];
                let mut second = [D::zero(); $pixels];
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
                            if PIXEL >= D::F::LANES && column * D::F::LANES < PIXEL {
                                $( D::F::prefetch(next.wrapping_add(tap + $t * PIXEL)); )*
                            }
                            for channel in 0..usize::from(count) {
                                prefetch_weights::<D::F, VECTORS>(weights);
                                let w = D::load(weights);
                                if VECTORS == 2 {
                                    let w2 = D::load(weights.add(D::F::LANES));
                                    $(
                                        let value = D::splat(taps.add($t * PIXEL + channel));
                                        first[$t] = D::dot(first[$t], value, w);
                                        second[$t] = D::dot(second[$t], value, w2);
                                    )*
                                } else {
                                    $(
                                        let value = D::splat(taps.add($t * PIXEL + channel));
                                        first[$t] = D::dot(first[$t], value, w);
                                    )*
                                }
                                weights = weights.add(VECTORS * D::F::LANES);
                            }
                        }
                    }
                    block = next;
                }
                let bias = D::F::load(a.bias);
                let values = [$( D::finish(first[$t], a.scales, bias) ),*];
                a.epilogue.store::<D::F, $pixels>(values, a.output, a.residual);
                if VECTORS == 2 {
                    let bias = D::F::load(a.bias.add(D::F::LANES));
                    let scales = a.scales.wrapping_add(D::F::LANES);
                    let values = [$( D::finish(second[$t], scales, bias) ),*];
                    let residual = a.residual.wrapping_add(a.residual_vector);
                    a.epilogue.store::<D::F, $pixels>(values, a.output.add(a.output_vector), residual);
                }
            }
        }
    };
}

register_tiles!(tile);

/// A tile of `pixels` in `1..=D::TILE`.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(crate) unsafe fn direct<D: Dot, const VECTORS: usize, const PIXEL: usize>(pixels: usize, a: &Direct<'_>) {
    // SAFETY: the caller's. Tiles above what the instruction set uses are left out of its code.
    unsafe { by_tile!(pixels, D::TILE, (D, VECTORS, PIXEL), a) }
}
