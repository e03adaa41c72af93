//! The largest values of windows.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::layer::Window;
use crate::simd::{Simd, Stored};

/// One row of outputs, one block of channels. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct MaxPool {
    /// The picture's first pixel; rows are `row` apart.
    pub input: *const f32,
    /// From a row to the next.
    pub row: usize,
    /// Height and width of the input in pixels.
    pub size: (usize, usize),
    /// What the maximum is of.
    pub window: Window,
    /// The row's first output.
    pub output: *mut f32,
    /// Which row it is.
    pub y: usize,
    /// How many pixels it has.
    pub width: usize,
}

/// Positions of a window at output `index` that lie in an axis of `length`.
fn inside(window: Window, index: usize, length: usize) -> (usize, usize) {
    let start = index * window.stride;
    (start.saturating_sub(window.before), (start + window.size).saturating_sub(window.before).min(length))
}

/// The row.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(crate) unsafe fn max_pool<S: Simd, F: Stored<S>>(a: &MaxPool) {
    let (top, bottom) = inside(a.window, a.y, a.size.0);
    for x in 0..a.width {
        let (left, right) = inside(a.window, x, a.size.1);
        for vector in 0..F::EACH {
            let within = vector * S::LANES / F::EACH;
            // SAFETY: the caller's; positions inside of the picture.
            unsafe {
                let mut most = S::splat(f32::NEG_INFINITY);
                for y in top..bottom {
                    for x in left..right {
                        most = S::max(most, F::load(a.input.add(y * a.row + x * S::LANES + within)));
                    }
                }
                F::store(a.output.add(x * S::LANES + within), most);
            }
        }
    }
}

/// The row where channels are bytes, `BYTES` of a pixel.
///
/// # Safety
///
/// As [`max_pool`].
#[inline(always)]
pub(crate) unsafe fn max_pool_bytes<const BYTES: usize>(a: &MaxPool) {
    let (top, bottom) = inside(a.window, a.y, a.size.0);
    for x in 0..a.width {
        let (left, right) = inside(a.window, x, a.size.1);
        let mut most = [0u8; BYTES];
        for y in top..bottom {
            for x in left..right {
                // SAFETY: the caller's; positions inside of the picture.
                let pixel = unsafe { a.input.add(y * a.row).cast::<[u8; BYTES]>().add(x).read() };
                for (most, byte) in most.iter_mut().zip(pixel) {
                    *most = byte.max(*most);
                }
            }
        }
        // SAFETY: the caller's.
        unsafe { a.output.cast::<[u8; BYTES]>().add(x).write(most) };
    }
}
