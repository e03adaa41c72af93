//! A row of a picture scaled across, and two such rows blended.
//!
//! The loops here are the definition, written such that the compiler makes vector instructions of them. Those for processors'
//! own instructions do the same operations in the same order: every value is the same, to the bit, as one computed by itself.

use super::tap::Tap;
use super::vector::{Across, Store};

/// One channel of a pixel between the two steps, scaling across and blending rows.
pub(super) trait Value: Copy + Default + Store {
    /// From the sum of two pixels times their shares.
    fn of(sum: f32) -> Self;

    /// Blends two rows by their shares into `pixels`, in `0..=1`; `part` divides by 255. Inlined always.
    fn blend(
        first: &[Self],
        second: &[Self],
        shares: [f32; 2],
        pixels: &mut [f32],
        part: impl Fn(f32) -> f32,
    );
}

/// In single precision throughout.
impl Value for f32 {
    #[inline(always)]
    fn of(sum: f32) -> Self {
        sum
    }

    #[inline(always)]
    fn blend(
        first: &[Self],
        second: &[Self],
        [of_first, of_second]: [f32; 2],
        pixels: &mut [f32],
        part: impl Fn(f32) -> f32,
    ) {
        for (pixel, (first, second)) in pixels.iter_mut().zip(first.iter().zip(second)) {
            *pixel = part(first * of_first + second * of_second);
        }
    }
}

/// In whole numbers, as OpenCV does it for 8-bit pixels (`resize`): shares and sums in 2048ths, of which a row keeps all but
/// the last 4 bits, rounded at the end.
impl Value for i16 {
    #[inline(always)]
    fn of(sum: f32) -> Self {
        // A whole number of at most 255 * 2048. Added to 2^23 it is what the sum's lowest bits are.
        ((sum + 8_388_608.0).to_bits() >> 4) as i16
    }

    #[inline(always)]
    fn blend(
        first: &[Self],
        second: &[Self],
        shares: [f32; 2],
        pixels: &mut [f32],
        part: impl Fn(f32) -> f32,
    ) {
        let [of_first, of_second] = shares.map(|share| share as i16);
        let share = |value: i16, share: i16| ((i32::from(value) * i32::from(share)) >> 16) as i16;
        for (pixel, (first, second)) in pixels.iter_mut().zip(first.iter().zip(second)) {
            let sum = share(*first, of_first) + share(*second, of_second);
            *pixel = part(f32::from((sum + 2) >> 2));
        }
    }
}

/// The two neighbouring pixels of a row that each scaled pixel lies between.
#[derive(Debug)]
pub(super) struct Columns {
    /// The first one of each, and the last of them once more, which completes a pair.
    pub(super) pixels: Vec<u32>,
    /// Their shares, and [`Columns::MORE`] zeros.
    pub(super) shares: [Vec<f32>; 2],
}

impl Columns {
    /// Shares that vectors may read behind the last.
    const MORE: usize = 16;

    /// Those of a row's taps, of which there is at least one.
    pub(super) fn new(taps: &[Tap]) -> Self {
        // A pixel that counts alone may be the last: what comes after it counts for nothing.
        debug_assert!(taps.iter().all(|tap| tap.second == tap.first + 1 || tap.weights[1] == 0.0));
        // A picture's sides have 32 bits.
        let pixels = taps.iter().chain(taps.last()).map(|tap| tap.first as u32).collect();
        let zeros = std::iter::repeat_n(0.0, Self::MORE);
        let shares =
            [0, 1].map(|side| taps.iter().map(|tap: &Tap| tap.weights[side]).chain(zeros.clone()).collect());
        Self { pixels, shares }
    }

    /// How many pixels a scaled row has.
    pub(super) fn width(&self) -> usize {
        self.pixels.len() - 1
    }
}

/// One source row scaled across.
#[derive(Debug)]
pub(super) struct Scaled<V> {
    source: Option<usize>,
    /// And [`Scaled::MORE`] more.
    values: Vec<V>,
}

impl<V: Value> Scaled<V> {
    /// Values that vectors may write behind a row.
    const MORE: usize = 16;

    /// Room for a row of so many pixels.
    pub(super) fn new(width: usize) -> Self {
        Self { source: None, values: vec![V::default(); 3 * width + Self::MORE] }
    }

    /// Whether this is the row of that number.
    pub(super) fn is_of(&self, source: usize) -> bool {
        self.source == Some(source)
    }

    /// The pixels' values.
    pub(super) fn values(&self) -> &[V] {
        &self.values[..self.values.len() - Self::MORE]
    }

    /// Scales the row of number `source`, of these bytes and others behind.
    pub(super) fn fill(&mut self, source: usize, bytes: &[u8], across: &mut Across<'_>) {
        self.source = Some(source);
        across.scale(bytes, &mut self.values);
    }
}

/// Scales a row across; `numbers` are its bytes and what comes behind.
#[inline(always)]
pub(super) fn across<V: Value>(numbers: &[f32], columns: &Columns, values: &mut [V]) {
    let shares = columns.shares[0].iter().zip(&columns.shares[1]);
    let mut rest = values;
    for (pixel, (of_first, of_second)) in columns.pixels[..columns.width()].iter().zip(shares) {
        // Four values at once: the last is of the next pixel, which comes after.
        let at = 3 * *pixel as usize;
        let (Some(pair), Some((four, _))) = (numbers.get(at..at + 7), rest.split_first_chunk_mut::<4>())
        else {
            unreachable!("a column beyond the row");
        };
        *four = std::array::from_fn(|lane| V::of(pair[lane] * of_first + pair[lane + 3] * of_second));
        rest = &mut rest[3..];
    }
}
