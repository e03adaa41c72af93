//! Media times on their way from the parser to the decoded picture, kept by presentation time.

use std::{collections::VecDeque, sync::Mutex};

use crate::lock::lock;

/// More than a decoder ever holds back.
const CAPACITY: usize = 64;

/// Media times of access units that are still in the decoder.
#[derive(Debug, Default)]
pub(super) struct MediaClock(Mutex<VecDeque<(u64, u64)>>);

impl MediaClock {
    /// Keeps the media time of the access unit with the presentation time `pts` (ns); the oldest gives way.
    pub(super) fn keep(&self, pts: u64, media_time_us: u64) {
        let mut times = lock(&self.0);
        if times.len() == CAPACITY {
            times.pop_front();
        }
        times.push_back((pts, media_time_us));
    }

    /// Takes out the media time of the picture with the presentation time `pts` (ns).
    pub(super) fn take(&self, pts: u64) -> Option<u64> {
        let mut times = lock(&self.0);
        let at = times.iter().position(|(kept, _)| *kept == pts)?;
        times.remove(at).map(|(_, time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_order_and_bounded() {
        let clock = MediaClock::default();
        (0..100).for_each(|pts| clock.keep(pts, pts * 10));
        assert_eq!(clock.take(99), Some(990));
        assert_eq!(clock.take(98), Some(980));
        assert_eq!(clock.take(99), None);
        assert_eq!(clock.take(0), None); // gave way
        assert_eq!(clock.take(36), Some(360));
    }
}
