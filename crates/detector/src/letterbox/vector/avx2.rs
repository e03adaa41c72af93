//! With AVX2: two pixels at a time.
#![expect(unsafe_code, reason = "instructions that a processor may lack")]

use std::arch::x86_64::*;

use super::super::scaled::{Columns, Value};
use super::{AHEAD, NEXT, chunk};

/// AVX2 with FMA, which the processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::letterbox) struct Avx2(());

impl Avx2 {
    /// If the processor has it.
    pub(super) fn detected() -> Option<Self> {
        let has_it =
            std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma");
        has_it.then_some(Self(()))
    }

    /// Blends two rows by their shares into `pixels`.
    pub(super) fn blend<V: Value>(self, first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
        #[target_feature(enable = "avx2,fma")]
        fn blend<V: Value>(first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
            super::blend_ahead(first, second, shares, pixels);
        }
        // SAFETY: the processor has these instructions.
        unsafe { blend(first, second, shares, pixels) }
    }

    /// Scales a row of these bytes, behind which come others, to `values`, behind which is room.
    pub(super) fn across<V: Value>(self, bytes: &[u8], columns: &Columns, values: &mut [V]) {
        // SAFETY: the processor has these instructions.
        unsafe { across(bytes, columns, values) }
    }
}

/// A value that sums become.
pub(in crate::letterbox) trait Store: Sized {
    /// Stores what the sums of two pixels become; those of each are followed by one that is left over.
    ///
    /// # Safety
    ///
    /// The processor has AVX2.
    unsafe fn store_two(sums: __m256, values: &mut [Self; 7]);
}

impl Store for f32 {
    #[inline(always)]
    unsafe fn store_two(sums: __m256, values: &mut [Self; 7]) {
        // SAFETY: the caller's, and there is room for two vectors, of which the second begins with the fourth value.
        unsafe {
            _mm_storeu_ps(values.as_mut_ptr(), _mm256_castps256_ps128(sums));
            _mm_storeu_ps(values.as_mut_ptr().add(NEXT), _mm256_extractf128_ps::<1>(sums));
        }
    }
}

impl Store for i16 {
    #[inline(always)]
    unsafe fn store_two(sums: __m256, values: &mut [Self; 7]) {
        // SAFETY: the caller's, and there is room for two halves of a vector, of which the second begins with the fourth.
        unsafe {
            let whole = _mm256_srli_epi32::<4>(_mm256_cvttps_epi32(sums));
            let (first, second) = (_mm256_castsi256_si128(whole), _mm256_extracti128_si256::<1>(whole));
            let both = _mm_packs_epi32(first, second);
            _mm_storel_epi64(values.as_mut_ptr().cast(), both);
            _mm_storel_epi64(values.as_mut_ptr().add(NEXT).cast(), _mm_unpackhi_epi64(both, both));
        }
    }
}

#[target_feature(enable = "avx2,fma")]
fn across<V: Value>(bytes: &[u8], columns: &Columns, values: &mut [V]) {
    // In each half a pixel's bytes, each the lowest of its lane.
    let numbers = |from: i8| {
        let [r, g, b, more] = [from, from + 1, from + 2, from + 3];
        _mm256_setr_epi8(
            r, -1, -1, -1, g, -1, -1, -1, b, -1, -1, -1, more, -1, -1, -1, //
            r, -1, -1, -1, g, -1, -1, -1, b, -1, -1, -1, more, -1, -1, -1,
        )
    };
    let (of_first, of_second) = (numbers(0), numbers(NEXT as i8));
    let spread = |pixel: i32| {
        _mm256_setr_epi32(pixel, pixel, pixel, pixel, pixel + 1, pixel + 1, pixel + 1, pixel + 1)
    };
    let spreads = [spread(0), spread(2), spread(4), spread(6)];
    let [shares_of_first, shares_of_second] = &columns.shares;
    let eights = columns.pixels.chunks(8).enumerate();
    for (index, sources) in eights {
        let first: &[f32; 8] = chunk(shares_of_first, 8 * index);
        let second: &[f32; 8] = chunk(shares_of_second, 8 * index);
        // SAFETY: loads of arrays that are as long; the processor has AVX2.
        let shares = unsafe { [_mm256_loadu_ps(first.as_ptr()), _mm256_loadu_ps(second.as_ptr())] };
        let pairs = sources.as_chunks::<2>().0;
        for (pair, (&[left, right], spread)) in pairs.iter().zip(spreads).enumerate() {
            let left: &[u8; 16] = chunk(bytes, NEXT * left as usize);
            _mm_prefetch::<_MM_HINT_T0>(left.as_ptr().wrapping_add(AHEAD).cast());
            let right: &[u8; 16] = chunk(bytes, NEXT * right as usize);
            let Some(target) = values[NEXT * (8 * index + 2 * pair)..].first_chunk_mut::<7>() else {
                unreachable!("no room behind the row");
            };
            // SAFETY: loads of arrays that are as long; the processor has AVX2.
            unsafe {
                let left = _mm_loadu_si128(left.as_ptr().cast());
                let right = _mm_loadu_si128(right.as_ptr().cast());
                let pixels = _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(left), right);
                let part = |bytes: __m256i, shares: __m256| {
                    let numbers = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, bytes));
                    _mm256_mul_ps(numbers, _mm256_permutevar8x32_ps(shares, spread))
                };
                V::store_two(_mm256_add_ps(part(of_first, shares[0]), part(of_second, shares[1])), target);
            }
        }
    }
}
