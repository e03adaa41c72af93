//! 16 lanes in the 32 registers of AVX-512.
#![expect(clippy::undocumented_unsafe_blocks, reason = "each holds by the trait's contract")]

use std::arch::x86_64::*;
use std::mem::transmute;

use super::{Dot, Simd};

/// AVX-512F; every processor that has it has FMA.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512;

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const TILE: usize = 14;

    #[inline(always)]
    unsafe fn splat(value: f32) -> __m512 {
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: __m512) {
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn add(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn sub(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn div(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn max(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn min(a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    unsafe fn round(a: __m512) -> __m512 {
        unsafe { _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(a) }
    }
    #[inline(always)]
    unsafe fn power_of_two(a: __m512) -> __m512 {
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), a) }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: __m512) {
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v))) }
    }
    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> __m512 {
        unsafe {
            let halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(halves))
        }
    }
    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, v: __m512) {
        unsafe {
            let bits = _mm512_castps_si512(v);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
            _mm256_storeu_si256(to.cast(), _mm512_cvtepi32_epi16(_mm512_srli_epi32::<16>(rounded)));
        }
    }
    #[inline(always)]
    unsafe fn halves(a: __m512) -> [__m512; 2] {
        unsafe {
            let bits = _mm512_castps_si512(a);
            let high = _mm512_and_si512(bits, _mm512_set1_epi32(0xffff_0000_u32 as i32));
            [_mm512_slli_epi32::<16>(bits), high].map(|bits| _mm512_castsi512_ps(bits))
        }
    }
    #[inline(always)]
    unsafe fn prefetch(at: *const f32) {
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
}

/// One product of bytes after the other: a processor with AVX-512F need not have more.
impl Dot for Avx512 {
    type F = Self;
    type Sum = __m512i;
    type Term = __m512i;
    const IS_ONE_INSTRUCTION: bool = false;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512i {
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512i, value: __m512i, weight: __m512i) -> __m512i {
        macro_rules! product {
            ($byte:literal) => {{
                let value = _mm512_srli_epi32::<24>(_mm512_slli_epi32::<{ 24 - 8 * $byte }>(value));
                let weight = _mm512_srai_epi32::<24>(_mm512_slli_epi32::<{ 24 - 8 * $byte }>(weight));
                _mm512_mullo_epi32(value, weight)
            }};
        }
        unsafe {
            let first = _mm512_add_epi32(product!(0), product!(1));
            let second = _mm512_add_epi32(product!(2), product!(3));
            _mm512_add_epi32(sum, _mm512_add_epi32(first, second))
        }
    }
    #[inline(always)]
    unsafe fn finish(sum: __m512i, scales: *const f32, bias: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_loadu_ps(scales), bias) }
    }
}

/// AVX-512F with the instruction for sums of products of bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Vnni;

impl Dot for Avx512Vnni {
    type F = Avx512;
    type Sum = __m512i;
    type Term = __m512i;
    const IS_ONE_INSTRUCTION: bool = true;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { Avx512::zero() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512i {
        unsafe { <Avx512 as Dot>::load(from) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512i {
        unsafe { <Avx512 as Dot>::splat(from) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512i, value: __m512i, weight: __m512i) -> __m512i {
        unsafe { _mm512_dpbusd_epi32(sum, value, weight) }
    }
    #[inline(always)]
    unsafe fn finish(sum: __m512i, scales: *const f32, bias: __m512) -> __m512 {
        unsafe { Avx512::finish(sum, scales, bias) }
    }
}

/// AVX-512F with the instruction for sums of products of halves. It takes denormal numbers for zeros.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Avx512Bf16;

impl Dot for Avx512Bf16 {
    type F = Avx512;
    type Sum = __m512;
    type Term = __m512i;
    const IS_ONE_INSTRUCTION: bool = true;

    #[inline(always)]
    unsafe fn zero() -> __m512 {
        unsafe { _mm512_setzero_ps() }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> __m512i {
        unsafe { <Avx512 as Dot>::load(from) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> __m512i {
        unsafe { <Avx512 as Dot>::splat(from) }
    }
    #[inline(always)]
    unsafe fn dot(sum: __m512, value: __m512i, weight: __m512i) -> __m512 {
        // SAFETY: all bits are halves.
        unsafe {
            _mm512_dpbf16_ps(
                sum,
                transmute::<__m512i, __m512bh>(value),
                transmute::<__m512i, __m512bh>(weight),
            )
        }
    }
    #[inline(always)]
    unsafe fn finish(sum: __m512, _: *const f32, bias: __m512) -> __m512 {
        unsafe { _mm512_add_ps(sum, bias) }
    }
}
