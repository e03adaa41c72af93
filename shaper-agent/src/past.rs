//! What a target still owes when it comes back.
//!
//! A container that restarts has another veth, and there another bucket. Were that one full, each restart would let a
//! burst more through. So the agent hands on the theoretical arrival time that the old bucket had, and charges what has
//! passed the new interface before it was limited: of a container's start the engine tells when it already runs.

use std::{collections::BTreeMap, time::Duration};

use shaper_common::{
    bucket::{Bucket, FRACTION_BITS, TICK_SHIFT},
    layout::Counters,
};

use crate::{
    error::AgentError, interface::Interface, kernel::Kernel, limit::Limit, record::Place, spec::Direction,
};

/// The longest that a target is kept silent for what passed before it was limited: a flood of some milliseconds would
/// otherwise be paid for over minutes.
const LONGEST: Duration = Duration::from_secs(10);

/// What a target's buckets were, by direction.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past(BTreeMap<Direction, Owed>);

/// What one bucket was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Owed {
    /// Its theoretical arrival time, in ticks; 0 if there was none.
    pub(crate) arrival: u64,
    /// The number of the interface that it was at, if it was at one.
    index: Option<u32>,
}

impl Past {
    /// Takes note of the buckets of limits that are in force, or were when their interface went.
    ///
    /// # Errors
    ///
    /// The kernel does not give them.
    pub(crate) fn remember(&mut self, limits: &[Limit], kernel: &Kernel) -> Result<(), AgentError> {
        for limit in limits {
            // The slot may be another's by now.
            if kernel.record(limit.slot)?.is_some_and(|now| now.place != limit.record.place) {
                continue;
            }
            let index = match &limit.record.place {
                Place::Interface { index, .. } => Some(*index),
                Place::Cgroup { .. } => None,
            };
            self.0.insert(limit.record.direction, Owed { arrival: kernel.arrival(limit.slot)?, index });
        }
        Ok(())
    }

    /// Takes note that the target is waited for: what passes from now on until it is limited is to be charged.
    pub(crate) fn wait(&mut self) {
        for direction in Direction::ALL {
            self.0.entry(direction).or_default();
        }
    }

    /// What a direction's bucket was; none if the target is limited for the first time and was not waited for.
    pub(crate) fn of(&self, direction: Direction) -> Option<Owed> {
        self.0.get(&direction).copied()
    }
}

impl Owed {
    /// The ticks to charge for what has passed an interface before its limit, which has counted `seen` since; none if the
    /// limit was there before.
    pub(crate) fn before(
        self,
        interface: &Interface,
        direction: Direction,
        seen: &Counters,
        bucket: &Bucket,
    ) -> Option<u64> {
        if self.index == Some(interface.index) {
            return None;
        }
        // What is dropped on its way in has been counted by the interface, on its way out not.
        let seen = match direction {
            Direction::Upload => seen.passed_bytes + seen.dropped_bytes,
            Direction::Download => seen.passed_bytes,
        };
        let bytes = interface.bytes(direction)?.saturating_sub(seen);
        Some(ticks_of(bytes, bucket))
    }
}

/// The ticks that bytes take at the rate, but no more than [`LONGEST`].
fn ticks_of(bytes: u64, bucket: &Bucket) -> u64 {
    let longest = LONGEST.as_nanos() << TICK_SHIFT;
    let ticks = (u128::from(bytes) * u128::from(bucket.ticks_per_byte)) >> FRACTION_BITS;
    ticks.min(longest) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_is_charged_at_the_rate_and_not_for_ever() {
        // A byte a microsecond: 8 Mbit/s.
        let bucket = Bucket { ticks_per_byte: 1000 << (TICK_SHIFT + FRACTION_BITS), limit: 0, reserve: 0 };
        assert_eq!(ticks_of(0, &bucket), 0);
        assert_eq!(ticks_of(500, &bucket), 500_000 << TICK_SHIFT);
        assert_eq!(ticks_of(u64::MAX, &bucket), 10_000_000_000 << TICK_SHIFT);
    }

    #[test]
    fn who_was_not_waited_for_owes_nothing() {
        let mut past = Past::default();
        assert_eq!(past.of(Direction::Upload), None);
        past.wait();
        assert_eq!(past.of(Direction::Download), Some(Owed::default()));
    }
}
