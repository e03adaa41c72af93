//! The loops over pixels, with the vector instructions that processors may have.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::scaled::{self, Columns, Value};

#[cfg(target_arch = "x86_64")]
use {avx2::Avx2, avx512::Avx512};

/// Vector instructions that this processor has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// What the compiler makes of plain code.
    Portable,
}

impl Instructions {
    /// The best that there are.
    pub(super) fn best() -> Self {
        Self::available().next().unwrap_or(Self::Portable)
    }

    /// All that there are, the best first.
    pub(super) fn available() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [Avx512::detected().map(Self::Avx512), Avx2::detected().map(Self::Avx2)];
        #[cfg(not(target_arch = "x86_64"))]
        let special: [Option<Self>; 0] = [];
        special.into_iter().flatten().chain([Self::Portable])
    }

    /// Blends two rows by their shares into `pixels`.
    pub(super) fn blend<V: Value>(self, first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(processor) => processor.blend(first, second, shares, pixels),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(processor) => processor.blend(first, second, shares, pixels),
            Self::Portable => V::blend(first, second, shares, pixels, |sum| sum / 255.0),
        }
    }
}

/// What scales rows across.
#[derive(Debug)]
pub(super) enum Across<'a> {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Across),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2, &'a Columns),
    /// With room for a row as numbers.
    Portable(&'a Columns, Vec<f32>),
}

impl<'a> Across<'a> {
    /// Scales rows to these columns.
    pub(super) fn new(instructions: Instructions, columns: &'a Columns) -> Self {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512(processor) => Self::Avx512(avx512::Across::new(processor, columns)),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2(processor) => Self::Avx2(processor, columns),
            Instructions::Portable => Self::Portable(columns, Vec::new()),
        }
    }

    /// Scales a row of these bytes, behind which come others, to `values`, behind which is room.
    pub(super) fn scale<V: Value>(&mut self, bytes: &[u8], values: &mut [V]) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512(across) => across.scale(bytes, values),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(processor, columns) => processor.across(bytes, columns, values),
            Self::Portable(columns, numbers) => {
                numbers.clear();
                numbers.extend(bytes.iter().copied().map(f32::from));
                scaled::across(numbers, columns, values);
            }
        }
    }
}

/// A value that vectors of sums become.
#[cfg(target_arch = "x86_64")]
pub(super) trait Store: avx2::Store + avx512::Store {}
#[cfg(target_arch = "x86_64")]
impl<V: avx2::Store + avx512::Store> Store for V {}

/// A value that sums become.
#[cfg(not(target_arch = "x86_64"))]
pub(super) trait Store {}
#[cfg(not(target_arch = "x86_64"))]
impl<V> Store for V {}

/// From a pixel to the next, in bytes.
#[cfg(target_arch = "x86_64")]
const NEXT: usize = 3;

/// How far ahead memory is fetched, in bytes: pictures are larger than the caches near the processor, which fetches nothing
/// beyond a page by itself.
#[cfg(target_arch = "x86_64")]
const AHEAD: usize = 2048;

/// Blends two rows by their shares into `pixels`, and fetches the memory of those that follow. Inlined always.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn blend_ahead<V: Value>(first: &[V], second: &[V], shares: [f32; 2], pixels: &mut [f32]) {
    use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};

    /// Bytes of a line of the cache.
    const LINE: usize = 64;
    /// Values between two times that memory is fetched for as many.
    const PORTION: usize = 256;
    let rows = first.chunks(PORTION).zip(second.chunks(PORTION));
    for ((first, second), pixels) in rows.zip(pixels.chunks_mut(PORTION)) {
        for line in (0..PORTION * size_of::<f32>()).step_by(LINE) {
            #[expect(unsafe_code, reason = "an instruction of SSE")]
            // SAFETY: every x86-64 processor has SSE, and no address is wrong.
            unsafe {
                _mm_prefetch::<_MM_HINT_ET0>(pixels.as_ptr().wrapping_byte_add(AHEAD + line).cast());
            }
        }
        V::blend(first, second, shares, pixels, part);
    }
}

/// `sum / 255.0`, to the bit, in less time where a product and a sum are one instruction: the quotient by the reciprocal is
/// off by one place at most, and what it leaves of `sum` says whether it is (Markstein, "Computation of elementary functions
/// on the IBM RISC System/6000 processor", 1990). For sums from 2^-90 to 2^100, and 0.
#[cfg(any(target_arch = "x86_64", test))]
#[inline(always)]
pub(super) fn part(sum: f32) -> f32 {
    const RECIPROCAL: f32 = 1.0 / 255.0;
    let near = sum * RECIPROCAL;
    near.mul_add(-255.0, sum).mul_add(RECIPROCAL, near)
}

/// The `N` values from a place on.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn chunk<T, const N: usize>(values: &[T], from: usize) -> &[T; N] {
    match values.get(from..).and_then(<[T]>::first_chunk) {
        Some(chunk) => chunk,
        None => unreachable!("nothing behind the row"),
    }
}
