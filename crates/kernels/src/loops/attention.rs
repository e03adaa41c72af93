//! What one pixel takes from all others.
#![expect(unsafe_code, reason = "vector instructions on pointers into the arena")]

use crate::simd::{Simd, exp};

/// A pixel that looks at `size.0 * size.1` others. Distances are in values.
#[derive(Debug, Clone, Copy)]
pub struct Attention {
    /// The pixel's first channel in each block.
    pub query: *const f32,
    /// From a block of its channels to the next.
    pub query_block: usize,
    /// Channel by channel the keys of all pixels, `pixels` apart.
    pub keys: *const f32,
    /// A multiple of the lanes, of which those that are no pixels are zero.
    pub pixels: usize,
    /// Channels of the query and of each key.
    pub channels: usize,
    /// What each score is multiplied by.
    pub scale: f32,
    /// Room for `pixels` values.
    pub shares: *mut f32,
    /// The first pixel's values; rows are `value_row` apart.
    pub value: *const f32,
    /// From a block of values to the next.
    pub value_block: usize,
    /// From a row of values to the next.
    pub value_row: usize,
    /// Height and width in pixels.
    pub size: (usize, usize),
    /// Blocks of values.
    pub blocks: usize,
    /// The pixel's first output.
    pub output: *mut f32,
    /// From a block of outputs to the next.
    pub output_block: usize,
}

/// The pixel.
///
/// # Safety
///
/// As [`Simd`], for everything that `a` points to.
#[inline(always)]
pub(crate) unsafe fn attention<S: Simd>(a: &Attention) {
    let (height, width) = a.size;
    // SAFETY: the caller's.
    unsafe {
        let scale = S::splat(a.scale);
        let mut most = S::splat(f32::MIN);
        for first in (0..a.pixels).step_by(S::LANES) {
            let mut sum = S::splat(0.0);
            for channel in 0..a.channels {
                let query = *a.query.add(channel / S::LANES * a.query_block + channel % S::LANES);
                sum = S::mul_add(S::load(a.keys.add(channel * a.pixels + first)), S::splat(query), sum);
            }
            let score = S::mul(sum, scale);
            S::store(a.shares.add(first), score);
            // What is no pixel may win here, which changes nothing: shares are of a sum.
            most = S::max(most, score);
        }
        let mut lanes = [0.0; MOST_LANES];
        S::store(lanes.as_mut_ptr(), most);
        let most = S::splat(lanes[..S::LANES].iter().fold(f32::MIN, |most, value| most.max(*value)));
        for first in (0..a.pixels).step_by(S::LANES) {
            let share = exp::<S>(S::sub(S::load(a.shares.add(first)), most));
            S::store(a.shares.add(first), share);
        }
        let all: f32 = (0..height * width).map(|pixel| *a.shares.add(pixel)).sum();
        let whole = S::splat(1.0 / all);
        for block in 0..a.blocks {
            let mut sum = S::splat(0.0);
            for y in 0..height {
                let row = a.value.add(block * a.value_block + y * a.value_row);
                for x in 0..width {
                    let share = S::splat(*a.shares.add(y * width + x));
                    sum = S::mul_add(S::load(row.add(x * S::LANES)), share, sum);
                }
            }
            S::store(a.output.add(block * a.output_block), S::mul(sum, whole));
        }
    }
}

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;
