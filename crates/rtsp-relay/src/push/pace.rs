//! When a picture leaves for a viewer.
//!
//! A viewer that joins gets the last key frame and what followed it: without them it would see nothing until
//! the next key frame, ten seconds with an encoder's usual settings. They go out twice as fast as they were
//! taken, until the viewer has caught up. Faster would be over sooner, but a decoder or a link that can just
//! about follow the stream would lose pictures, and then see none until the next key frame.

use gst::ClockTime;

/// How many times as fast as it was taken the past is sent.
const SPEED: u64 = 2;

/// One viewer's times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// When its first picture was taken, on the system's clock.
    first: ClockTime,
    /// When its first picture left, in its media's running time.
    start: ClockTime,
}

impl Pace {
    /// `first`: when the first picture was taken, on the system's clock; `now`: the media's running time.
    pub(super) fn new(first: ClockTime, now: ClockTime) -> Self {
        Self { first, start: now }
    }

    /// The running time at which a picture that was taken at `taken` (on the system's clock) leaves, in a media
    /// with the base time `base` whose running time is `now`.
    pub(super) fn due(&self, taken: ClockTime, base: ClockTime, now: ClockTime) -> ClockTime {
        let catching_up = self.start + taken.saturating_sub(self.first) / SPEED;
        // Never ahead of now: pictures that are shown later than the next ones (B frames' references) would wait.
        let live = taken.saturating_sub(base).min(now);
        catching_up.max(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> ClockTime {
        ClockTime::from_mseconds(ms)
    }

    /// A media that began to play at 100 s on the system's clock; the key frame was taken 10 s before.
    const BASE: ClockTime = ms(100_000);
    const FIRST: ClockTime = ms(90_000);

    #[test]
    fn the_past_goes_twice_as_fast_until_it_meets_the_present() {
        let pace = Pace::new(FIRST, ms(50));
        let due = |taken: u64, now| pace.due(ms(taken), BASE, ms(now)).mseconds();
        assert_eq!(due(90_000, 50), 50);
        assert_eq!(due(90_040, 50), 70);
        assert_eq!(due(100_050, 50), 50 + 5025);
        // The pictures that come meanwhile queue up behind.
        assert_eq!(due(105_000, 5_000), 50 + 7500);
        // Caught up: 50 + t / 2 = t - 10 000.
        assert_eq!(due(110_100, 10_100), 10_100);
        assert_eq!(due(120_000, 20_000), 20_000);
    }

    #[test]
    fn a_viewer_that_joins_at_the_key_frame_is_live_at_once() {
        let pace = Pace::new(ms(100_048), ms(50));
        for taken in (100_048..101_000).step_by(40) {
            let late = taken - 100_000 + 2;
            let due = pace.due(ms(taken), BASE, ms(late)).mseconds();
            assert!(due <= late && due + 4 >= late, "{due} {late}");
        }
    }

    #[test]
    fn order_is_kept_and_nothing_waits_once_live() {
        let pace = Pace::new(FIRST, ms(50));
        // A B frame after its reference: taken earlier, sent later.
        let reference = pace.due(ms(130_080), BASE, ms(30_040));
        assert_eq!(reference, ms(30_040));
        assert!(pace.due(ms(130_040), BASE, ms(30_080)) <= reference);
        // A picture from before the key frame, as open groups of pictures have.
        assert_eq!(pace.due(ms(89_960), BASE, ms(50)), ms(50));
    }
}
