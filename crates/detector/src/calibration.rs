//! From what a network's layers put out on some pictures to the ranges that bytes should cover.
//!
//! A range that covers everything seen is coarse where a few values lie far out; one that is too narrow cuts them off. The
//! one that is chosen has the least expected squared error, rounding and cutting together: a step of `s` rounds with an
//! error of `s²/12` (Widrow, "Statistical analysis of amplitude-quantized sampled-data systems", 1961).

use crate::executor::Head;

/// Parts of the range of everything seen that values are counted in.
const BINS: usize = 2048;
/// Shares of either end of a range that are tried.
const SHARES: usize = 128;

/// What one layer put out.
#[derive(Debug, Clone, Default)]
struct Seen {
    least: f32,
    most: f32,
    /// How many values lie in each part of the range; empty until the range is known.
    counts: Vec<u64>,
}

/// What the convolutions of a network put out, by their numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calibration {
    seen: Vec<Seen>,
}

impl Calibration {
    fn seen(&mut self, convolution: usize) -> &mut Seen {
        if self.seen.len() <= convolution {
            self.seen.resize(convolution + 1, Seen::default());
        }
        &mut self.seen[convolution]
    }

    /// Widens the range of a convolution to its output for one picture.
    pub(crate) fn widen(&mut self, convolution: usize, output: &Head<'_>) {
        let seen = self.seen(convolution);
        for value in output.values() {
            seen.least = seen.least.min(value);
            seen.most = seen.most.max(value);
        }
    }

    /// Counts the values of a convolution's output for one picture, once all pictures have widened its range.
    pub(crate) fn count(&mut self, convolution: usize, output: &Head<'_>) {
        let Seen { least, most, counts } = self.seen(convolution);
        counts.resize(BINS, 0);
        let width = *most - *least;
        if width > 0.0 {
            // 0 is exact whatever the range, and there are many after some activations.
            for value in output.values().filter(|value| *value != 0.0) {
                counts[((value - *least) / width * BINS as f32).clamp(0.0, (BINS - 1) as f32) as usize] += 1;
            }
        }
    }

    /// Least and largest value of each convolution's output that bytes should tell apart.
    pub(crate) fn ranges(&self) -> Vec<[f32; 2]> {
        self.seen.iter().map(Seen::range).collect()
    }
}

impl Seen {
    fn range(&self) -> [f32; 2] {
        let mut shares = [SHARES; 2];
        // Each end in turn, until neither changes: the error falls at every step, so this ends.
        loop {
            let before = shares;
            for end in 0..2 {
                let error = |share: &usize| {
                    let mut tried = shares;
                    tried[end] = *share;
                    self.error(self.ends(tried))
                };
                shares[end] =
                    (1..=SHARES).rev().min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(SHARES);
            }
            if shares == before {
                return self.ends(shares);
            }
        }
    }

    fn ends(&self, [least, most]: [usize; 2]) -> [f32; 2] {
        let share = |share: usize| share as f32 / SHARES as f32;
        [self.least * share(least), self.most * share(most)]
    }

    /// The sum of the squared errors of all values as bytes of this range.
    fn error(&self, [least, most]: [f32; 2]) -> f64 {
        let (least, most) = (f64::from(least), f64::from(most));
        let bin = (f64::from(self.most) - f64::from(self.least)) / BINS as f64;
        let rounding = ((most - least) / 255.0).powi(2) / 12.0;
        let of = |(index, count): (usize, &u64)| {
            let value = f64::from(self.least) + (index as f64 + 0.5) * bin;
            let cut = (least - value).max(value - most).max(0.0);
            *count as f64 * if cut > 0.0 { cut * cut } else { rounding }
        };
        self.counts.iter().enumerate().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(values: &[f32]) -> [f32; 2] {
        let head = Head::plain(values, 1, (1, values.len()));
        let mut calibration = Calibration::default();
        calibration.widen(0, &head);
        calibration.count(0, &head);
        calibration.ranges()[0]
    }

    #[test]
    fn evenly_spread_values_are_covered() {
        let values: Vec<f32> = (-100..=300).map(|value| value as f32 / 10.0).collect();
        let [least, most] = ranges(&values);
        // But for what rounding wins over cutting.
        assert!((-10.0..=-9.8).contains(&least) && (29.8..=30.0).contains(&most), "{least} {most}");
    }

    #[test]
    fn few_values_far_out_are_cut_off() {
        let mut values: Vec<f32> = (0..1_000_000).map(|value| (value % 1000) as f32 / 1000.0).collect();
        values.push(60.0);
        let [least, most] = ranges(&values);
        assert_eq!(least, 0.0);
        assert!((1.0..30.0).contains(&most), "{most}");
    }

    #[test]
    fn zeros_count_for_nothing() {
        let mut values: Vec<f32> = (0..10_000).map(|value| (value as f32 / 10_000.0).powi(8)).collect();
        let without = ranges(&values);
        values.resize(1_000_000, 0.0);
        assert_eq!(ranges(&values), without);
    }

    #[test]
    fn zeros_have_a_range() {
        assert_eq!(ranges(&[0.0; 5]), [0.0, 0.0]);
    }
}
