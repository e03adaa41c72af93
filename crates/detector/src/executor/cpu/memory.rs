//! Memory for activations and weights, aligned to cache lines.
#![expect(unsafe_code, reason = "cache lines seen as values; threads that write to parts of one buffer")]

use kernels::LINE;

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

/// Values that begin at a cache line; zero at first.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    lines: Vec<Line>,
}

impl Aligned {
    /// So many values and what completes the last cache line.
    pub(super) fn zeroed(values: usize) -> Self {
        Self { lines: vec![Line([0.0; LINE]); values.div_ceil(LINE)] }
    }

    /// How many values.
    pub(super) fn len(&self) -> usize {
        self.lines.len() * LINE
    }

    pub(super) fn values(&self) -> &[f32] {
        // SAFETY: a line is 16 values without padding.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len()) }
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        let length = self.len();
        // SAFETY: as `values`.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), length) }
    }

    /// The values for several threads at once.
    pub(super) fn shared(&mut self) -> Shared {
        Shared { first: self.lines.as_mut_ptr().cast(), length: self.len() }
    }
}

/// Values that several threads read and write, each its own parts of them at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    first: *mut f32,
    length: usize,
}

// SAFETY: whoever goes through the pointer vouches that no other thread writes there meanwhile.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// The values from `offset` on.
    pub(super) fn at(&self, offset: usize) -> *mut f32 {
        debug_assert!(offset <= self.length, "{offset} lies beyond {} values", self.length);
        self.first.wrapping_add(offset)
    }
}
