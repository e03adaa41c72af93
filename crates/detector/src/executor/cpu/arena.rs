//! Where each buffer lies, so that those share memory that are never needed at the same time.

use kernels::LINE;

/// A buffer to place. Times are positions of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Buffer {
    /// In values.
    pub(super) len: usize,
    /// When it is first written.
    pub(super) first: usize,
    /// When it is last read.
    pub(super) last: usize,
}

/// The offset of each buffer, at multiples of cache lines, and how many values all take together. The largest come
/// first, each at the lowest offset where nothing lies that is needed at the same time.
pub(super) fn place(buffers: &[Buffer]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..buffers.len()).collect();
    order.sort_by_key(|&index| std::cmp::Reverse(buffers[index].len));
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::with_capacity(buffers.len());
    let mut total = 0;
    for index in order {
        let buffer = &buffers[index];
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&other| buffers[other].first <= buffer.last && buffer.first <= buffers[other].last)
            .map(|&other| (offsets[other], offsets[other] + buffers[other].len.next_multiple_of(LINE)))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if offset + buffer.len <= start {
                break;
            }
            offset = offset.max(end);
        }
        offsets[index] = offset;
        total = total.max(offset + buffer.len.next_multiple_of(LINE));
        placed.push(index);
    }
    (offsets, total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_needed_at_the_same_time_shares_nothing(
            buffers in prop::collection::vec((1..200usize, 0..20usize, 0..5usize), 0..30),
        ) {
            let buffers: Vec<Buffer> = buffers
                .into_iter()
                .map(|(len, first, lasts)| Buffer { len, first, last: first + lasts })
                .collect();
            let (offsets, total) = place(&buffers);
            for (index, (buffer, offset)) in buffers.iter().zip(&offsets).enumerate() {
                prop_assert!(offset % LINE == 0 && offset + buffer.len <= total);
                for (other, start) in buffers.iter().zip(&offsets).skip(index + 1) {
                    let apart = offset + buffer.len <= *start || start + other.len <= *offset;
                    prop_assert!(apart || buffer.last < other.first || other.last < buffer.first);
                }
            }
        }
    }

    #[test]
    fn a_chain_takes_the_room_of_its_largest_neighbours() {
        let chain: Vec<Buffer> = [64, 32, 64, 16, 64]
            .into_iter()
            .enumerate()
            .map(|(at, len)| Buffer { len, first: at, last: at + 1 })
            .collect();
        assert_eq!(place(&chain).1, 96);
    }
}
