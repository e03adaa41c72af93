//! The transforms of Winograd's convolution F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", 2016): `m * m` outputs of a 3x3 convolution from `(m + 2) * (m + 2)` products.
//!
//! The one-dimensional transforms are those of Toom and Cook: evaluation at 0, 1, -1, and, as `m` grows, 2, -2, 1/2 and -1/2,
//! and at infinity. They are applied to the columns of a tile and then to its rows.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use super::epilogue::Epilogue;
use crate::simd::{Simd, Stored};

/// Rows and columns of the largest tile.
const MOST: usize = 8;

/// What weights are while they are brought to the points: a number, or a vector of them.
pub trait Linear: Copy {
    /// `self * factor`.
    fn times(self, factor: f64) -> Self;
    /// `self + factor * other`.
    fn plus(self, factor: f64, other: Self) -> Self;
}

impl Linear for f64 {
    fn times(self, factor: f64) -> Self {
        self * factor
    }

    fn plus(self, factor: f64, other: Self) -> Self {
        self + factor * other
    }
}

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

/// A size of tile.
pub trait Tile {
    /// Outputs of an axis.
    const OUTPUTS: usize;
    /// Points of an axis: `OUTPUTS + 2`.
    const POINTS: usize;

    /// An axis of weights at the points; what lies behind these is never read.
    fn weights<N: Linear>(taps: [N; 3]) -> [N; MOST];

    /// An axis of inputs, of which there are as many as points, at the points.
    ///
    /// # Safety
    ///
    /// The processor has the instruction set of `S`.
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST];

    /// An axis of outputs from the products at the points.
    ///
    /// # Safety
    ///
    /// The processor has the instruction set of `S`.
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST];
}

/// F(2 x 2, 3 x 3).
pub struct Tile2;
/// F(3 x 3, 3 x 3).
pub struct Tile3;
/// F(4 x 4, 3 x 3).
pub struct Tile4;
/// F(6 x 6, 3 x 3).
pub struct Tile6;

impl Tile for Tile2 {
    const OUTPUTS: usize = 2;
    const POINTS: usize = 4;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let sum = a.plus(1.0, c);
        [a, sum.plus(1.0, b).times(0.5), sum.plus(-1.0, b).times(0.5), c, c, c, c, c]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let zero = S::splat(0.0);
            [
                S::sub(d[0], d[2]),
                S::add(d[1], d[2]),
                S::sub(d[2], d[1]),
                S::sub(d[3], d[1]),
                zero,
                zero,
                zero,
                zero,
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let zero = S::splat(0.0);
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            [S::add(m[0], sum), S::add(difference, m[3]), zero, zero, zero, zero, zero, zero]
        }
    }
}

impl Tile for Tile3 {
    const OUTPUTS: usize = 3;
    const POINTS: usize = 5;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let sum = a.plus(1.0, c);
        [
            a.times(0.5),
            sum.plus(1.0, b).times(-0.5),
            sum.plus(-1.0, b).times(-1.0 / 6.0),
            a.plus(2.0, b).plus(4.0, c).times(1.0 / 6.0),
            c,
            c,
            c,
            c,
        ]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, three, zero) = (S::splat(2.0), S::splat(3.0), S::splat(0.0));
            // d3 - d1 and d3 - d2 stand in several rows.
            let odd = S::sub(d[3], d[1]);
            let step = S::sub(d[3], d[2]);
            [
                S::mul_add(two, S::sub(d[0], d[2]), odd),
                S::neg_mul_add(two, d[1], step),
                S::mul_add(two, d[1], S::neg_mul_add(three, d[2], d[3])),
                odd,
                S::neg_mul_add(two, odd, S::sub(d[4], d[2])),
                zero,
                zero,
                zero,
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, zero) = (S::splat(2.0), S::splat(4.0), S::splat(0.0));
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            [
                S::add(m[0], S::add(sum, m[3])),
                S::mul_add(two, m[3], difference),
                S::mul_add(four, m[3], S::add(sum, m[4])),
                zero,
                zero,
                zero,
                zero,
                zero,
            ]
        }
    }
}

impl Tile for Tile4 {
    const OUTPUTS: usize = 4;
    const POINTS: usize = 6;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let (sum, sum2) = (a.plus(1.0, c), a.plus(4.0, c));
        [
            a.times(0.25),
            sum.plus(1.0, b).times(-1.0 / 6.0),
            sum.plus(-1.0, b).times(-1.0 / 6.0),
            sum2.plus(2.0, b).times(1.0 / 24.0),
            sum2.plus(-2.0, b).times(1.0 / 24.0),
            c,
            c,
            c,
        ]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, five, zero) = (S::splat(2.0), S::splat(4.0), S::splat(5.0), S::splat(0.0));
            let even = S::neg_mul_add(four, d[2], d[4]);
            let odd = S::neg_mul_add(four, d[1], d[3]);
            let (even2, odd2) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
            [
                S::mul_add(four, d[0], S::neg_mul_add(five, d[2], d[4])),
                S::add(even, odd),
                S::sub(even, odd),
                S::mul_add(two, odd2, even2),
                S::neg_mul_add(two, odd2, even2),
                S::mul_add(four, d[1], S::neg_mul_add(five, d[3], d[5])),
                zero,
                zero,
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (sum2, difference2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            let zero = S::splat(0.0);
            [
                S::add(m[0], S::add(sum, sum2)),
                S::mul_add(S::splat(2.0), difference2, difference),
                S::mul_add(S::splat(4.0), sum2, sum),
                S::add(m[5], S::mul_add(S::splat(8.0), difference2, difference)),
                zero,
                zero,
                zero,
                zero,
            ]
        }
    }
}

impl Tile for Tile6 {
    const OUTPUTS: usize = 6;
    const POINTS: usize = 8;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let (sum, sum2, sum_half) = (a.plus(1.0, c), a.plus(4.0, c), c.plus(4.0, a));
        [
            a,
            sum.plus(1.0, b).times(-2.0 / 9.0),
            sum.plus(-1.0, b).times(-2.0 / 9.0),
            sum2.plus(2.0, b).times(1.0 / 90.0),
            sum2.plus(-2.0, b).times(1.0 / 90.0),
            sum_half.plus(2.0, b).times(8.0 / 45.0),
            sum_half.plus(-2.0, b).times(8.0 / 45.0),
            c,
        ]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (half, two, four, five) = (S::splat(0.5), S::splat(2.0), S::splat(4.0), S::splat(5.0));
            let (quarter, five_quarters, five_halves) = (S::splat(0.25), S::splat(1.25), S::splat(2.5));
            let (seventeen, twenty_one) = (S::splat(4.25), S::splat(5.25));
            // The even and the odd powers at 1, at 2 and at 1/2.
            let even = S::neg_mul_add(seventeen, d[4], S::add(d[2], d[6]));
            let odd = S::neg_mul_add(seventeen, d[3], S::add(d[1], d[5]));
            let even2 = S::mul_add(quarter, d[2], S::neg_mul_add(five_quarters, d[4], d[6]));
            let odd2 = S::mul_add(two, d[5], S::neg_mul_add(five_halves, d[3], S::mul(half, d[1])));
            let even_half = S::mul_add(four, d[2], S::neg_mul_add(five, d[4], d[6]));
            let odd_half = S::mul_add(half, d[5], S::neg_mul_add(five_halves, d[3], S::mul(two, d[1])));
            [
                S::mul_add(twenty_one, S::sub(d[4], d[2]), S::sub(d[0], d[6])),
                S::add(even, odd),
                S::sub(even, odd),
                S::add(even2, odd2),
                S::sub(even2, odd2),
                S::add(even_half, odd_half),
                S::sub(even_half, odd_half),
                S::mul_add(twenty_one, S::sub(d[3], d[5]), S::sub(d[7], d[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let zero = S::splat(0.0);
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (sum2, difference2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            let (sum_half, difference_half) = (S::add(m[5], m[6]), S::sub(m[5], m[6]));
            // Powers of 2 and of 1/2.
            let even = |power: f32| {
                S::mul_add(S::splat(power), sum2, S::mul_add(S::splat(1.0 / power), sum_half, sum))
            };
            let odd = |power: f32| {
                let half = S::mul_add(S::splat(1.0 / power), difference_half, difference);
                S::mul_add(S::splat(power), difference2, half)
            };
            [
                S::add(S::add(m[0], sum), S::add(sum2, sum_half)),
                odd(2.0),
                even(4.0),
                odd(8.0),
                even(16.0),
                S::add(m[7], odd(32.0)),
                zero,
                zero,
            ]
        }
    }
}

/// A tile's inputs at the points, one vector of channels, taken by `load` and stored as `F`. Distances are in values.
///
/// `input` is the tile's first pixel, one row and column before its first output; rows are `row` apart. The values at
/// the points go to `output`, `point` apart.
///
/// # Safety
///
/// As [`Simd`]: `input` has `T::POINTS` rows and columns, `output` room for as many points.
#[inline(always)]
pub(crate) unsafe fn inputs<S: Simd, F: Stored<S>, T: Tile>(
    load: impl Fn(*const f32) -> S::V,
    input: *const f32,
    row: usize,
    output: *mut f32,
    point: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let zero = S::splat(0.0);
        let mut columns = [[zero; MOST]; MOST];
        #[expect(clippy::needless_range_loop, reason = "columns are filled across")]
        for x in 0..T::POINTS {
            let mut d = [zero; MOST];
            for (y, d) in d.iter_mut().enumerate().take(T::POINTS) {
                *d = load(input.add(y * row + x * S::LANES));
            }
            let transformed = T::inputs::<S>(d);
            for y in 0..T::POINTS {
                columns[y][x] = transformed[y];
            }
        }
        for (y, columns) in columns.into_iter().enumerate().take(T::POINTS) {
            let transformed = T::inputs::<S>(columns);
            for (x, v) in transformed.into_iter().enumerate().take(T::POINTS) {
                F::store(output.add((y * T::POINTS + x) * point), v);
            }
        }
    }
}

/// Where a tile's outputs go. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct Outputs {
    /// The products at the first point, `point` apart.
    pub products: *const f32,
    /// From a point to the next.
    pub point: usize,
    /// One vector.
    pub bias: *const f32,
    /// The first pixel; rows are `row` apart.
    pub output: *mut f32,
    /// From a row to the next.
    pub row: usize,
    /// Rows and columns of the tile that lie in the picture.
    pub size: (usize, usize),
    /// What is added.
    pub residual: *const f32,
    /// From a row of it to the next.
    pub residual_row: usize,
    /// What becomes of the sums.
    pub epilogue: Epilogue,
}

/// A tile's outputs from the products at the points, one vector of channels.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(crate) unsafe fn outputs<S: Simd, T: Tile>(a: &Outputs) {
    // SAFETY: the caller's.
    unsafe {
        let zero = S::splat(0.0);
        let mut columns = [[zero; MOST]; MOST];
        #[expect(clippy::needless_range_loop, reason = "columns are filled across")]
        for x in 0..T::POINTS {
            let mut m = [zero; MOST];
            for (y, m) in m.iter_mut().enumerate().take(T::POINTS) {
                *m = S::load(a.products.add((y * T::POINTS + x) * a.point));
            }
            let transformed = T::outputs::<S>(m);
            for y in 0..T::OUTPUTS {
                columns[y][x] = transformed[y];
            }
        }
        let bias = S::load(a.bias);
        for (y, columns) in columns.into_iter().enumerate().take(T::OUTPUTS) {
            if y >= a.size.0 {
                break;
            }
            let pixels = T::outputs::<S>(columns).map(|pixel| S::add(pixel, bias));
            let (output, residual) = (a.output.add(y * a.row), a.residual.wrapping_add(y * a.residual_row));
            if a.size.1 == T::OUTPUTS {
                match T::OUTPUTS {
                    2 => a.epilogue.store::<S, 2>([pixels[0], pixels[1]], output, residual),
                    3 => a.epilogue.store::<S, 3>([pixels[0], pixels[1], pixels[2]], output, residual),
                    4 => {
                        let row = [pixels[0], pixels[1], pixels[2], pixels[3]];
                        a.epilogue.store::<S, 4>(row, output, residual);
                    }
                    _ => {
                        let row = [pixels[0], pixels[1], pixels[2], pixels[3], pixels[4], pixels[5]];
                        a.epilogue.store::<S, 6>(row, output, residual);
                    }
                }
            } else {
                for (x, pixel) in pixels.into_iter().enumerate().take(a.size.1) {
                    let residual = residual.wrapping_add(x * S::LANES);
                    a.epilogue.store::<S, 1>([pixel], output.add(x * S::LANES), residual);
                }
            }
        }
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
