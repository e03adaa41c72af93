//! 8 lanes, in pairs of the 32 registers of NEON, which every 64-bit ARM processor has.
#![expect(clippy::undocumented_unsafe_blocks, reason = "each holds by the trait's contract")]

use std::arch::aarch64::*;

use super::{Dot, Simd};

/// NEON.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neon;

impl Simd for Neon {
    type V = float32x4x2_t;
    const LANES: usize = 8;
    const TILE: usize = 6;

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4x2_t {
        unsafe { float32x4x2_t(vdupq_n_f32(value), vdupq_n_f32(value)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4x2_t {
        unsafe { float32x4x2_t(vld1q_f32(from), vld1q_f32(from.add(4))) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, v: float32x4x2_t) {
        unsafe {
            vst1q_f32(to, v.0);
            vst1q_f32(to.add(4), v.1);
        }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vaddq_f32(a.0, b.0), vaddq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn sub(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vsubq_f32(a.0, b.0), vsubq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vmulq_f32(a.0, b.0), vmulq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn div(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vdivq_f32(a.0, b.0), vdivq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn max(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vmaxq_f32(a.0, b.0), vmaxq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn min(a: float32x4x2_t, b: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vminq_f32(a.0, b.0), vminq_f32(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn mul_add(a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vfmaq_f32(c.0, a.0, b.0), vfmaq_f32(c.1, a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn neg_mul_add(a: float32x4x2_t, b: float32x4x2_t, c: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vfmsq_f32(c.0, a.0, b.0), vfmsq_f32(c.1, a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn round(a: float32x4x2_t) -> float32x4x2_t {
        unsafe { float32x4x2_t(vrndnq_f32(a.0), vrndnq_f32(a.1)) }
    }
    #[inline(always)]
    unsafe fn power_of_two(a: float32x4x2_t) -> float32x4x2_t {
        unsafe {
            let half = |a| {
                let exponent = vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127));
                vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent))
            };
            float32x4x2_t(half(a.0), half(a.1))
        }
    }
    #[inline(always)]
    unsafe fn load_bytes(from: *const u8) -> float32x4x2_t {
        unsafe {
            let words = vmovl_u8(vld1_u8(from));
            float32x4x2_t(
                vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))),
                vcvtq_f32_u32(vmovl_u16(vget_high_u16(words))),
            )
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(to: *mut u8, v: float32x4x2_t) {
        unsafe {
            let words = vcombine_u16(vqmovun_s32(vcvtnq_s32_f32(v.0)), vqmovun_s32(vcvtnq_s32_f32(v.1)));
            vst1_u8(to, vqmovn_u16(words));
        }
    }
    #[inline(always)]
    unsafe fn load_halves(from: *const u16) -> float32x4x2_t {
        unsafe {
            let halves = vld1q_u16(from);
            let wide = |halves| vreinterpretq_f32_u32(vshll_n_u16::<16>(halves));
            float32x4x2_t(wide(vget_low_u16(halves)), wide(vget_high_u16(halves)))
        }
    }
    #[inline(always)]
    unsafe fn store_halves(to: *mut u16, v: float32x4x2_t) {
        unsafe {
            let half = |v| {
                let bits = vreinterpretq_u32_f32(v);
                let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
                vshrn_n_u32::<16>(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd))
            };
            vst1q_u16(to, vcombine_u16(half(v.0), half(v.1)));
        }
    }
    #[inline(always)]
    unsafe fn halves(a: float32x4x2_t) -> [float32x4x2_t; 2] {
        unsafe {
            let low = |a| vreinterpretq_f32_u32(vshlq_n_u32::<16>(vreinterpretq_u32_f32(a)));
            let high =
                |a| vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0xffff_0000)));
            [float32x4x2_t(low(a.0), low(a.1)), float32x4x2_t(high(a.0), high(a.1))]
        }
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

/// The products fit into words; the instruction that adds four of bytes came with later processors.
impl Dot for Neon {
    type F = Self;
    type Sum = int32x4x2_t;
    type Term = int32x4x2_t;
    const IS_ONE_INSTRUCTION: bool = false;

    #[inline(always)]
    unsafe fn zero() -> int32x4x2_t {
        unsafe { int32x4x2_t(vdupq_n_s32(0), vdupq_n_s32(0)) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> int32x4x2_t {
        unsafe { int32x4x2_t(vld1q_s32(from.cast()), vld1q_s32(from.add(4).cast())) }
    }
    #[inline(always)]
    unsafe fn splat(from: *const f32) -> int32x4x2_t {
        unsafe {
            let bytes = vdupq_n_s32(from.cast::<i32>().read_unaligned());
            int32x4x2_t(bytes, bytes)
        }
    }
    #[inline(always)]
    unsafe fn dot(sum: int32x4x2_t, value: int32x4x2_t, weight: int32x4x2_t) -> int32x4x2_t {
        unsafe {
            let half = |sum, value, weight| {
                let (value, weight) = (vreinterpretq_u8_s32(value), vreinterpretq_s8_s32(weight));
                let product = |value, weight| {
                    vpaddlq_s16(vmulq_s16(vreinterpretq_s16_u16(vmovl_u8(value)), vmovl_s8(weight)))
                };
                let low = product(vget_low_u8(value), vget_low_s8(weight));
                let high = product(vget_high_u8(value), vget_high_s8(weight));
                vaddq_s32(sum, vpaddq_s32(low, high))
            };
            int32x4x2_t(half(sum.0, value.0, weight.0), half(sum.1, value.1, weight.1))
        }
    }
    #[inline(always)]
    unsafe fn finish(sum: int32x4x2_t, scales: *const f32, bias: float32x4x2_t) -> float32x4x2_t {
        unsafe {
            let sum = float32x4x2_t(vcvtq_f32_s32(sum.0), vcvtq_f32_s32(sum.1));
            Self::mul_add(sum, <Self as Simd>::load(scales), bias)
        }
    }
}
