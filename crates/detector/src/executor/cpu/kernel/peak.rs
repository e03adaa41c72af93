//! What the processor can do at most.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::executor::cpu::simd::Simd;

/// Vectors that do not wait for each other: more than an addition takes cycles, times the units that do it.
const VECTORS: usize = 12;

/// Multiplies and adds in registers, and gives how many multiplications and additions that were.
///
/// # Safety
///
/// As [`Simd`].
#[inline(always)]
pub(super) unsafe fn peak<S: Simd>(rounds: usize) -> usize {
    // SAFETY: the caller's.
    unsafe {
        let factor = S::splat(std::hint::black_box(0.5));
        let addend = S::splat(std::hint::black_box(0.25));
        let mut sums = [S::splat(0.0); VECTORS];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = S::mul_add(*sum, factor, addend);
            }
        }
        std::hint::black_box(sums);
    }
    2 * S::LANES * VECTORS * rounds
}
