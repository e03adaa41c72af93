//! The bucket's word in a map, shared by all CPUs.

use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg};

use shaper_common::bucket::Cell;

/// A `u64` in a map.
pub(crate) struct MapWord(*mut u64);

impl MapWord {
    /// `word` comes from a map's look-up: valid and aligned for as long as the program runs.
    pub(crate) fn new(word: *mut u64) -> Self {
        Self(word)
    }
}

impl Cell for MapWord {
    #[inline(always)]
    fn load(&self) -> u64 {
        // SAFETY: valid by the constructor's contract; volatile, so that every try reads what others have written.
        unsafe { core::ptr::read_volatile(self.0) }
    }

    #[inline(always)]
    fn exchange(&self, current: u64, new: u64) -> bool {
        // SAFETY: valid by the constructor's contract; all writers are atomic.
        unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(self.0, current, new) }.1
    }
}
