//! The products of Winograd's convolution: for one of its points, the transformed inputs of some tiles times the
//! transformed weights.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::LINE;
use crate::simd::{Dot, Simd, prefetch_weights};

/// Operands of a product. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// The first tile's channels.
    pub input: *const f32,
    /// From a tile to the next.
    pub tile: usize,
    /// Values of the channels, of which each is one or two.
    pub channels: usize,
    /// For each value of the channels the vectors of output channels.
    pub weights: *const f32,
    /// For each tile the vectors of output channels.
    pub output: *mut f32,
    /// Whether the products are added to what is there.
    pub adds: bool,
}

macro_rules! product {
    ($name:ident, $tiles:literal, [$($t:literal),*]) => {
        /// So many tiles.
        ///
        /// # Safety
        ///
        /// As [`Simd`], for everything that `a` points to.
        #[inline(always)]
        unsafe fn $name<D: Dot, const VECTORS: usize>(a: &Product) {
            // SAFETY: the caller's.
            unsafe {
                let mut first = [D::zero(); $tiles];
                let mut second = [D::zero(); $tiles];
                let tiles = [$( a.input.add($t * a.tile) ),*];
                let mut weights = a.weights;
                for channel in 0..a.channels {
                    if channel.is_multiple_of(LINE) {
                        $( D::F::prefetch(tiles[$t].wrapping_add(channel + LINE)); )*
                    }
                    prefetch_weights::<D::F, VECTORS>(weights);
                    let w = D::load(weights);
                    if VECTORS == 2 {
                        let w2 = D::load(weights.add(D::F::LANES));
                        $(
                            let value = D::splat(tiles[$t].add(channel));
                            first[$t] = D::dot(first[$t], value, w);
                            second[$t] = D::dot(second[$t], value, w2);
                        )*
                    } else {
                        $(
                            let value = D::splat(tiles[$t].add(channel));
                            first[$t] = D::dot(first[$t], value, w);
                        )*
                    }
                    weights = weights.add(VECTORS * D::F::LANES);
                }
                let scales = std::ptr::null();
                let before = |at: *const f32| if a.adds { D::F::load(at) } else { D::F::splat(0.0) };
                $(
                    let output = a.output.add($t * VECTORS * D::F::LANES);
                    D::F::store(output, D::finish(first[$t], scales, before(output)));
                    if VECTORS == 2 {
                        let output = output.add(D::F::LANES);
                        D::F::store(output, D::finish(second[$t], scales, before(output)));
                    }
                )*
            }
        }
    };
}

register_tiles!(product);

/// `tiles` in `1..=D::TILE`. Sums need no scales.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(crate) unsafe fn product<D: Dot, const VECTORS: usize>(tiles: usize, a: &Product) {
    // SAFETY: the caller's. Products above what the instruction set uses are left out of its code.
    unsafe { by_tile!(tiles, D::TILE, (D, VECTORS), a) }
}
