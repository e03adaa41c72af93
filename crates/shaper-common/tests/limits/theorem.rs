//! The bucket's theorem and what follows from it, for arbitrary rates, bursts and packets.

use std::time::Duration;

use crate::support::{FRAME, SECOND, Words, bulk, limiter, parameters, small};
use proptest::prelude::*;
use shaper_common::{
    bucket::{Bucket, MAX_BYTES, offer, ticks},
    limiter::{Limiter, Verdict},
    units::{Rate, Size},
    wire::{Kind, Measure},
};

/// Rates over all eight decades, not mostly the last.
fn rates() -> impl Strategy<Value = u64> {
    (3.0..11.0_f64).prop_map(|exponent| (10_f64.powf(exponent) as u64).clamp(Rate::MIN, Rate::MAX))
}

/// Packets as (gap before it in thousandths of a full frame's time, packet).
fn packets(longest: u32) -> impl Strategy<Value = Vec<(u64, Measure)>> {
    let packet = prop_oneof![
        4 => (0..3_000_u64, 60..=longest, 0..6_u32).prop_map(|(gap, bytes, flow)| (gap, bulk(bytes, flow))),
        2 => (0..300_u64, 60..=128_u32, 0..6_u32).prop_map(|(gap, bytes, flow)| (gap, small(bytes, flow))),
        1 => (0..50_000_u64, 60..=longest, 0..200_u32).prop_map(|(gap, bytes, flow)| (gap, bulk(bytes, flow))),
    ];
    proptest::collection::vec(packet, 1..200)
}

/// Offers the packets and returns those that go as (time in ns, bytes), in the order of their departure.
fn run(limiter: &Limiter, rate: u64, packets: &[(u64, Measure)]) -> Vec<(u64, u32)> {
    let frame_ns = u64::from(FRAME) * 8 * SECOND / rate;
    let words = Words::default();
    let mut now = SECOND;
    let mut gone = Vec::new();
    for (gap, packet) in packets {
        now += frame_ns * gap / 1000;
        match limiter.decide(&&words, ticks(now), packet).0 {
            Verdict::Pass { .. } => gone.push((now, packet.bytes)),
            Verdict::Wait { departure, .. } => gone.push((departure.max(now), packet.bytes)),
            Verdict::Drop(_) => {}
        }
    }
    gone.sort_by_key(|(at, _)| *at);
    gone
}

/// Asserts `bytes <= rate * T + allowance` over every window between two packets.
fn assert_windows(gone: &[(u64, u32)], rate: u64, allowance: u64) -> Result<(), TestCaseError> {
    for (first, &(start, _)) in gone.iter().enumerate() {
        let mut sum = 0_u128;
        for &(end, bytes) in &gone[first..] {
            sum += u128::from(bytes);
            // In bit-nanoseconds, exactly; a tick and a byte of rounding for the limit.
            let bound = u128::from(end - start + 1) * u128::from(rate)
                + u128::from(allowance + 1) * 8 * u128::from(SECOND);
            prop_assert!(
                sum * 8 * u128::from(SECOND) <= bound,
                "{sum} bytes in {} ns at {rate}, {allowance} allowed",
                end - start
            );
        }
    }
    Ok(())
}

fn only_bulk(packets: Vec<(u64, Measure)>) -> Vec<(u64, Measure)> {
    packets.into_iter().map(|(gap, packet)| (gap, bulk(packet.bytes, packet.flow))).collect()
}

proptest! {
    /// In both modes, whatever the flows: what goes in any window is at most the rate and the burst.
    #[test]
    fn no_window_exceeds_rate_and_burst(rate in rates(), frames in 4_u64..40, shape: bool, packets in packets(FRAME)) {
        let burst = frames * u64::from(FRAME);
        let limiter = limiter(rate, burst, 1000, shape);
        assert_windows(&run(&limiter, rate, &only_bulk(packets)), rate, burst)?;
    }

    /// Small packets add at most what the limiter says that they add.
    #[test]
    fn small_packets_add_at_most_their_reserve(
        rate in rates(), frames in 4_u64..40, reserve_ms in 0_u64..3000, shape: bool, packets in packets(FRAME),
    ) {
        let burst = frames * u64::from(FRAME);
        let limiter = limiter(rate, burst, reserve_ms, shape);
        let small = limiter.small_bytes(Rate::from_bits_per_second(rate).unwrap());
        assert_windows(&run(&limiter, rate, &packets), rate, burst + small)?;
    }

    /// A flood of small packets alone keeps to the same bound: it is limited, too.
    #[test]
    fn a_flood_of_small_packets_is_limited(rate in rates(), shape: bool, bytes in 60..=128_u32, gap in 0..40_u64) {
        let flood: Vec<_> = (0..400).map(|_| (gap, small(bytes, 1))).collect();
        let burst = 4 * u64::from(FRAME);
        let limiter = limiter(rate, burst, 1000, shape);
        let small = limiter.small_bytes(Rate::from_bits_per_second(rate).unwrap());
        assert_windows(&run(&limiter, rate, &flood), rate, burst + small)?;
    }

    /// A packet that is longer than planned for adds what it has beyond, once.
    #[test]
    fn a_long_packet_adds_its_length_once(rate in rates(), shape: bool, packets in packets(65_600)) {
        let burst = 4 * u64::from(FRAME);
        let limiter = limiter(rate, burst, 0, shape);
        assert_windows(&run(&limiter, rate, &only_bulk(packets)), rate, burst + 65_600 - u64::from(FRAME))?;
    }

    /// Whatever came before, a packet of any length goes once the debt is paid.
    #[test]
    fn nothing_starves(rate in rates(), shape: bool, bytes in 1..=MAX_BYTES, before in packets(FRAME)) {
        let limiter = limiter(rate, 4 * u64::from(FRAME), 1000, shape);
        let words = Words::default();
        let mut now = SECOND;
        for (gap, packet) in &before {
            now += gap;
            limiter.decide(&&words, ticks(now), packet);
        }
        // Longer than any debt: horizon, reserve, and the last packet.
        now += 10 * SECOND + 2 * u64::from(FRAME) * 8 * SECOND / rate;
        let verdict = limiter.decide(&&words, ticks(now), &bulk(bytes, 7)).0;
        prop_assert!(!matches!(verdict, Verdict::Drop(_)), "{verdict:?}");
    }

    /// More time never turns an admission into a refusal, and charging moves `tat` on by the cost, never back.
    #[test]
    fn admission_is_monotone(now in 0..SECOND, debt in 0..5 * SECOND, wait in 0..SECOND, cost in 0..SECOND, deepest in 0..SECOND) {
        let tat = ticks(now + debt);
        let offered = |at: u64| offer(tat, ticks(at), cost, ticks(deepest));
        prop_assert!(offered(now).is_none() || offered(now + wait).is_some());
        if let Some(next) = offered(now) {
            prop_assert_eq!(next, tat.max(ticks(now)) + cost);
        }
    }

    /// The departures of one flow keep the order in which its packets came.
    #[test]
    fn a_flow_keeps_its_order(rate in rates(), gaps in proptest::collection::vec((0..3_000_u64, 60..=FRAME), 1..200)) {
        let limiter = limiter(rate, 8 * u64::from(FRAME), 1000, true);
        let frame_ns = u64::from(FRAME) * 8 * SECOND / rate;
        let words = Words::default();
        let (mut now, mut last) = (SECOND, 0);
        for (gap, bytes) in gaps {
            now += frame_ns * gap / 1000;
            let kind = if bytes <= 128 { Kind::SMALL | Kind::IN_ORDER } else { 0 } | Kind::SCHEDULABLE;
            let packet = Measure { bytes, segments: 1, kind: Kind(kind), flow: 3 };
            let at = match limiter.decide(&&words, ticks(now), &packet).0 {
                Verdict::Pass { .. } => now,
                Verdict::Wait { departure, .. } => departure,
                Verdict::Drop(_) => continue,
            };
            // A nanosecond for the rounding of ticks.
            prop_assert!(at + 1 >= last, "{at} after {last}");
            last = at;
        }
    }

    /// The cost is right to a tick and to the rounding of the factor, at every rate.
    #[test]
    fn cost_is_bytes_over_rate(rate in rates(), bytes in 1..=MAX_BYTES) {
        let cost = u128::from(limiter(rate, 8 * u64::from(FRAME), 0, false).bucket.cost(bytes));
        let exact = u128::from(bytes) * 8 * 16 * u128::from(SECOND);
        prop_assert!(cost * u128::from(rate) >= exact);
        let error = cost * u128::from(rate) - exact;
        prop_assert!(error <= exact / 80_000 + 2 * u128::from(rate), "{error} of {exact}");
    }

    /// A new rate takes the state over: over the change the admitted *time* keeps the bound of the larger burst.
    #[test]
    fn a_rate_change_needs_no_reset(
        before in rates(), after in rates(), packets in packets(FRAME), at in 1_usize..200,
    ) {
        let limiters = [before, after].map(|rate| limiter(rate, 8 * u64::from(FRAME), 0, false));
        let words = Words::default();
        let (mut now, mut spent, mut last) = (SECOND, 0, 0);
        for (index, (gap, packet)) in only_bulk(packets).iter().enumerate() {
            let limiter = &limiters[usize::from(index >= at)];
            now += gap * 1000;
            if let Verdict::Pass { .. } = limiter.decide(&&words, ticks(now), packet).0 {
                last = limiter.bucket.cost(packet.bytes);
                spent += last;
            }
            let limit = limiters[0].bucket.limit.max(limiters[1].bucket.limit);
            let frame = limiters[0].bucket.cost(FRAME).max(last);
            prop_assert!(spent <= ticks(now - SECOND) + limit + last.max(frame));
        }
    }
}

/// Offered twice the rate for long enough, the bucket passes the rate to one part in a thousand.
#[test]
fn the_long_run_rate_is_the_rate() {
    for rate in [1_000, 64_000, 1_000_000, 1_000_000_000, 100_000_000_000_u64] {
        let bucket: Bucket = limiter(rate, 8 * u64::from(FRAME), 0, false).bucket;
        let gap = u64::from(FRAME) * 8 * SECOND * 16 / rate / 2;
        let (mut now, mut tat, mut bytes) = (ticks(SECOND), 0, 0_u64);
        for _ in 0..100_000 {
            now += gap;
            if let Some(next) = offer(tat, now, bucket.cost(FRAME), bucket.limit) {
                tat = next;
                bytes += u64::from(FRAME);
            }
        }
        let seconds = (now - ticks(SECOND)) as f64 / ticks(SECOND) as f64;
        let share = (bytes * 8) as f64 / (rate as f64 * seconds);
        assert!((0.999..1.001).contains(&share), "{share} of {rate}");
    }
}

/// One flow offers ten times what another does; both get half.
#[test]
fn flows_share_the_rate() {
    for shape in [false, true] {
        let limiter = limiter(1_000_000, 62_500, 1000, shape);
        let words = Words::default();
        let mut passed = [0_u64; 2];
        for step in 0..600_000_u64 {
            // A step is 50 µs: the greedy one sends each time, the modest one at the whole rate.
            let now = ticks(SECOND + step * 50_000);
            let mut send = |flow: u32| match limiter.decide(&&words, now, &bulk(FRAME, 0xa000 + flow)).0 {
                Verdict::Pass { .. } | Verdict::Wait { .. } => passed[flow as usize] += 1,
                Verdict::Drop(_) => {}
            };
            send(0);
            if step % 242 == 0 {
                send(1);
            }
        }
        let share = passed[1] as f64 / (passed[0] + passed[1]) as f64;
        assert!((0.45..=0.55).contains(&share), "{passed:?}, shape {shape}");
    }
}

/// Name look-ups and pings are no flows that bulk must share its burst with.
#[test]
fn the_burst_is_not_shared_with_small_packets() {
    let passed = |pings: u32| {
        let (limiter, words) = (limiter(1_000_000, 12 * u64::from(FRAME), 1000, false), Words::default());
        let goes =
            |packet| matches!(limiter.decide(&&words, ticks(100 * SECOND), &packet).0, Verdict::Pass { .. });
        (0..pings).for_each(|ping| assert!(goes(small(60, 2 + ping))));
        (0..12).take_while(|_| goes(bulk(FRAME, 1))).count() as u32
    };
    let alone = passed(0);
    assert!(alone >= 10, "{alone}");
    for pings in [1, 3, 10, 50] {
        // What they take is not there any more.
        assert!(passed(pings) >= alone - (60 * pings).div_ceil(FRAME), "{} after {pings}", passed(pings));
    }
}

/// What one flow leaves is the other's.
#[test]
fn an_idle_share_is_used() {
    let limiter = limiter(1_000_000, 62_500, 1000, false);
    let words = Words::default();
    let mut bytes = 0_u64;
    for step in 0..600_000_u64 {
        let now = ticks(SECOND + step * 50_000);
        if let Verdict::Pass { .. } = limiter.decide(&&words, now, &bulk(FRAME, 0xb000)).0 {
            bytes += u64::from(FRAME);
        }
        // A second flow that keeps being counted, and takes a fiftieth.
        if step % 12_000 == 0 {
            limiter.decide(&&words, now, &bulk(FRAME, 0xb001));
        }
    }
    let share = (bytes * 8) as f64 / 30.0 / 1e6;
    assert!((0.96..=1.02).contains(&share), "{share}");
}

#[test]
fn a_burst_of_hours_is_refused() {
    let mut wanted = parameters(1000, 1 << 30, 0, false);
    assert!(wanted.limiter().is_err());
    wanted.burst = Size::from_bytes(6000);
    wanted.reserve = Duration::from_secs(7200);
    assert!(wanted.limiter().is_err());
}

/// The corners of the range multiply without overflow (debug builds would panic).
#[test]
fn the_corners_do_not_overflow() {
    for shape in [false, true] {
        let slow = limiter(Rate::MIN, 400_000, 3_600_000, shape);
        let words = Words::default();
        let year = ticks(365 * 24 * 3600 * SECOND);
        for flow in 0..100 {
            for kind in [0, Kind::SMALL, Kind::NEIGHBOUR, Kind::ECN, Kind::SCHEDULABLE] {
                let packet = Measure { bytes: u32::MAX, segments: 1, kind: Kind(kind), flow };
                slow.decide(&&words, year, &packet);
            }
        }
    }
}
