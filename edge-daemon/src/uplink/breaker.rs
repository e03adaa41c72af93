//! When the cloud may be tried again.

use std::time::{Duration, Instant};

use crate::backoff::Backoff;

/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// The longest pause that a server may ask for.
const LONGEST_HOLD: Duration = Duration::from_secs(60);

/// Keeps an outage from being hammered: closed in good times, open for a while after each failure.
#[derive(Debug)]
pub(super) struct Breaker {
    backoff: Backoff,
    open_until: Option<Instant>,
    failing: bool,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { backoff: Backoff::new(PAUSES.0, PAUSES.1), open_until: None, failing: false }
    }
}

impl Breaker {
    /// Until when nothing may be tried, if it is open at `now`.
    pub(super) fn open_until(&self, now: Instant) -> Option<Instant> {
        self.open_until.filter(|until| *until > now)
    }

    /// A connection failed: opens for a pause that grows each time, and returns it.
    pub(super) fn failure(&mut self, now: Instant) -> Duration {
        let pause = self.backoff.after_failure();
        self.open_until = Some(now + pause);
        self.failing = true;
        pause
    }

    /// The server asked for a pause.
    pub(super) fn hold(&mut self, now: Instant, pause: Duration) {
        self.open_until = Some(now + pause.min(LONGEST_HOLD));
    }

    /// The server answered; true if it had failed before.
    pub(super) fn success(&mut self) -> bool {
        self.backoff.reset();
        self.open_until = None;
        std::mem::take(&mut self.failing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_longer_each_time_and_closes_on_success() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        assert_eq!(breaker.open_until(now), None);
        let pauses: Vec<_> = (0..7).map(|_| breaker.failure(now).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(breaker.open_until(now), Some(now + Duration::from_secs(10)));
        assert_eq!(breaker.open_until(now + Duration::from_secs(10)), None);
        assert!(breaker.success());
        assert!(!breaker.success());
        assert_eq!(breaker.open_until(now), None);
        assert_eq!(breaker.failure(now).as_millis(), 500);
    }

    #[test]
    fn a_server_cannot_ask_for_ever() {
        let mut breaker = Breaker::default();
        let now = Instant::now();
        breaker.hold(now, Duration::MAX);
        assert_eq!(breaker.open_until(now), Some(now + LONGEST_HOLD));
    }
}
