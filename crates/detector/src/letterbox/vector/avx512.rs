//! With AVX-512: five pixels at a time.
#![expect(unsafe_code, reason = "instructions that a processor may lack")]

use std::arch::x86_64::*;

use super::super::scaled::{Columns, Value};
use super::{AHEAD, NEXT, chunk};

/// Pixels of a vector of 16 values, of which one is left over.
const PIXELS: usize = 5;
/// Bytes of a vector.
const WINDOW: usize = 64;
/// AVX-512 with permutations of bytes (VBMI), which the processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::letterbox) struct Avx512(());

impl Avx512 {
    /// If the processor has it.
    pub(super) fn detected() -> Option<Self> {
        let has_it = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vbmi");
        has_it.then_some(Self(()))
    }

    /// Blends two rows by their shares into `pixels`.
    pub(super) fn blend<V: Value>(self, first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
        #[target_feature(enable = "avx512f,avx512bw")]
        fn blend<V: Value>(first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
            super::blend_ahead(first, second, shares, pixels);
        }
        // SAFETY: the processor has these instructions.
        unsafe { blend(first, second, shares, pixels) }
    }
}

/// A value that sums become.
pub(in crate::letterbox) trait Store: Sized {
    /// Stores what sums become.
    ///
    /// # Safety
    ///
    /// The processor has AVX-512F.
    unsafe fn store_five(sums: __m512, values: &mut [Self; 16]);
}

impl Store for f32 {
    #[inline(always)]
    unsafe fn store_five(sums: __m512, values: &mut [Self; 16]) {
        // SAFETY: the caller's, and there is room for a vector.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), sums) }
    }
}

impl Store for i16 {
    #[inline(always)]
    unsafe fn store_five(sums: __m512, values: &mut [Self; 16]) {
        // SAFETY: the caller's, and there is room for half a vector.
        unsafe {
            let whole = _mm512_srli_epi32::<4>(_mm512_cvttps_epi32(sums));
            _mm256_storeu_si256(values.as_mut_ptr().cast(), _mm512_cvtepi32_epi16(whole));
        }
    }
}

/// Scales rows across.
#[derive(Debug)]
pub(in crate::letterbox) struct Across {
    /// Scaled pixels of a group: as many as have their source pixels in one window.
    pixels: usize,
    groups: Vec<Group>,
}

/// Scaled pixels that are made of one vector of bytes. No vector of it lies in two lines of the cache.
#[derive(Debug)]
#[repr(C, align(32))]
struct Group {
    /// The shares of each pixel's two.
    shares: [[f32; 8]; 2],
    /// Where each value's first pixel has its byte in the vector; the second follows.
    bytes: [u8; 16],
    /// Where the vector begins in a row.
    start: u32,
}

impl Group {
    /// Of neighbouring pixels by the first ones that they are made of, and those's shares and others behind.
    fn new(pixels: &[u32], shares: [&[f32]; 2]) -> Self {
        let byte = |lane: usize| {
            // Lanes of pixels that the group lacks are overwritten by the next or lie behind the row.
            let pixel = pixels.get(lane / NEXT).map_or(0, |pixel| pixel - pixels[0]) as usize;
            (NEXT * pixel + lane % NEXT) as u8
        };
        Self {
            start: NEXT as u32 * pixels[0],
            bytes: std::array::from_fn(byte),
            shares: shares.map(|shares| *chunk(shares, 0)),
        }
    }
}

impl Across {
    /// Scales rows to these columns.
    pub(super) fn new(Avx512(()): Avx512, columns: &Columns) -> Self {
        let sources = &columns.pixels[..columns.width()];
        // Places grow from left to right.
        let fits = |group: &[u32]| NEXT * (group[group.len() - 1] - group[0]) as usize + 2 * NEXT <= WINDOW;
        let fit = |pixels: &usize| sources.chunks(*pixels).all(fits);
        let pixels = (1..=PIXELS).rev().find(fit).unwrap_or(1);
        let group = |(index, group): (usize, &[u32])| {
            let [of_first, of_second] = &columns.shares;
            Group::new(group, [&of_first[index * pixels..], &of_second[index * pixels..]])
        };
        Self { pixels, groups: sources.chunks(pixels).enumerate().map(group).collect() }
    }

    /// Scales a row of these bytes, behind which come others, to `values`, behind which is room.
    pub(super) fn scale<V: Value>(&self, bytes: &[u8], values: &mut [V]) {
        // SAFETY: this exists only where the processor has these instructions.
        unsafe { self.scale_by_vectors(bytes, values) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn scale_by_vectors<V: Value>(&self, bytes: &[u8], values: &mut [V]) {
        // The lowest byte of each lane.
        const LOWEST: __mmask64 = 0x1111_1111_1111_1111;
        let spread = _mm512_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5);
        let next = _mm512_set1_epi32(NEXT as i32);
        let mut rest = values;
        for Group { start, bytes: places, shares: [of_first, of_second] } in &self.groups {
            let window: &[u8; WINDOW] = chunk(bytes, *start as usize);
            let Some(target) = rest.first_chunk_mut::<16>() else {
                unreachable!("no room behind the row");
            };
            _mm_prefetch::<_MM_HINT_T0>(window.as_ptr().wrapping_add(AHEAD).cast());
            // SAFETY: loads of arrays that are as long, and a group's are aligned; the processor has AVX-512 with VBMI.
            unsafe {
                let window = _mm512_loadu_si512(window.as_ptr().cast());
                let numbers =
                    |places| _mm512_cvtepi32_ps(_mm512_maskz_permutexvar_epi8(LOWEST, places, window));
                let places = _mm512_cvtepu8_epi32(_mm_load_si128(places.as_ptr().cast()));
                let spread = |shares: &[f32; 8]| {
                    let shares = _mm512_castps256_ps512(_mm256_load_ps(shares.as_ptr()));
                    _mm512_permutexvar_ps(spread, shares)
                };
                let first = _mm512_mul_ps(numbers(places), spread(of_first));
                let second = _mm512_mul_ps(numbers(_mm512_add_epi32(places, next)), spread(of_second));
                V::store_five(_mm512_add_ps(first, second), target);
            }
            rest = &mut rest[NEXT * self.pixels..];
        }
    }
}
