//! Percentiles, and the busiest second of a packet trace.

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

    proptest! {
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
