//! 4 lanes as an array, for the compiler to put into whatever registers there are.

use super::{Dot, Simd};

/// Plain Rust.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn each(a: [f32; 4], b: [f32; 4], f: impl Fn(f32, f32) -> f32) -> [f32; 4] {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

impl Simd for Portable {
    type V = [f32; 4];
    const LANES: usize = 4;
    const TILE: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> [f32; 4] {
        [value; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [f32; 4] {
        // SAFETY: the trait's contract.
        unsafe { from.cast::<[f32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: [f32; 4]) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn add(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(a: [f32; 4], b: [f32; 4]) -> [f32; 4] {
        each(a, b, |a, b| if a < b { a } else { b })
    }
    /// Rounded twice: without the instruction, `f32::mul_add` is a call.
    #[inline(always)]
    unsafe fn mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: [f32; 4], b: [f32; 4], c: [f32; 4]) -> [f32; 4] {
        std::array::from_fn(|lane| c[lane] - a[lane] * b[lane])
    }
    #[inline(always)]
    unsafe fn round(a: [f32; 4]) -> [f32; 4] {
        a.map(f32::round_ties_even)
    }
    #[inline(always)]
    unsafe fn power_of_two(a: [f32; 4]) -> [f32; 4] {
        a.map(|exponent| f32::from_bits(((exponent as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> [f32; 4] {
        // SAFETY: the trait's contract.
        unsafe { from.cast::<[u8; 4]>().read() }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: [f32; 4]) {
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[u8; 4]>().write(v.map(|value| value.round_ties_even() as u8)) }
    }
    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> [f32; 4] {
        // SAFETY: the trait's contract.
        let halves = unsafe { from.cast::<[u16; 4]>().read_unaligned() };
        halves.map(|half| f32::from_bits(u32::from(half) << 16))
    }
    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, v: [f32; 4]) {
        let half = |value: f32| {
            let bits = value.to_bits();
            (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
        };
        // SAFETY: the trait's contract.
        unsafe { to.cast::<[u16; 4]>().write_unaligned(v.map(half)) }
    }
    #[inline(always)]
    unsafe fn halves(a: [f32; 4]) -> [[f32; 4]; 2] {
        let [low, high] = [a.map(|pair| pair.to_bits() << 16), a.map(|pair| pair.to_bits() & 0xffff_0000)];
        let first = if cfg!(target_endian = "little") { [low, high] } else { [high, low] };
        first.map(|halves| halves.map(f32::from_bits))
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

impl Dot for Portable {
    type F = Self;
    type Sum = [i32; 4];
    type Term = [i32; 4];
    const IS_ONE_INSTRUCTION: bool = false;

    #[inline(always)]
    unsafe fn zero() -> [i32; 4] {
        [0; 4]
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> [i32; 4] {
        // SAFETY: the trait's contract.
        unsafe { from.cast::<[i32; 4]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> [i32; 4] {
        // SAFETY: the trait's contract.
        [unsafe { from.cast::<i32>().read_unaligned() }; 4]
    }
    #[inline(always)]
    unsafe fn dot(sum: [i32; 4], value: [i32; 4], weight: [i32; 4]) -> [i32; 4] {
        std::array::from_fn(|lane| {
            let products = value[lane].to_ne_bytes().into_iter().zip(weight[lane].to_ne_bytes());
            sum[lane] + products.map(|(a, b)| i32::from(a) * i32::from(b as i8)).sum::<i32>()
        })
    }
    #[inline(always)]
    unsafe fn finish(sum: [i32; 4], scales: *const f32, bias: [f32; 4]) -> [f32; 4] {
        // SAFETY: the trait's contract.
        unsafe { Self::mul_add(sum.map(|sum| sum as f32), <Self as Simd>::load(scales), bias) }
    }
}
