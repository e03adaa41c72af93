//! What the processor can do at most.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::simd::{Dot, Simd};

/// Vectors that do not wait for each other: more than an addition takes cycles, times the units that do it.
const VECTORS: usize = 12;

/// Adds products in registers, `PRODUCTS` for each sum, and gives how many multiplications and additions that were.
///
/// # Safety
///
/// As [`Dot`].
#[inline(always)]
pub(crate) unsafe fn peak<D: Dot, const PRODUCTS: usize>(rounds: usize) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let [value, weight] = [D::splat(std::hint::black_box(&0.0)), D::splat(std::hint::black_box(&0.0))];
        let mut sums = [D::zero(); VECTORS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = D::dot(*sum, value, weight);
            }
        }
        std::hint::black_box(sums);
    }
    2 * PRODUCTS * D::F::LANES * VECTORS * rounds
}
