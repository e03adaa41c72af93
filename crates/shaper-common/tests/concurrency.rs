//! The compare-and-swap loop of the kernel program, run by host threads on a real atomic.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use shaper_common::{
    bucket::{Bucket, Cell, Class, Verdict, ticks},
    units::{Rate, Size},
};

const FRAME: u32 = 1514;
const THREADS: usize = 8;

struct Word(AtomicU64);

impl Cell for Word {
    fn load(&self) -> u64 {
        self.0.load(SeqCst)
    }

    fn exchange(&self, current: u64, new: u64) -> bool {
        self.0.compare_exchange(current, new, SeqCst, SeqCst).is_ok()
    }
}

fn bucket(rate: &str, burst: u64) -> Bucket {
    Bucket::new(
        rate.parse::<Rate>().unwrap(),
        Size::from_bytes(burst),
        Size::from_bytes(FRAME.into()),
        Duration::ZERO,
    )
    .unwrap()
}

/// Time stands still: every thread sees the same bucket, and together they pass exactly what it holds.
#[test]
fn no_token_is_lost_or_spent_twice() {
    let bucket = bucket("64kbit", 500 * u64::from(FRAME));
    let word = Word(AtomicU64::new(0));
    let now = ticks(1_000_000_000);
    let passed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut passed = 0;
                    loop {
                        match bucket.admit(&word, now, FRAME, Class::Bulk).0 {
                            Verdict::Pass { .. } => passed += 1,
                            Verdict::Contended => {}
                            Verdict::Drop => return passed,
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    // Admitted while the debt is at most 499 frames: the 500th still is.
    assert_eq!(passed, 500);
    assert_eq!(word.load(), now + passed * bucket.cost(FRAME));
}

/// Time runs: the sum over all threads keeps the theorem's bound.
#[test]
fn threads_together_keep_the_rate() {
    let (rate, burst) = (800_000_000_u64, 10 * u64::from(FRAME));
    let bucket = bucket("800mbit", burst);
    let word = Word(AtomicU64::new(0));
    let started = Instant::now();
    let length = Duration::from_millis(200);
    let passed: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut passed = 0;
                    while started.elapsed() < length {
                        let now = ticks(started.elapsed().as_nanos() as u64);
                        if let (Verdict::Pass { .. }, _) = bucket.admit(&word, now, FRAME, Class::Bulk) {
                            passed += 1;
                        }
                    }
                    passed
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let bound = started.elapsed().as_nanos() as u64 * (rate / 8) / 1_000_000_000 + burst;
    assert!(passed * u64::from(FRAME) <= bound, "{passed} frames, {bound} bytes allowed");
    assert!(passed > 0);
}

struct Busy;

impl Cell for Busy {
    fn load(&self) -> u64 {
        0
    }

    fn exchange(&self, _: u64, _: u64) -> bool {
        false
    }
}

/// A word that others always change first: the loop ends, bulk is dropped, neighbour discovery passes.
#[test]
fn contention_ends() {
    let bucket = bucket("64kbit", 3028);
    assert_eq!(bucket.admit(&Busy, 0, FRAME, Class::Bulk).0, Verdict::Contended);
    assert_eq!(bucket.admit(&Busy, 0, 60, Class::Small).0, Verdict::Contended);
    assert!(matches!(bucket.admit(&Busy, 0, 60, Class::Neighbour).0, Verdict::Pass { .. }));
}
