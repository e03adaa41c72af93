//! The transforms of Winograd's convolution F(m x m, 3 x 3) (Lavin and Gray, "Fast algorithms for convolutional neural
//! networks", 2016): `m * m` outputs of a 3x3 convolution from `(m + 2) * (m + 2)` products. They are applied to the columns of
//! a tile and then to its rows.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

mod tile;
mod weights;

use super::epilogue::Epilogue;
use crate::simd::{Simd, Stored};
use tile::MOST;
pub use tile::{Tile, Tile2, Tile3, Tile4, Tile6};
pub(crate) use weights::taps;
pub use weights::{Taps, weights};

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
