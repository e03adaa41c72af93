//! Percentiles, fairness, and the busiest windows of a packet trace.

/// The `fraction` percentile of `values` by linear interpolation between closest ranks; `None` if empty.
pub fn percentile(values: &[f64], fraction: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let rank = fraction.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    Some(below + (above - below) * rank.fract())
}

/// The most bytes in any window of `width` seconds. `packets` are (seconds, bytes) in order of time; a window
/// holds the packets with `begin <= t < begin + width`.
pub fn window_peak(packets: &[(f64, u64)], width: f64) -> u64 {
    let (mut first, mut sum, mut peak) = (0, 0, 0);
    for &(at, bytes) in packets {
        sum += bytes;
        // The oldest packet leaves once the window that begins with it no longer holds this one.
        while at - packets[first].0 >= width {
            sum -= packets[first].1;
            first += 1;
        }
        peak = peak.max(sum);
    }
    peak
}

/// Bytes in each whole second from 0 to `seconds`; packets outside are left out.
pub fn per_second(packets: &[(f64, u64)], seconds: f64) -> Vec<u64> {
    let mut bins = vec![0; seconds.max(0.0).ceil() as usize];
    for &(at, bytes) in packets {
        if at >= 0.0
            && let Some(bin) = bins.get_mut(at as usize)
        {
            *bin += bytes;
        }
    }
    bins
}

/// Bytes of the packets with `begin <= t < end`.
pub fn bytes_between(packets: &[(f64, u64)], begin: f64, end: f64) -> u64 {
    packets.iter().filter(|(at, _)| (begin..end).contains(at)).map(|(_, bytes)| bytes).sum()
}

/// The most bytes by which any window of a trace exceeds `rate` (bytes a second) times the window's length: the
/// smallest burst with which the trace conforms to the rate. `packets` are (seconds, bytes) in order of time.
///
/// A window from packet `i` to packet `j` holds `S(j) - S(i-1)` bytes, `S` being the running sum, and is `t(j) - t(i)`
/// long. So the largest excess is `max over i <= j of [S(j) - rate t(j)] - [S(i-1) - rate t(i)]`. With `e(j)` for the
/// largest of those that end at `j`, this is `e(j) = bytes(j) + max(0, e(j-1) - rate (t(j) - t(j-1)))`: the level of
/// a bucket that the trace fills and that leaks at the rate. One pass finds it exactly, for windows of every
/// length.
pub fn window_excess(packets: &[(f64, u64)], rate: f64) -> f64 {
    let (mut level, mut peak, mut last) = (0.0_f64, 0.0_f64, f64::NEG_INFINITY);
    for &(at, bytes) in packets {
        level = (level - rate * (at - last)).max(0.0) + bytes as f64;
        peak = peak.max(level);
        last = at;
    }
    peak
}

/// From when on a trace conforms to `rate` (bytes a second) and `burst` (bytes): the time of the first packet such
/// that no window that begins with it or later exceeds them; `None` if there is no such packet. `packets` are
/// (seconds, bytes) in order of time.
///
/// The windows that begin at `i` exceed by `max over j >= i of [S(j) - rate t(j)] - [S(i-1) - rate t(i)]`, which
/// one pass from the end finds: `e(i) = bytes(i) + max(0, e(i+1) - rate (t(i+1) - t(i)))`.
pub fn conforms_from(packets: &[(f64, u64)], rate: f64, burst: f64) -> Option<f64> {
    let (mut level, mut next, mut from) = (0.0_f64, f64::INFINITY, None);
    for &(at, bytes) in packets.iter().rev() {
        level = (level - rate * (next - at)).max(0.0) + bytes as f64;
        if level > burst {
            break;
        }
        from = Some(at);
        next = at;
    }
    from
}

/// Jain's index of fairness, `(sum x)^2 / (n sum x^2)`: 1 if all are equal, 1/n if one has everything; `None` if
/// nobody has anything.
pub fn jain(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_of_a_few() {
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&[7.0], 0.95), Some(7.0));
        assert_eq!(percentile(&[4.0, 1.0, 3.0, 2.0], 0.5), Some(2.5));
        assert_eq!(percentile(&[f64::NAN, 1.0, 2.0], 1.0), Some(2.0));
    }

    #[test]
    fn a_window_is_half_open() {
        let packets = [(0.0, 10), (0.5, 20), (1.0, 40), (1.49, 1)];
        assert_eq!(window_peak(&packets, 1.0), 61);
        assert_eq!(window_peak(&[], 1.0), 0);
        assert_eq!(per_second(&packets, 1.2), [30, 41]);
        assert_eq!(bytes_between(&packets, 0.5, 1.0), 20);
    }

    #[test]
    fn fairness() {
        assert_eq!(jain(&[]), None);
        assert_eq!(jain(&[0.0, 0.0]), None);
        assert_eq!(jain(&[3.0, 3.0, 3.0]), Some(1.0));
        assert_eq!(jain(&[8.0, 0.0, 0.0, 0.0]), Some(0.25));
    }

    #[test]
    fn a_trace_at_its_rate_exceeds_by_one_packet() {
        let packets: Vec<(f64, u64)> = (0..100).map(|i| (f64::from(i) * 0.01, 10)).collect();
        assert!((window_excess(&packets, 1000.0) - 10.0).abs() < 1e-6);
        // A burst after a pause counts in full: what was not used before it does not lower it.
        let late = [&packets[..], &[(5.0, 70), (5.0, 30)]].concat();
        assert!((window_excess(&late, 1000.0) - 100.0).abs() < 1e-6);
        assert_eq!(window_excess(&[], 1000.0), 0.0);
    }

    #[test]
    fn a_change_of_rate_bites_when_the_rest_conforms() {
        let fast = (0..100).map(|i| (f64::from(i) * 0.001, 10));
        let slow = (0..50).map(|i| (0.1 + f64::from(i) * 0.1, 10));
        let packets: Vec<(f64, u64)> = fast.chain(slow).collect();
        let from = conforms_from(&packets, 100.0, 15.0).unwrap();
        assert!((0.099..=0.1).contains(&from), "{from}");
        assert_eq!(conforms_from(&packets, 100.0, 5.0), None);
        assert_eq!(conforms_from(&packets, 1e6, 1e6), Some(0.0));
    }

    proptest! {
        /// One pass finds what trying every window finds.
        #[test]
        fn window_excess_is_the_brute_force_excess(
            mut packets in prop::collection::vec((0.0..10.0_f64, 1..2000_u64), 1..60),
            rate in 10.0..10_000.0_f64,
        ) {
            packets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let windows = |i: usize| {
                let packets = &packets;
                (i..packets.len()).map(move |j| {
                    let bytes: u64 = packets[i..=j].iter().map(|p| p.1).sum();
                    bytes as f64 - rate * (packets[j].0 - packets[i].0)
                })
            };
            let brute = (0..packets.len()).flat_map(windows).fold(0.0, f64::max);
            prop_assert!((window_excess(&packets, rate) - brute).abs() < 1e-6);

            let burst = brute * 0.6;
            let first = (0..packets.len()).rev().take_while(|&i| windows(i).all(|e| e <= burst + 1e-9)).last();
            let found = conforms_from(&packets, rate, burst + 1e-9);
            prop_assert_eq!(found, first.map(|i| packets[i].0));
        }

        /// The two pointers find what trying a window at every packet finds.
        #[test]
        fn window_peak_is_the_brute_force_peak(
            mut packets in prop::collection::vec((0.0..10.0_f64, 0..2000_u64), 0..60),
            width in 0.01..3.0_f64,
        ) {
            packets.sort_by(|a, b| a.0.total_cmp(&b.0));
            let brute = packets
                .iter()
                .map(|&(begin, _)| {
                    packets.iter().filter(|(t, _)| *t >= begin && *t - begin < width).map(|p| p.1).sum()
                })
                .max()
                .unwrap_or(0);
            prop_assert_eq!(window_peak(&packets, width), brute);
        }

        #[test]
        fn percentiles_lie_among_the_values(values in prop::collection::vec(-1e6..1e6_f64, 1..50), f in 0.0..=1.0_f64) {
            let found = percentile(&values, f).unwrap();
            prop_assert!(values.iter().any(|v| *v <= found) && values.iter().any(|v| *v >= found));
        }
    }
}
