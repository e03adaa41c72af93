//! How activations lie in memory.
//!
//! Channels come in blocks of as many as a vector has room for: the values of a block's pixels follow each other row by
//! row, a vector each. A value is one channel, or two where channels are halves, or four where they are bytes. Around the
//! pixels lies a border of zeros, wide enough for whatever reads them. Whatever completes a block meets weights of zero. The
//! picture is the exception: its pixels are three values each, or one of three bytes and a zero.

use kernels::Storage;

use super::memory::Shared;

/// Where a layer's output lies for each picture of a batch. Distances are in values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Region {
    /// Of the buffer in the arena of one picture.
    pub(super) offset: usize,
    /// Of the buffer.
    pub(super) buffer: usize,
    /// From the buffer's start to the region's.
    pub(super) within: usize,
    /// Values of a pixel in a block.
    pub(super) lanes: usize,
    pub(super) storage: Storage,
    pub(super) blocks: usize,
    /// Height and width in pixels.
    pub(super) size: (usize, usize),
    pub(super) border: Border,
}

/// Pixels of zeros around a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Border {
    /// Above and to the left.
    pub(super) before: usize,
    /// Below and to the right.
    pub(super) after: (usize, usize),
}

impl Border {
    /// Wide enough for both.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            before: self.before.max(other.before),
            after: (self.after.0.max(other.after.0), self.after.1.max(other.after.1)),
        }
    }
}

impl Region {
    /// From a row to the next.
    pub(super) fn row(&self) -> usize {
        (self.border.before + self.size.1 + self.border.after.1) * self.lanes
    }

    /// From a block to the next.
    pub(super) fn block(&self) -> usize {
        (self.border.before + self.size.0 + self.border.after.0) * self.row()
    }

    /// Channels of a block.
    pub(super) fn channels(&self) -> usize {
        self.lanes * self.storage.each()
    }

    /// From a pixel of the first block to where the channels of a vector of sums go, which are as many as `lanes`: with
    /// halves or bytes, a block has the channels of several.
    pub(super) fn vector(&self, vector: usize) -> usize {
        let each = self.storage.each();
        vector / each * self.block() + vector % each * self.lanes / each
    }

    /// From the region's start to a pixel of its first block.
    pub(super) fn pixel(&self, y: usize, x: usize) -> usize {
        (y + self.border.before) * self.row() + (x + self.border.before) * self.lanes
    }

    /// From the arena's start to the region of a picture in a batch of `batch`.
    pub(super) fn start(&self, batch: usize, picture: usize) -> usize {
        self.offset * batch + self.buffer * picture + self.within
    }

    /// Makes the border zero where it touches rows and columns of the pixels of a block, which starts at `start` in
    /// `arena`.
    ///
    /// # Safety
    ///
    /// The region lies in the arena, and no other thread reads or writes those parts of its border.
    #[expect(unsafe_code, reason = "the border lies between what other threads write")]
    pub(super) unsafe fn clear_border(
        &self,
        arena: Shared,
        start: usize,
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) {
        let Border { before, after } = self.border;
        let (row, zero) = (self.row(), self.storage.zero());
        // In pixels from the border's corner.
        let left = if columns.start == 0 { 0 } else { columns.start + before };
        let right =
            if columns.end == self.size.1 { before + self.size.1 + after.1 } else { columns.end + before };
        let clear = |y: usize, from: usize, to: usize| {
            // SAFETY: the caller's; the pixels lie in the block.
            unsafe {
                arena.at(start + y * row + from * self.lanes).write_bytes(zero, (to - from) * self.lanes);
            }
        };
        if rows.start == 0 {
            (0..before).for_each(|y| clear(y, left, right));
        }
        if rows.end == self.size.0 {
            (0..after.0).for_each(|y| clear(before + self.size.0 + y, left, right));
        }
        if columns.start == 0 && before > 0 {
            rows.clone().for_each(|y| clear(before + y, 0, before));
        }
        if columns.end == self.size.1 && after.1 > 0 {
            rows.for_each(|y| clear(before + y, before + self.size.1, right));
        }
    }
}

/// Values of each block that holds some of `channels`, `each` of which make a value: all are full but the last.
pub(super) fn counts(channels: usize, lanes: usize, each: usize) -> Vec<u16> {
    let values = channels.div_ceil(each);
    (0..values).step_by(lanes).map(|first| (values - first).min(lanes) as u16).collect()
}
