//! Weights at the points: one by one where they are packed, and in vectors of output channels where they are used at once.
#![expect(unsafe_code, reason = "vector instructions on pointers into packed weights")]

use super::tile::{Linear, MOST, Tile};
use crate::simd::Simd;

/// A vector on a processor that has the instruction set of `S`.
struct Lanes<S: Simd>(S::V);

impl<S: Simd> Copy for Lanes<S> {}

impl<S: Simd> Clone for Lanes<S> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<S: Simd> Linear for Lanes<S> {
    #[inline(always)]
    fn times(self, factor: f64) -> Self {
        // SAFETY: whoever made `self` knows that the processor has the instruction set.
        Self(unsafe { S::mul(self.0, S::splat(factor as f32)) })
    }

    #[inline(always)]
    fn plus(self, factor: f64, other: Self) -> Self {
        // SAFETY: as above.
        Self(unsafe { S::mul_add(S::splat(factor as f32), other.0, self.0) })
    }
}

/// 3x3 weights at the points of a tile, row by row.
pub fn weights<T: Tile>(taps: &[f32; 9]) -> [f32; MOST * MOST] {
    let columns = columns::<T, f64>(taps.map(f64::from));
    let mut weights = [0.0; MOST * MOST];
    for y in 0..T::POINTS {
        let row = T::weights(columns.map(|column| column[y]));
        for (x, weight) in row.into_iter().enumerate().take(T::POINTS) {
            weights[y * T::POINTS + x] = weight as f32;
        }
    }
    weights
}

/// The columns of 3x3 weights at the points.
#[inline(always)]
fn columns<T: Tile, N: Linear>([a, b, c, d, e, f, g, h, i]: [N; 9]) -> [[N; MOST]; 3] {
    [T::weights([a, d, g]), T::weights([b, e, h]), T::weights([c, f, i])]
}

/// Weights of one group of output channels, to be brought to a row of points. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct Taps {
    /// For each input channel nine taps, row by row, of each the vectors of output channels.
    pub taps: *const f32,
    /// Input channels.
    pub channels: usize,
    /// Vectors of output channels.
    pub vectors: usize,
    /// For each point of the row and each input channel the vectors of output channels; points are `point` apart.
    pub output: *mut f32,
    /// From a point to the next.
    pub point: usize,
}

/// Weights at a row of a tile's points: few enough at a time that they stay in the nearest cache until they are used.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to. The row is one of the tile's.
#[inline(always)]
pub(crate) unsafe fn taps<S: Simd, T: Tile>(row: usize, a: &Taps) {
    // SAFETY: the caller's. Rows that no tile has are left out of its code.
    unsafe {
        match row {
            0 => taps_at::<S, T, 0>(a),
            1 => taps_at::<S, T, 1>(a),
            2 => taps_at::<S, T, 2>(a),
            3 => taps_at::<S, T, 3>(a),
            4 if T::POINTS > 4 => taps_at::<S, T, 4>(a),
            5 if T::POINTS > 5 => taps_at::<S, T, 5>(a),
            6 if T::POINTS > 6 => taps_at::<S, T, 6>(a),
            7 if T::POINTS > 7 => taps_at::<S, T, 7>(a),
            row => unreachable!("row {row} of {} points", T::POINTS),
        }
    }
}

/// # Safety
///
/// As [`taps`].
#[inline(always)]
unsafe fn taps_at<S: Simd, T: Tile, const ROW: usize>(a: &Taps) {
    // SAFETY: the caller's.
    unsafe {
        let tap = a.vectors * S::LANES;
        for channel in 0..a.channels {
            for vector in 0..a.vectors {
                let lane = vector * S::LANES;
                let from = a.taps.add(9 * channel * tap + lane);
                let mut taps = [Lanes::<S>(S::load(from)); 9];
                for (index, lanes) in taps.iter_mut().enumerate() {
                    lanes.0 = S::load(from.add(index * tap));
                }
                // Of the columns only this row is computed.
                let [left, middle, right] = columns::<T, Lanes<S>>(taps);
                let weights = T::weights([left[ROW], middle[ROW], right[ROW]]);
                let output = a.output.add(channel * tap + lane);
                for (x, weight) in weights.into_iter().enumerate().take(T::POINTS) {
                    S::store(output.add(x * a.point), weight.0);
                }
            }
        }
    }
}
