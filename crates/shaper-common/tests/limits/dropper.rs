//! What is dropped so that a sender loses fewer afterwards.

use crate::support::{FRAME, SECOND, Words, bulk, limiter};
use shaper_common::{
    bucket::ticks,
    dropper::REFUSED,
    limiter::{Cause, Limiter, Verdict},
    wire::{Kind, Measure},
};

const MS: u64 = SECOND / 1000;

/// A limit and the time of its user.
struct Bench {
    limiter: Limiter,
    words: Words,
    now: u64,
}

impl Bench {
    fn new(rate: u64, burst_frames: u64) -> Self {
        let limiter = limiter(rate, burst_frames * u64::from(FRAME), 0, false);
        Self { limiter, words: Words::default(), now: SECOND }
    }

    fn offer(&self, packet: &Measure) -> Option<Cause> {
        match self.limiter.decide(&&self.words, ticks(self.now), packet).0 {
            Verdict::Drop(cause) => Some(cause),
            Verdict::Pass { .. } | Verdict::Wait { .. } => None,
        }
    }

    /// Sends frames until two in a row are dropped: the first could be the warning. Returns how many went.
    fn exhaust(&self, flow: u32) -> u32 {
        let (mut gone, mut dropped) = (0, 0);
        while dropped < 2 {
            match self.offer(&bulk(FRAME, flow)) {
                Some(_) => dropped += 1,
                None => (gone, dropped) = (gone + 1, 0),
            }
        }
        gone
    }
}

#[test]
fn a_flow_is_warned_once_before_the_bucket_is_dry() {
    let bench = Bench::new(10_000_000, 40);
    let causes: Vec<_> = std::iter::repeat_with(|| bench.offer(&bulk(FRAME, 1))).take(60).collect();
    assert_eq!(causes.iter().filter(|cause| **cause == Some(Cause::Early)).count(), 1, "{causes:?}");
    let warning = causes.iter().position(|cause| *cause == Some(Cause::Early)).unwrap();
    let dry = causes.iter().position(|cause| *cause == Some(Cause::Limit)).unwrap();
    // 17 ms at the rate are 14 frames; the one that is within them, and the last, which overdraws.
    assert_eq!(dry - warning, 16, "{causes:?}");
}

#[test]
fn what_takes_marks_is_not_warned() {
    let bench = Bench::new(10_000_000, 40);
    let packet = Measure { kind: Kind(Kind::SCHEDULABLE | Kind::ECN), ..bulk(FRAME, 1) };
    for _ in 0..60 {
        assert_ne!(bench.offer(&packet), Some(Cause::Early));
    }
}

/// At 64 kbit/s: once in so many refusals nothing goes until the bucket has earned 300 ms.
#[test]
fn a_lone_flow_rests_now_and_then() {
    let mut bench = Bench::new(64_000, 10);
    let rests: Vec<bool> = (0..3 * REFUSED)
        .map(|_| {
            bench.exhaust(1);
            // The last frame may have overdrawn the bucket by its own time, 190 ms.
            bench.now += 280 * MS;
            // The first could be the warning.
            let rests = bench.offer(&bulk(FRAME, 1)).is_some() && bench.offer(&bulk(FRAME, 1)).is_some();
            bench.now += 220 * MS;
            assert!(!rests || bench.offer(&bulk(FRAME, 1)).is_none(), "shut out for too long");
            rests
        })
        .collect();
    // Each stall is one refusal or two.
    assert!((3..=6).contains(&rests.iter().filter(|rests| **rests).count()), "{rests:?}");
}

#[test]
fn flows_that_share_the_rate_do_not_rest() {
    let mut bench = Bench::new(64_000, 10);
    for _ in 0..40 {
        bench.exhaust(1);
        bench.now += 280 * MS;
        let gone = (0..4).filter(|offer| bench.offer(&bulk(FRAME, offer % 2 + 1)).is_none()).count();
        assert!(gone > 0, "nothing goes at {} ms", bench.now / MS);
    }
}

/// A rest costs no rate: what is earned meanwhile goes afterwards.
#[test]
fn a_rest_keeps_what_it_earns() {
    let mut bench = Bench::new(64_000, 10);
    bench.exhaust(1);
    let mut bytes = 0_u64;
    // Offered at every retransmission timeout and after each packet that went, for 200 s.
    for _ in 0..1000 {
        bench.now += 200 * MS;
        while bench.offer(&bulk(FRAME, 1)).is_none() {
            bytes += u64::from(FRAME);
        }
    }
    let share = (bytes * 8) as f64 / 200.0 / 64_000.0;
    assert!((0.98..=1.01).contains(&share), "{share}");
}

#[test]
fn where_a_timeout_earns_several_frames_nobody_rests() {
    assert_eq!(limiter(1_000_000, 62_500, 0, false).reopen, u64::MAX);
    assert_eq!(
        limiter(64_000, 6_056, 0, false).reopen,
        u64::MAX,
        "a burst that could not hold what is earned"
    );
    assert_ne!(limiter(64_000, 15_140, 0, false).reopen, u64::MAX);
    assert_eq!(limiter(64_000, 15_140, 0, true).reopen, u64::MAX, "what waits loses nothing");
}
