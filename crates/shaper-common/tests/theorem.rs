//! The bucket's theorem and what follows from it, for arbitrary rates, bursts and packets.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use proptest::prelude::*;
use shaper_common::{
    bucket::{Bucket, Class, MAX_BYTES, ticks},
    units::{Rate, Size},
};

const FRAME: u32 = 1514;
const SECOND: u64 = 1_000_000_000;

fn bucket(rate: u64, burst: u64, reserve_ms: u64) -> Bucket {
    Bucket::new(
        Rate::from_bits_per_second(rate).unwrap(),
        Size::from_bytes(burst),
        Size::from_bytes(FRAME.into()),
        Duration::from_millis(reserve_ms),
    )
    .unwrap()
}

/// Rates over all eight decades, not mostly the last.
fn rates() -> impl Strategy<Value = u64> {
    (3.0..11.0_f64).prop_map(|exponent| (10_f64.powf(exponent) as u64).clamp(Rate::MIN, Rate::MAX))
}

/// Packets as (gap before it in thousandths of a full frame's time, bytes, small).
fn packets(longest: u32) -> impl Strategy<Value = Vec<(u64, u32, bool)>> {
    let packet = prop_oneof![
        4 => (0..3_000_u64, 60..=longest, Just(false)),
        2 => (0..300_u64, 60..=128_u32, Just(true)),
        1 => (0..50_000_u64, 60..=longest, Just(false)),
    ];
    proptest::collection::vec(packet, 1..200)
}

/// Offers the packets and returns the admitted ones as (time in ns, bytes).
fn run(bucket: &Bucket, rate: u64, packets: &[(u64, u32, bool)]) -> Vec<(u64, u32)> {
    let frame_ns = u64::from(FRAME) * 8 * SECOND / rate;
    let (mut now, mut tat) = (SECOND, 0);
    let mut admitted = Vec::new();
    for &(gap, bytes, small) in packets {
        now += frame_ns * gap / 1000;
        let class = if small { Class::Small } else { Class::Bulk };
        if let Some(next) = bucket.offer(tat, ticks(now), bucket.cost(bytes), class) {
            tat = next;
            admitted.push((now, bytes));
        }
    }
    admitted
}

/// Asserts `bytes <= rate * T + allowance` over every window between two admitted packets.
fn assert_windows(admitted: &[(u64, u32)], rate: u64, allowance: u64) -> Result<(), TestCaseError> {
    for (first, &(start, _)) in admitted.iter().enumerate() {
        let mut sum = 0_u128;
        for &(end, bytes) in &admitted[first..] {
            sum += u128::from(bytes);
            // In bit-nanoseconds, exactly; a tick and a byte of rounding for the limit.
            let bound = u128::from(end - start) * u128::from(rate)
                + u128::from(allowance + 1) * 8 * u128::from(SECOND);
            prop_assert!(
                sum * 8 * u128::from(SECOND) <= bound,
                "{sum} bytes in {} ns at {rate}",
                end - start
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_window_exceeds_rate_and_burst(rate in rates(), frames in 1_u64..20, packets in packets(FRAME)) {
        let burst = frames * u64::from(FRAME);
        let bulk: Vec<_> = packets.into_iter().map(|(gap, bytes, _)| (gap, bytes, false)).collect();
        assert_windows(&run(&bucket(rate, burst, 1000), rate, &bulk), rate, burst)?;
    }

    #[test]
    fn small_packets_add_at_most_the_reserve(rate in rates(), reserve_ms in 0_u64..3000, packets in packets(FRAME)) {
        let burst = 2 * u64::from(FRAME);
        let reserve = rate * reserve_ms / 8000 + 1;
        assert_windows(&run(&bucket(rate, burst, reserve_ms), rate, &packets), rate, burst + reserve)?;
    }

    #[test]
    fn a_long_packet_adds_its_length_once(rate in rates(), packets in packets(65_600)) {
        let burst = 2 * u64::from(FRAME);
        let bulk: Vec<_> = packets.into_iter().map(|(gap, bytes, _)| (gap, bytes, false)).collect();
        assert_windows(&run(&bucket(rate, burst, 0), rate, &bulk), rate, burst + 65_600 - u64::from(FRAME))?;
    }

    /// Whatever came before, a packet of any length passes once the debt is paid.
    #[test]
    fn nothing_starves(rate in rates(), bytes in 1..=MAX_BYTES, debt_ns in 0..100 * SECOND) {
        let bucket = bucket(rate, 2 * u64::from(FRAME), 1000);
        let tat = ticks(SECOND + debt_ns);
        prop_assert!(bucket.offer(tat, tat, bucket.cost(bytes), Class::Bulk).is_some());
    }

    /// More time never turns a pass into a drop, and a small packet passes wherever bulk does.
    #[test]
    fn admission_is_monotone(rate in rates(), now in 0..SECOND, debt in 0..5 * SECOND, wait in 0..SECOND, bytes in 1_u32..3000) {
        let bucket = bucket(rate, 4 * u64::from(FRAME), 1000);
        let (tat, cost) = (ticks(now + debt), bucket.cost(bytes));
        let passes = |at: u64, class| bucket.offer(tat, ticks(at), cost, class).is_some();
        prop_assert!(!passes(now, Class::Bulk) || passes(now + wait, Class::Bulk));
        prop_assert!(!passes(now, Class::Bulk) || passes(now, Class::Small));
        prop_assert!(passes(now, Class::Neighbour));
    }

    /// Charging moves `tat` on by the cost, never back; neighbour discovery never beyond the reserve.
    #[test]
    fn charging_never_goes_back(rate in rates(), now in 0..SECOND, debt in 0..5 * SECOND, bytes in 1_u32..3000) {
        let bucket = bucket(rate, 4 * u64::from(FRAME), 1000);
        let (tat, now) = (ticks(now + debt), ticks(now));
        let cost = bucket.cost(bytes);
        if let Some(next) = bucket.offer(tat, now, cost, Class::Bulk) {
            prop_assert_eq!(next, tat.max(now) + cost);
        }
        let next = bucket.offer(tat, now, cost, Class::Neighbour).unwrap();
        prop_assert!(next >= tat.max(now));
        prop_assert!(next <= tat.max(now + bucket.limit + bucket.reserve));
    }

    /// The cost of a full-length packet is right to a tick and to the rounding of the factor, at every rate.
    #[test]
    fn cost_is_bytes_over_rate(rate in rates(), bytes in 1..=MAX_BYTES) {
        let cost = u128::from(bucket(rate, 2 * u64::from(FRAME), 0).cost(bytes));
        let exact = u128::from(bytes) * 8 * 16 * u128::from(SECOND);
        prop_assert!(cost * u128::from(rate) >= exact);
        let error = cost * u128::from(rate) - exact;
        prop_assert!(error <= exact / 80_000 + 2 * u128::from(rate), "{error} of {exact}");
    }

    /// A new rate takes the state over: over the change the admitted *time* keeps the same bound.
    #[test]
    fn a_rate_change_needs_no_reset(before in rates(), after in rates(), packets in packets(FRAME), at in 1_usize..200) {
        let buckets = [bucket(before, 3 * u64::from(FRAME), 0), bucket(after, 3 * u64::from(FRAME), 0)];
        let (mut now, mut tat, mut spent, mut last) = (SECOND, 0, 0, 0);
        for (index, &(gap, bytes, _)) in packets.iter().enumerate() {
            let bucket = &buckets[usize::from(index >= at)];
            now += gap * 1000;
            let cost = bucket.cost(bytes);
            if let Some(next) = bucket.offer(tat, ticks(now), cost, Class::Bulk) {
                tat = next;
                spent += cost;
                last = cost;
            }
            let limit = buckets[0].limit.max(buckets[1].limit);
            prop_assert!(spent <= ticks(now - SECOND) + limit + last.max(buckets[0].cost(FRAME)).max(buckets[1].cost(FRAME)));
        }
    }
}

/// Offered twice the rate for ten seconds, the bucket passes the rate to one part in a thousand.
#[test]
fn the_long_run_rate_is_the_rate() {
    for rate in [1_000, 64_000, 1_000_000, 1_000_000_000, 100_000_000_000_u64] {
        let bucket = bucket(rate, 2 * u64::from(FRAME), 0);
        let gap = u64::from(FRAME) * 8 * SECOND * 16 / rate / 2;
        let (mut now, mut tat, mut bytes) = (ticks(SECOND), 0, 0_u64);
        for _ in 0..100_000 {
            now += gap;
            if let Some(next) = bucket.offer(tat, now, bucket.cost(FRAME), Class::Bulk) {
                tat = next;
                bytes += u64::from(FRAME);
            }
        }
        let seconds = (now - ticks(SECOND)) as f64 / ticks(SECOND) as f64;
        let share = (bytes * 8) as f64 / (rate as f64 * seconds);
        assert!((0.999..1.001).contains(&share), "{share} of {rate}");
    }
}

#[test]
fn a_burst_of_hours_is_refused() {
    let rate = Rate::from_bits_per_second(1000).unwrap();
    let frame = Size::from_bytes(1514);
    assert!(Bucket::new(rate, Size::from_bytes(1 << 30), frame, Duration::ZERO).is_err());
    assert!(Bucket::new(rate, frame, frame, Duration::from_secs(7200)).is_err());
}

/// The corners of the range multiply without overflow (debug builds would panic).
#[test]
fn the_corners_do_not_overflow() {
    let slow = bucket(Rate::MIN, 2 * u64::from(FRAME), 3_600_000);
    let year = ticks(365 * 24 * 3600 * SECOND);
    for tat in [0, year, year + slow.cost(MAX_BYTES)] {
        for class in [Class::Bulk, Class::Small, Class::Neighbour] {
            let _ = slow.offer(tat, year, slow.cost(u32::MAX), class);
        }
    }
}
