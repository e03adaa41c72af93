//! Packed weights, made by all threads.

use std::sync::{Mutex, PoisonError};

use super::memory::Aligned;
use super::threads::Threads;

/// What a convolution computes with.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) weights: Aligned,
    /// Of sums of bytes: one for each channel of whole vectors; none of others.
    pub(super) scales: Aligned,
    /// One for each channel of whole vectors.
    pub(super) bias: Aligned,
}

/// The values, and zeros to whole groups of two vectors of `lanes`.
pub(super) fn padded(values: &[f32], lanes: usize) -> Aligned {
    let mut padded = Aligned::zeroed(values.len().next_multiple_of(2 * lanes));
    padded.values_mut()[..values.len()].copy_from_slice(values);
    padded
}

/// Makes `len` values in groups of `each`, of which the last may be shorter: `pack` is called with the number of each group
/// and its values, which are zero.
pub(super) fn packed(
    len: usize,
    each: usize,
    threads: &mut Threads,
    pack: &(dyn Fn(usize, &mut [f32]) + Sync),
) -> Aligned {
    let mut packed = Aligned::zeroed(len);
    let groups: Vec<Mutex<&mut [f32]>> =
        packed.values_mut()[..len].chunks_mut(each.max(1)).map(Mutex::new).collect();
    threads.run(groups.len(), &|group, _| {
        // Each is locked once.
        pack(group, &mut groups[group].lock().unwrap_or_else(PoisonError::into_inner));
    });
    drop(groups);
    packed
}
