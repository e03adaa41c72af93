//! Packed weights, made by all threads.

use std::sync::{Mutex, PoisonError};

use super::memory::Aligned;
use super::threads::Threads;

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
