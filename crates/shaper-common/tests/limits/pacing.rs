//! Paces: their bounds over all rates, debts and numbers of flows, and that senders who keep them lose nothing.

use std::time::Duration;

use proptest::prelude::*;
use shaper_common::{
    bucket::{Bucket, offer, ticks},
    pacing::{UNPACED, pace},
    parameters::Parameters,
    units::{Rate, Size},
};

/// A policer's bucket with a burst of `burst_ms`, at least twelve frames.
fn bucket(bits_per_second: u64, burst_ms: u64) -> Bucket {
    let rate = Rate::from_bits_per_second(bits_per_second).unwrap();
    let frame = Size::from_bytes(1514);
    let burst = rate.bytes_in(Duration::from_millis(burst_ms)).max(12 * frame.bytes());
    let parameters = Parameters {
        rate,
        burst: Size::from_bytes(burst),
        frame,
        longest: frame,
        reserve: Duration::from_secs(1),
        overhead: 0,
        latency: None,
    };
    parameters.limiter().unwrap().bucket
}

fn rates() -> impl Strategy<Value = u64> {
    // Even over the orders of magnitude.
    (3.0..11.0_f64).prop_map(|exponent| 10_f64.powf(exponent) as u64)
}

proptest! {
    #[test]
    fn a_pace_falls_with_the_debt_and_with_the_flows(
        rate in rates(), burst in 1..2000_u64, debt in 0.0..1.5_f64, more in 0.0..0.5_f64,
        flows in 1..1023_u32, others in 0..100_u32,
    ) {
        let bucket = bucket(rate, burst);
        let at = |part: f64| (bucket.limit as f64 * part) as u64;
        let first = pace(&bucket, at(debt), flows);
        prop_assert!(pace(&bucket, at(debt + more), flows) <= first);
        prop_assert!(pace(&bucket, at(debt), flows + others) <= first);
    }

    #[test]
    fn without_debt_it_is_twice_the_rate_and_where_flows_settle_the_share(
        rate in rates(), burst in 1..2000_u64, flows in 1..64_u32,
    ) {
        let bucket = bucket(rate, burst);
        let bytes = rate as f64 / 8.0;
        let twice = f64::from(pace(&bucket, 0, flows));
        if 2.0 * bytes < f64::from(UNPACED) {
            prop_assert!((twice - 2.0 * bytes).abs() <= 2.0 + bytes * 1e-3, "{twice} for twice {bytes}");
            let share = bytes / f64::from(flows);
            let settled = f64::from(pace(&bucket, bucket.limit * 3 / 8, flows));
            prop_assert!((settled - share).abs() <= 2.0 + share * 0.01, "{settled} for {share}");
        } else {
            prop_assert_eq!(pace(&bucket, 0, flows), UNPACED);
        }
    }

    /// Each sends a frame when its pace allows, and is told a new pace then. Once the first burst is over, nothing is
    /// refused, and all of the rate is used, evenly.
    #[test]
    fn senders_that_keep_their_pace_lose_nothing(
        rate in 256_000..100_000_000_u64, senders in 1..6_usize, counted in 0..4_u32, seed in any::<u64>(),
    ) {
        let bucket = bucket(rate, 500);
        let cost = bucket.cost(1514);
        let flows = senders as u32 + counted;
        let mut due: Vec<u64> = (0..senders as u64).map(|sender| seed.rotate_left(sender as u32) % cost).collect();
        let (mut tat, mut refused, mut sent) = (0_u64, 0, vec![0_u64; senders]);
        let start = 10 * bucket.limit;
        let end = start + 1000 * cost;
        loop {
            let sender = (0..senders).min_by_key(|sender| due[*sender]).unwrap();
            let now = due[sender];
            if now > end {
                break;
            }
            match offer(tat, now, cost, bucket.limit) {
                Some(next) => {
                    tat = next;
                    sent[sender] += u64::from(now > start);
                }
                None => refused += u32::from(now > start),
            }
            // Payload takes its time at the pace; what headers take beyond it, the debt tells.
            let pace = u64::from(pace(&bucket, tat.saturating_sub(now), flows));
            due[sender] = now + ticks(1448 * 1_000_000_000 / pace.max(1));
        }
        prop_assert_eq!(refused, 0);
        let all: u64 = sent.iter().sum();
        prop_assert!((960..=1040).contains(&all), "{} frames of 1000", all);
        let (least, most) = (sent.iter().min().unwrap(), sent.iter().max().unwrap());
        prop_assert!(most - least <= 2 + most / 20, "{:?}", sent);
    }
}

#[test]
fn no_limit_is_no_pace() {
    assert_eq!(pace(&Bucket::default(), 0, 1), UNPACED);
}
