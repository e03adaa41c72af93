//! A row of a picture scaled across, and two such rows blended.
//!
//! The loops are written such that the compiler makes vector instructions of them, without changing the order of a single
//! operation: every value is the same, to the bit, as one computed by itself.

use super::tap::Tap;
use super::vector;

/// One channel of a pixel between the two steps, scaling across and blending rows.
pub(super) trait Value: Copy + Default {
    /// From the sum of two pixels times their shares.
    fn of(sum: f32) -> Self;

    /// Blends two rows by their shares into `pixels`, in `0..=1`. Inlined always.
    fn blend(first: &[Self], second: &[Self], shares: [f32; 2], pixels: &mut [f32]);
}

/// In single precision throughout.
impl Value for f32 {
    #[inline(always)]
    fn of(sum: f32) -> Self {
        sum
    }

    #[inline(always)]
    fn blend(first: &[Self], second: &[Self], [of_first, of_second]: [f32; 2], pixels: &mut [f32]) {
        for (pixel, (first, second)) in pixels.iter_mut().zip(first.iter().zip(second)) {
            *pixel = (first * of_first + second * of_second) / 255.0;
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
    fn blend(first: &[Self], second: &[Self], shares: [f32; 2], pixels: &mut [f32]) {
        let [of_first, of_second] = shares.map(|share| share as i16);
        let part = |value: i16, share: i16| ((i32::from(value) * i32::from(share)) >> 16) as i16;
        for (pixel, (first, second)) in pixels.iter_mut().zip(first.iter().zip(second)) {
            let sum = part(*first, of_first) + part(*second, of_second);
            *pixel = f32::from((sum + 2) >> 2) / 255.0;
        }
    }
}

/// The two neighbouring pixels of a row that a scaled pixel lies between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// The first one.
    pixel: u32,
    /// Their shares.
    shares: [f32; 2],
}

impl From<Tap> for Column {
    fn from(tap: Tap) -> Self {
        // A pixel that counts alone may be the last: what comes after it counts for nothing.
        debug_assert!(tap.second == tap.first + 1 || tap.weights[1] == 0.0);
        // A picture's sides have 32 bits.
        Self { pixel: tap.first as u32, shares: tap.weights }
    }
}

/// One source row scaled across.
#[derive(Debug)]
pub(super) struct Scaled<V> {
    source: Option<usize>,
    /// And one more, which makes room for a pixel of four.
    values: Vec<V>,
}

impl<V: Value> Scaled<V> {
    /// Room for a row of so many pixels.
    pub(super) fn new(width: usize) -> Self {
        Self { source: None, values: vec![V::default(); 3 * width + 1] }
    }

    /// Whether this is the row of that number.
    pub(super) fn is_of(&self, source: usize) -> bool {
        self.source == Some(source)
    }

    /// The pixels' values.
    pub(super) fn values(&self) -> &[V] {
        &self.values[..self.values.len() - 1]
    }

    /// Scales the row of number `source` by its columns.
    pub(super) fn fill(&mut self, source: usize, row: &mut Row<'_>, columns: &[Column]) {
        self.source = Some(source);
        vector::across(row, columns, &mut self.values);
    }
}

/// A source row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) bytes: &'a [u8],
    /// Room for them as numbers, and for [`Row::MORE`] zeros.
    pub(super) numbers: &'a mut [f32],
}

impl Row<'_> {
    /// What is read at most behind a row: a pixel after the last one, and one value.
    pub(super) const MORE: usize = 4;
}

/// Scales a row across.
#[inline(always)]
pub(super) fn across<V: Value>(row: &mut Row<'_>, columns: &[Column], values: &mut [V]) {
    row.numbers.iter_mut().zip(row.bytes).for_each(|(number, byte)| *number = f32::from(*byte));
    let mut rest = values;
    for Column { pixel, shares: [of_first, of_second] } in columns {
        // Four values at once: the last is of the next pixel, which comes after.
        let at = 3 * *pixel as usize;
        let (Some(pair), Some((four, _))) = (row.numbers.get(at..at + 7), rest.split_first_chunk_mut::<4>())
        else {
            unreachable!("a column beyond the row");
        };
        *four = std::array::from_fn(|lane| V::of(pair[lane] * of_first + pair[lane + 3] * of_second));
        rest = &mut rest[3..];
    }
}
