//! 8 lanes, in pairs of the 32 registers of NEON, which every 64-bit ARM processor has.
#![expect(clippy::undocumented_unsafe_blocks, reason = "each holds by the trait's contract")]

use std::arch::aarch64::*;

use super::Simd;

/// NEON.
#[derive(Debug, Clone, Copy)]
pub(in crate::executor::cpu) struct Neon;

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
    unsafe fn prefetch(_: *const f32) {}
}
