//! Sizes of tiles, with the transforms of an axis.
//!
//! The transforms are those of Toom and Cook: evaluation at 0, 1, -1, and, as tiles grow, 2, -2, 1/2 and -1/2, and at infinity.
#![expect(unsafe_code, reason = "vector instructions")]

use crate::simd::Simd;

/// Rows and columns of the largest tile.
pub(super) const MOST: usize = 8;

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

/// The values of a tile's axis in the room of the largest; what lies behind them is never read.
#[inline(always)]
fn filled<V: Copy, const COUNT: usize>(values: [V; COUNT]) -> [V; MOST] {
    let mut filled = [values[0]; MOST];
    filled[..COUNT].copy_from_slice(&values);
    filled
}

/// A size of tile.
pub trait Tile {
    /// Outputs of an axis.
    const OUTPUTS: usize;
    /// Points of an axis: `OUTPUTS + 2`.
    const POINTS: usize;

    /// An axis of weights at the points.
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
        filled([a, sum.plus(1.0, b).times(0.5), sum.plus(-1.0, b).times(0.5), c])
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe { filled([S::sub(d[0], d[2]), S::add(d[1], d[2]), S::sub(d[2], d[1]), S::sub(d[3], d[1])]) }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            filled([S::add(m[0], sum), S::add(difference, m[3])])
        }
    }
}

impl Tile for Tile3 {
    const OUTPUTS: usize = 3;
    const POINTS: usize = 5;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let sum = a.plus(1.0, c);
        filled([
            a.times(0.5),
            sum.plus(1.0, b).times(-0.5),
            sum.plus(-1.0, b).times(-1.0 / 6.0),
            a.plus(2.0, b).plus(4.0, c).times(1.0 / 6.0),
            c,
        ])
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, three) = (S::splat(2.0), S::splat(3.0));
            // d3 - d1 and d3 - d2 stand in several rows.
            let odd = S::sub(d[3], d[1]);
            let step = S::sub(d[3], d[2]);
            filled([
                S::mul_add(two, S::sub(d[0], d[2]), odd),
                S::neg_mul_add(two, d[1], step),
                S::mul_add(two, d[1], S::neg_mul_add(three, d[2], d[3])),
                odd,
                S::neg_mul_add(two, odd, S::sub(d[4], d[2])),
            ])
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four) = (S::splat(2.0), S::splat(4.0));
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            filled([
                S::add(m[0], S::add(sum, m[3])),
                S::mul_add(two, m[3], difference),
                S::mul_add(four, m[3], S::add(sum, m[4])),
            ])
        }
    }
}

impl Tile for Tile4 {
    const OUTPUTS: usize = 4;
    const POINTS: usize = 6;

    #[inline(always)]
    fn weights<N: Linear>([a, b, c]: [N; 3]) -> [N; MOST] {
        let (sum, sum2) = (a.plus(1.0, c), a.plus(4.0, c));
        filled([
            a.times(0.25),
            sum.plus(1.0, b).times(-1.0 / 6.0),
            sum.plus(-1.0, b).times(-1.0 / 6.0),
            sum2.plus(2.0, b).times(1.0 / 24.0),
            sum2.plus(-2.0, b).times(1.0 / 24.0),
            c,
        ])
    }

    #[inline(always)]
    unsafe fn inputs<S: Simd>(d: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (two, four, five) = (S::splat(2.0), S::splat(4.0), S::splat(5.0));
            let even = S::neg_mul_add(four, d[2], d[4]);
            let odd = S::neg_mul_add(four, d[1], d[3]);
            let (even2, odd2) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
            filled([
                S::mul_add(four, d[0], S::neg_mul_add(five, d[2], d[4])),
                S::add(even, odd),
                S::sub(even, odd),
                S::mul_add(two, odd2, even2),
                S::neg_mul_add(two, odd2, even2),
                S::mul_add(four, d[1], S::neg_mul_add(five, d[3], d[5])),
            ])
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
            let (sum, difference) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
            let (sum2, difference2) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
            filled([
                S::add(m[0], S::add(sum, sum2)),
                S::mul_add(S::splat(2.0), difference2, difference),
                S::mul_add(S::splat(4.0), sum2, sum),
                S::add(m[5], S::mul_add(S::splat(8.0), difference2, difference)),
            ])
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
            let (seventeen_quarters, twenty_one_quarters) = (S::splat(4.25), S::splat(5.25));
            // The even and the odd powers at 1, at 2 and at 1/2.
            let even = S::neg_mul_add(seventeen_quarters, d[4], S::add(d[2], d[6]));
            let odd = S::neg_mul_add(seventeen_quarters, d[3], S::add(d[1], d[5]));
            let even2 = S::mul_add(quarter, d[2], S::neg_mul_add(five_quarters, d[4], d[6]));
            let odd2 = S::mul_add(two, d[5], S::neg_mul_add(five_halves, d[3], S::mul(half, d[1])));
            let even_half = S::mul_add(four, d[2], S::neg_mul_add(five, d[4], d[6]));
            let odd_half = S::mul_add(half, d[5], S::neg_mul_add(five_halves, d[3], S::mul(two, d[1])));
            [
                S::mul_add(twenty_one_quarters, S::sub(d[4], d[2]), S::sub(d[0], d[6])),
                S::add(even, odd),
                S::sub(even, odd),
                S::add(even2, odd2),
                S::sub(even2, odd2),
                S::add(even_half, odd_half),
                S::sub(even_half, odd_half),
                S::mul_add(twenty_one_quarters, S::sub(d[3], d[5]), S::sub(d[7], d[1])),
            ]
        }
    }

    #[inline(always)]
    unsafe fn outputs<S: Simd>(m: [S::V; MOST]) -> [S::V; MOST] {
        // SAFETY: the caller's.
        unsafe {
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
            filled([
                S::add(S::add(m[0], sum), S::add(sum2, sum_half)),
                odd(2.0),
                even(4.0),
                odd(8.0),
                even(16.0),
                S::add(m[7], odd(32.0)),
            ])
        }
    }
}
