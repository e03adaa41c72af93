//! The transforms of Winograd's convolution F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", 2016): `m * m` outputs of a 3x3 convolution from `(m + 2) * (m + 2)` products.
//!
//! The one-dimensional transforms are those of Toom and Cook: evaluation at 0, 1, -1, and, as `m` grows, 2 and -2, and at
//! infinity. They are applied to the columns of a tile and then to its rows.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use super::epilogue::Epilogue;
use crate::simd::{Simd, Stored};

/// Rows and columns of the largest tile.
const MOST: usize = 6;

/// A size of tile.
pub trait Tile {
    /// Outputs of an axis.
    const OUTPUTS: usize;
    /// Points of an axis: `OUTPUTS + 2`.
    const POINTS: usize;

    /// An axis of weights at the points.
    fn weights(taps: [f64; 3]) -> [f64; MOST];

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

impl Tile for Tile2 {
    const OUTPUTS: usize = 2;
    const POINTS: usize = 4;

    fn weights([a, b, c]: [f64; 3]) -> [f64; MOST] {
        [a, (a + b + c) / 2.0, (a - b + c) / 2.0, c, 0.0, 0.0]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let zero = S::splat(0.0);
            [S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[3], d[1]), zero, zero]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let zero = S::splat(0.0);
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            [S::add(m[0], sum), S::add(difference, m[3]), zero, zero, zero, zero]
        }
    }
}

impl Tile for Tile3 {
    const OUTPUTS: usize = 3;
    const POINTS: usize = 5;

    fn weights([a, b, c]: [f64; 3]) -> [f64; MOST] {
        [a / 2.0, -(a + b + c) / 2.0, -(a - b + c) / 6.0, (a + 2.0 * b + 4.0 * c) / 6.0, c, 0.0]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, three) = (S::splat(2.0), S::splat(3.0));
            // d3 - d1 and d3 - d2 stand in several rows.
            let odd = S::sub(d[3], d[1]);
            let step = S::sub(d[3], d[2]);
            [
                S::mul_add(two, S::sub(d[0], d[2]), odd),
                S::neg_mul_add(two, d[1], step),
                S::mul_add(two, d[1], S::neg_mul_add(three, d[2], d[3])),
                odd,
                S::neg_mul_add(two, odd, S::sub(d[4], d[2])),
                S::splat(0.0),
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
            ]
        }
    }
}

impl Tile for Tile4 {
    const OUTPUTS: usize = 4;
    const POINTS: usize = 6;

    fn weights([a, b, c]: [f64; 3]) -> [f64; MOST] {
        [
            a / 4.0,
            -(a + b + c) / 6.0,
            -(a - b + c) / 6.0,
            (a + 2.0 * b + 4.0 * c) / 24.0,
            (a - 2.0 * b + 4.0 * c) / 24.0,
            c,
        ]
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(5.0));
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
                    _ => {
                        let row = [pixels[0], pixels[1], pixels[2], pixels[3]];
                        a.epilogue.store::<S, 4>(row, output, residual);
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
    let tap = |row: usize, column: usize| f64::from(taps[3 * row + column]);
    let columns: [[f64; MOST]; 3] =
        std::array::from_fn(|column| T::weights([tap(0, column), tap(1, column), tap(2, column)]));
    let mut points = [0.0; MOST * MOST];
    for y in 0..T::POINTS {
        let row = T::weights([columns[0][y], columns[1][y], columns[2][y]]);
        for x in 0..T::POINTS {
            points[y * T::POINTS + x] = row[x] as f32;
        }
    }
    points
}
