//! The compare-and-swap loop of the kernel program, run by host threads on real atomics.

use std::{
    sync::atomic::AtomicU64,
    thread,
    time::{Duration, Instant},
};

use crate::support::{FRAME, Ref, Words, bulk, limiter};
use shaper_common::{
    bucket::{MAX_TRIES, Refused, Word, charge, charge_at_most, ticks},
    limiter::Verdict,
};

const THREADS: usize = 8;

/// Time stands still: every thread sees the same bucket, and together they pass exactly what it holds.
#[test]
fn no_token_is_lost_or_spent_twice() {
    let bucket = limiter(64_000, 500 * u64::from(FRAME), 0, false).bucket;
    let word = AtomicU64::new(0);
    let now = ticks(1_000_000_000);
    let cost = bucket.cost(FRAME);
    let passed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut passed = 0;
                    loop {
                        match charge(&Ref(&word), now, cost, bucket.limit).0 {
                            Ok(_) => passed += 1,
                            Err(Refused::Contended) => {}
                            Err(Refused::Deep) => return passed,
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
    });
    // Admitted while the debt is at most 499 frames: the 500th still is.
    assert_eq!(passed, 500);
    assert_eq!(Ref(&word).load(), now + passed * cost);
}

/// Time runs, and the threads are flows that race in the flow table as well: the sum keeps the theorem's bound.
#[test]
fn threads_together_keep_the_rate() {
    for shape in [false, true] {
        let (rate, burst) = (800_000_000_u64, 40 * u64::from(FRAME));
        let limiter = limiter(rate, burst, 0, shape);
        let words = Words::default();
        let started = Instant::now();
        let length = Duration::from_millis(300);
        let passed: u64 = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS as u32)
                .map(|flow| {
                    let (words, limiter) = (&words, &limiter);
                    scope.spawn(move || {
                        let mut passed = 0;
                        while started.elapsed() < length {
                            let now = ticks(started.elapsed().as_nanos() as u64);
                            match limiter.decide(&words, now, &bulk(FRAME, flow)).0 {
                                Verdict::Pass { .. } => passed += 1,
                                // What leaves after the end is not counted.
                                Verdict::Wait { departure, .. } => {
                                    passed += u64::from(departure < length.as_nanos() as u64);
                                }
                                Verdict::Drop(_) => {}
                            }
                        }
                        passed
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
        });
        let bound = started.elapsed().as_nanos() as u64 * (rate / 8) / 1_000_000_000 + burst;
        assert!(passed * u64::from(FRAME) <= bound, "{passed} frames, {bound} bytes allowed, shape {shape}");
        assert!(passed > 0);
    }
}

struct Busy;

impl Word for Busy {
    fn load(&self) -> u64 {
        0
    }

    fn store(&self, _: u64) {}

    fn exchange(&self, _: u64, _: u64) -> bool {
        false
    }
}

/// A word that others always change first: the loops end.
#[test]
fn contention_ends() {
    assert_eq!(charge(&Busy, 0, 1, 1), (Err(Refused::Contended), MAX_TRIES));
    assert_eq!(charge_at_most(&Busy, 0, 1, 1), MAX_TRIES);
}
