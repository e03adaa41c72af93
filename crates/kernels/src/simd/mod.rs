//! Vectors of `f32`, and of integers, in the registers of one instruction set.
#![expect(unsafe_code, reason = "vector instructions that the processor must have")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::{Avx512, Avx512Bf16, Avx512Vnni};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;
pub(crate) use portable::Portable;

use std::marker::PhantomData;

use half::bf16;

use crate::LINE;

/// Operations on vectors of [`Simd::LANES`] values. All are inlined into functions that enable the instruction set.
///
/// # Safety
///
/// Every operation needs the instruction set of its type; `load` and `store` need as many values at the
/// pointer as they move, at any alignment.
pub trait Simd: Copy {
    /// A vector.
    type V: Copy;
    /// Values of a vector: the channels of a block.
    const LANES: usize;
    /// Pixels that a register tile of two vectors a pixel may have without spilling.
    const TILE: usize;

    unsafe fn splat(value: f32) -> Self::V;
    unsafe fn load(from: *const f32) -> Self::V;
    unsafe fn store(to: *mut f32, v: Self::V);
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    unsafe fn mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`.
    unsafe fn neg_mul_add(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The nearest integers.
    unsafe fn round(a: Self::V) -> Self::V;
    /// 2 to the power of integers in `-126..=127`.
    unsafe fn power_of_two(a: Self::V) -> Self::V;
    /// As many bytes as numbers.
    unsafe fn load_bytes(from: *const u8) -> Self::V;
    /// The nearest integers to values in `0..=255`, as bytes.
    unsafe fn store_bytes(to: *mut u8, v: Self::V);
    /// As many halves as numbers.
    unsafe fn load_halves(from: *const u16) -> Self::V;
    /// The nearest halves, of two as near the even one.
    unsafe fn store_halves(to: *mut u16, v: Self::V);
    /// In the room of each number two halves, as numbers: those that come first in memory, and the others.
    unsafe fn halves(a: Self::V) -> [Self::V; 2];
    /// Asks for a cache line ahead; any address will do.
    unsafe fn prefetch(at: *const f32);
}

/// How numbers lie in memory.
///
/// # Safety
///
/// As [`Simd`]; `load` and `store` move a vector of numbers.
pub(crate) trait Stored<S: Simd>: Copy {
    /// Numbers in the room of an `f32`.
    const EACH: usize;

    unsafe fn load(from: *const f32) -> S::V;
    unsafe fn store(to: *mut f32, v: S::V);
}

/// Sums of products of values with weights, in vectors of as many sums as [`Dot::F`] has lanes. A value is a number, or
/// two halves or four bytes whose products are added.
///
/// # Safety
///
/// As [`Simd`].
pub(crate) trait Dot: Copy {
    /// The numbers that the sums become.
    type F: Simd;
    /// A vector of sums.
    type Sum: Copy;
    /// A vector of values or weights.
    type Term: Copy;
    /// Whether [`Dot::dot`] is.
    const IS_ONE_INSTRUCTION: bool;
    /// Pixels that a register tile of two vectors a pixel may have without spilling: few where a product needs registers
    /// of its own.
    const TILE: usize = if Self::IS_ONE_INSTRUCTION { Self::F::TILE } else { 4 };

    unsafe fn zero() -> Self::Sum;
    /// A weight for each sum.
    unsafe fn load(from: *const f32) -> Self::Term;
    /// One value for all sums.
    unsafe fn splat(from: *const f32) -> Self::Term;
    /// `sum` and the products. Bytes of values are `0..=255`, those of weights `-127..=127`; their sums fit into 32 bits as
    /// long as there are no more than [`MOST_BYTES`].
    unsafe fn dot(sum: Self::Sum, value: Self::Term, weight: Self::Term) -> Self::Sum;
    /// The sum, times its scale where it is one of bytes, plus the bias.
    unsafe fn finish(sum: Self::Sum, scales: *const f32, bias: <Self::F as Simd>::V) -> <Self::F as Simd>::V;
}

/// Products of bytes whose sum surely fits into 32 bits.
pub const MOST_BYTES: usize = i32::MAX as usize / (255 * 127);

/// What sums of numbers in the vectors of `$simd` have in common, whatever is multiplied.
macro_rules! sums_of_numbers {
    ($simd:ident) => {
        type F = $simd;
        type Sum = $simd::V;
        type Term = $simd::V;

        #[inline(always)]
        unsafe fn zero() -> $simd::V {
            // SAFETY: the caller's, here and below.
            unsafe { $simd::splat(0.0) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> $simd::V {
            // SAFETY: see `zero`.
            unsafe { $simd::load(from) }
        }
        #[inline(always)]
        unsafe fn splat(from: *const f32) -> $simd::V {
            // SAFETY: see `zero`.
            unsafe { $simd::splat(*from) }
        }
        #[inline(always)]
        unsafe fn finish(sum: $simd::V, _: *const f32, bias: $simd::V) -> $simd::V {
            // SAFETY: see `zero`.
            unsafe { $simd::add(sum, bias) }
        }
    };
}

/// Sums of products of numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<S>(PhantomData<S>);

impl<S: Simd> Dot for Numbers<S> {
    sums_of_numbers!(S);
    const IS_ONE_INSTRUCTION: bool = true;

    #[inline(always)]
    unsafe fn dot(sum: S::V, value: S::V, weight: S::V) -> S::V {
        // SAFETY: see `zero`.
        unsafe { S::mul_add(weight, value, sum) }
    }
}

impl<S: Simd> Stored<S> for Numbers<S> {
    const EACH: usize = 1;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> S::V {
        // SAFETY: the caller's, here and below.
        unsafe { S::load(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: S::V) {
        // SAFETY: see `load`.
        unsafe { S::store(to, v) }
    }
}

/// Halves, bfloat16: the upper half of an `f32`. Sums of their products, one after the other: few processors have an
/// instruction for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Halves<S>(PhantomData<S>);

impl<S: Simd> Stored<S> for Halves<S> {
    const EACH: usize = 2;

    #[inline(always)]
    unsafe fn load(from: *const f32) -> S::V {
        // SAFETY: the caller's, here and below.
        unsafe { S::load_halves(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: S::V) {
        // SAFETY: see `load`.
        unsafe { S::store_halves(to.cast(), v) }
    }
}

impl<S: Simd> Dot for Halves<S> {
    sums_of_numbers!(S);
    const IS_ONE_INSTRUCTION: bool = false;

    #[inline(always)]
    unsafe fn dot(sum: S::V, value: S::V, weight: S::V) -> S::V {
        // SAFETY: see `zero`.
        unsafe {
            let ([value, value2], [weight, weight2]) = (S::halves(value), S::halves(weight));
            S::mul_add(value, weight, S::mul_add(value2, weight2, sum))
        }
    }
}

/// Two halves in the room of an `f32`.
pub fn pair(halves: [f32; 2]) -> f32 {
    let [low, high] = halves.map(|half| u32::from(bf16::from_f32(half).to_bits()));
    f32::from_bits(if cfg!(target_endian = "little") { high << 16 | low } else { low << 16 | high })
}

/// Values between the weights that a loop over channels takes and those that it asks for: with two vectors of AVX-512, what
/// it takes in the time that memory needs to answer.
const AHEAD: usize = 512;

/// Asks for the weights that a loop, which now takes `VECTORS` vectors of them for each channel, will take some channels
/// later.
///
/// # Safety
///
/// As [`Simd`]; `weights` may be anything.
#[inline(always)]
pub(crate) unsafe fn prefetch_weights<S: Simd, const VECTORS: usize>(weights: *const f32) {
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        S::prefetch(weights.wrapping_add(AHEAD));
        if VECTORS * S::LANES > LINE {
            S::prefetch(weights.wrapping_add(AHEAD + LINE));
        }
    }
}

/// e to the power of each value, to 2 units in the last place within ±87, where it saturates. The polynomial is the
/// Taylor series of degree 6 on `ln 2 / 2` to either side of zero.
///
/// # Safety
///
/// As [`Simd`].
#[inline(always)]
pub(crate) unsafe fn exp<S: Simd>(v: S::V) -> S::V {
    /// ln 2 in two parts, of which the first times a small integer is exact (Cody and Waite, 1980).
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    const TAYLOR: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    // SAFETY: the caller vouches for the instruction set.
    unsafe {
        let v = S::min(S::max(v, S::splat(-87.0)), S::splat(87.0));
        let n = S::round(S::mul(v, S::splat(std::f32::consts::LOG2_E)));
        let r = S::neg_mul_add(n, S::splat(LN_2[0]), v);
        let r = S::neg_mul_add(n, S::splat(LN_2[1]), r);
        let mut sum = S::splat(TAYLOR[0]);
        for factor in &TAYLOR[1..] {
            sum = S::mul_add(sum, r, S::splat(*factor));
        }
        S::mul(sum, S::power_of_two(n))
    }
}
