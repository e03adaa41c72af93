//! Which bytes of a TCP stream have been seen, so that what is sent twice counts once.

use std::collections::BTreeMap;

/// The bytes of one stream that have passed.
#[derive(Debug, Default)]
pub struct Coverage {
    /// Disjoint, non-adjacent runs of seen bytes: begin → end, as unwrapped sequence numbers.
    runs: BTreeMap<u64, u64>,
    /// The highest unwrapped sequence number yet, by which the next one is unwrapped.
    highest: Option<u64>,
}

impl Coverage {
    /// Takes in `length` bytes from sequence number `sequence` on, and gives how many of them are new.
    pub fn add(&mut self, sequence: u32, length: u32) -> u32 {
        if length == 0 {
            return 0;
        }
        let begin = self.unwrap(sequence);
        let end = begin + u64::from(length);
        self.highest = Some(self.highest.map_or(end, |highest| highest.max(end)));
        let (mut from, mut to, mut known) = (begin, end, 0);
        // From the last run that begins at or before the end, backwards while they touch.
        while let Some((&run_begin, &run_end)) = self.runs.range(..=end).next_back() {
            if run_end < begin {
                break;
            }
            known += run_end.min(end).saturating_sub(run_begin.max(begin));
            (from, to) = (from.min(run_begin), to.max(run_end));
            self.runs.remove(&run_begin);
        }
        self.runs.insert(from, to);
        length - known as u32
    }

    /// The 64-bit number that ends in `sequence` and lies nearest to the highest yet. Numbers start high, so that
    /// what lies before the first is still positive.
    fn unwrap(&self, sequence: u32) -> u64 {
        let Some(highest) = self.highest else { return (1 << 32) + u64::from(sequence) };
        let distance = sequence.wrapping_sub(highest as u32).cast_signed();
        highest.saturating_add_signed(distance.into())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_comes_again_is_not_new() {
        let mut seen = Coverage::default();
        assert_eq!(seen.add(100, 50), 50);
        assert_eq!(seen.add(100, 50), 0);
        assert_eq!(seen.add(200, 50), 50);
        assert_eq!(seen.add(120, 100), 50);
        assert_eq!(seen.add(90, 10), 10);
        assert_eq!(seen.runs.len(), 1);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut seen = Coverage::default();
        assert_eq!(seen.add(u32::MAX - 9, 20), 20);
        assert_eq!(seen.add(5, 10), 5);
        assert_eq!(seen.add(u32::MAX - 19, 15), 10);
    }

    proptest! {
        #[test]
        fn counts_as_a_set_of_bytes_does(
            start in any::<u32>(),
            pieces in prop::collection::vec((0..300_u32, 0..60_u32), 1..40),
        ) {
            let (mut seen, mut bytes) = (Coverage::default(), HashSet::new());
            for (offset, length) in pieces {
                let new = (offset..offset + length).filter(|&byte| bytes.insert(byte)).count();
                prop_assert_eq!(seen.add(start.wrapping_add(offset), length) as usize, new);
            }
        }
    }
}
