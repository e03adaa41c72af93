//! The products of Winograd's convolution: for one of its points, the transformed inputs of some tiles times the
//! transformed weights.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::executor::cpu::memory::LINE;
use crate::executor::cpu::simd::{Simd, prefetch_weights};

/// Operands of a product. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub(in crate::executor::cpu) struct Product {
    /// The first tile's channels.
    pub(in crate::executor::cpu) input: *const f32,
    /// Channels, which are also the distance from a tile to the next.
    pub(in crate::executor::cpu) channels: usize,
    /// For each channel the vectors of output channels.
    pub(in crate::executor::cpu) weights: *const f32,
    /// For each tile the vectors of output channels.
    pub(in crate::executor::cpu) output: *mut f32,
}

macro_rules! product {
    ($name:ident, $tiles:literal, [$($t:literal),*]) => {
        /// So many tiles.
        ///
        /// # Safety
        ///
        /// As [`Simd`], for everything that `a` points to.
        #[inline(always)]
        unsafe fn $name<S: Simd, const VECTORS: usize>(a: &Product) {
            // SAFETY: the caller's.
            unsafe {
                let mut first = [S::splat(0.0); $tiles];
                let mut second = [S::splat(0.0); $tiles];
                let tiles = [$( a.input.add($t * a.channels) ),*];
                let mut weights = a.weights;
                for channel in 0..a.channels {
                    if channel.is_multiple_of(LINE) {
                        $( S::prefetch(tiles[$t].wrapping_add(channel + LINE)); )*
                    }
                    prefetch_weights::<S, VECTORS>(weights);
                    let w = S::load(weights);
                    if VECTORS == 2 {
                        let w2 = S::load(weights.add(S::LANES));
                        $(
                            let value = S::splat(*tiles[$t].add(channel));
                            first[$t] = S::mul_add(w, value, first[$t]);
                            second[$t] = S::mul_add(w2, value, second[$t]);
                        )*
                    } else {
                        $(
                            let value = S::splat(*tiles[$t].add(channel));
                            first[$t] = S::mul_add(w, value, first[$t]);
                        )*
                    }
                    weights = weights.add(VECTORS * S::LANES);
                }
                $(
                    S::store(a.output.add($t * VECTORS * S::LANES), first[$t]);
                    if VECTORS == 2 {
                        S::store(a.output.add($t * VECTORS * S::LANES + S::LANES), second[$t]);
                    }
                )*
            }
        }
    };
}

register_tiles!(product);

/// `tiles` in `1..=S::TILE`.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(super) unsafe fn product<S: Simd, const VECTORS: usize>(tiles: usize, a: &Product) {
    // SAFETY: the caller's. Products above what the instruction set uses are left out of its code.
    unsafe { by_tile!(tiles, S::TILE, (S, VECTORS), a) }
}
