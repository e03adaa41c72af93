//! With AVX-512: five pixels at a time.
#![expect(unsafe_code, reason = "instructions that a processor may lack")]

use std::arch::x86_64::*;

use super::super::scaled::{Columns, Value};
use super::{chunk, part};

/// Pixels of a vector of 16 values, of which one is left over.
const PIXELS: usize = 5;
/// Bytes of a vector.
const WINDOW: usize = 64;
/// From a pixel to the next, in bytes.
const NEXT: usize = 3;

/// How far ahead memory is fetched, in bytes: pictures are larger than the caches near the processor, and it does not fetch
/// beyond a page by itself.
const AHEAD: usize = 2048;
/// Values between two times that memory is fetched for them.
const PORTION: usize = 256;

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
            let rows = first.chunks(PORTION).zip(second.chunks(PORTION));
            for ((first, second), pixels) in rows.zip(pixels.chunks_mut(PORTION)) {
                for line in (0..PORTION * size_of::<f32>()).step_by(WINDOW) {
                    _mm_prefetch::<_MM_HINT_ET0>(pixels.as_ptr().wrapping_byte_add(AHEAD + line).cast());
                }
                V::blend(first, second, shares, pixels, part);
            }
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

/// Scaled pixels that are made of one vector of bytes, and of another that begins with the next pixel.
#[derive(Debug)]
struct Group {
    /// Where the vector begins in a row.
    start: u32,
    /// Where each value's first pixel has its byte in the vector.
    bytes: [u8; 16],
    /// The shares of each pixel's two.
    shares: [[f32; 8]; 2],
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
        let fits = |group: &[u32]| NEXT * (group[group.len() - 1] - group[0]) as usize + NEXT <= WINDOW;
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
        let mut rest = values;
        for Group { start, bytes: places, shares: [of_first, of_second] } in &self.groups {
            let both: &[u8; WINDOW + NEXT] = chunk(bytes, *start as usize);
            let Some(target) = rest.first_chunk_mut::<16>() else {
                unreachable!("no room behind the row");
            };
            // The next row, or the one after it.
            _mm_prefetch::<_MM_HINT_T0>(both.as_ptr().wrapping_add(AHEAD).cast());
            // SAFETY: loads of arrays that are as long; the processor has AVX-512F.
            unsafe {
                let lanes = _mm512_cvtepu8_epi32(_mm_loadu_si128(places.as_ptr().cast()));
                let numbers = |window: &[u8; WINDOW]| {
                    let window = _mm512_loadu_si512(window.as_ptr().cast());
                    _mm512_cvtepi32_ps(_mm512_maskz_permutexvar_epi8(LOWEST, lanes, window))
                };
                let spread = |shares: &[f32; 8]| {
                    let shares = _mm512_castps256_ps512(_mm256_loadu_ps(shares.as_ptr()));
                    _mm512_permutexvar_ps(spread, shares)
                };
                let first = _mm512_mul_ps(numbers(chunk(both, 0)), spread(of_first));
                let second = _mm512_mul_ps(numbers(chunk(both, NEXT)), spread(of_second));
                V::store_five(_mm512_add_ps(first, second), target);
            }
            rest = &mut rest[NEXT * self.pixels..];
        }
    }
}
