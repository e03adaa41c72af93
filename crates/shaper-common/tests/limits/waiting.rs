//! How long packets wait in mode shape.

use crate::support::{FRAME, SECOND, Words, bulk, limiter};
use shaper_common::{
    bucket::ticks,
    limiter::{Limiter, Verdict},
    wire::{Kind, Measure},
};

const RATE: u64 = 1_000_000;
const LATENCY: u64 = 50_000_000;
const FRAME_NS: u64 = FRAME as u64 * 8 * SECOND / RATE;

fn shaper() -> Limiter {
    limiter(RATE, 5000, 0, true)
}

fn tcp(flow: u32) -> Measure {
    Measure { kind: Kind(Kind::SCHEDULABLE | Kind::TCP), ..bulk(FRAME, flow) }
}

/// Sends a flow at twice the rate for a second; returns its longest wait.
fn flood(limiter: &Limiter, words: &Words, packet: &Measure) -> u64 {
    let times = (0..SECOND).step_by(FRAME_NS as usize / 2).map(|time| SECOND + time);
    let waits = times.filter_map(|now| match limiter.decide(&words, ticks(now), packet).0 {
        Verdict::Wait { departure, .. } => Some(departure.saturating_sub(now)),
        Verdict::Pass { .. } | Verdict::Drop(_) => None,
    });
    waits.max().unwrap_or(0)
}

#[test]
fn a_flood_waits_for_the_latency() {
    let waited = flood(&shaper(), &Words::default(), &bulk(FRAME, 1));
    assert!((LATENCY - FRAME_NS..=LATENCY).contains(&waited), "{waited}");
}

/// The first windows of TCP's connections are never cut, and what TCP fills it empties again by itself.
#[test]
fn tcp_waits_for_its_first_windows() {
    let (limiter, words) = (shaper(), Words::default());
    for packet in 0..20 {
        let verdict = limiter.decide(&&words, ticks(SECOND), &tcp(packet % 2)).0;
        assert!(!matches!(verdict, Verdict::Drop(_)), "{packet}: {verdict:?}");
    }
    let waited = flood(&limiter, &Words::default(), &tcp(1));
    assert!((19 * FRAME_NS..=20 * FRAME_NS).contains(&waited), "{waited}");
}

/// Once it is known, a flow that keeps to its share is not locked out by a queue that TCP fills beyond the latency.
#[test]
fn a_flow_within_its_share_goes_behind_tcp() {
    let (limiter, words) = (shaper(), Words::default());
    let mut fates = Vec::new();
    for step in 0..400 {
        let now = ticks(SECOND + step * FRAME_NS);
        while !matches!(limiter.decide(&&words, now, &tcp(1)).0, Verdict::Drop(_)) {}
        if step % 4 == 0 {
            fates.push(limiter.decide(&&words, now, &bulk(FRAME, 2)).0);
        }
    }
    let waits = |verdict: &Verdict| matches!(verdict, Verdict::Wait { .. });
    assert!(fates[20..].iter().all(waits), "{fates:?}");
}
