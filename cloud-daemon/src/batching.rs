//! What batches of pictures cost on this machine, and so how many the model takes at once.
//!
//! A batch makes those wait that come first in it, and answers more where pictures wait anyway. How much it saves depends on
//! the model and the machine: much on a GPU and on many cores, little on a few. So it is measured when the model is loaded.

use std::fmt;
use std::time::{Duration, Instant};

/// What a larger batch must save of the time for a picture.
const SAVING: f64 = 0.05;
/// How often each size is run; the fastest counts, because whatever else the machine does only adds.
const RUNS: u32 = 2;
/// What measuring may take beyond a batch of one picture.
const PATIENCE: Duration = Duration::from_secs(1);

/// What batches cost, up to the largest that pays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchCosts {
    /// Pictures, and the time of the batch: from one picture upwards, each saving something for a picture.
    measured: Vec<(usize, Duration)>,
}

impl BatchCosts {
    /// Measures batches of 1, 2, 4 and so on, up to `most` pictures, until one saves nothing or too much time has gone. `run`
    /// runs a batch of so many pictures and returns what it took.
    ///
    /// # Errors
    ///
    /// If a single picture fails. A batch that fails, for want of memory perhaps, does not pay.
    pub fn measure<E>(most: usize, mut run: impl FnMut(usize) -> Result<Duration, E>) -> Result<Self, E> {
        let mut best_of = |pictures: usize| -> Result<Duration, E> {
            let mut best = run(pictures)?;
            for _ in 1..RUNS {
                best = best.min(run(pictures)?);
            }
            Ok(best)
        };
        let mut costs = Self { measured: vec![(1, best_of(1)?)] };
        let mut left = PATIENCE;
        loop {
            let now = costs.size();
            let next = (2 * now).min(most);
            let expected = costs.time(next) * RUNS;
            if next <= now || expected > left {
                return Ok(costs);
            }
            left -= expected;
            match best_of(next) {
                Ok(time) if time.as_secs_f64() <= costs.time(next).as_secs_f64() * (1.0 - SAVING) => {
                    costs.measured.push((next, time));
                }
                _ => return Ok(costs),
            }
        }
    }

    /// The most pictures that the model should take at once.
    pub fn size(&self) -> usize {
        self.measured.last().map_or(1, |(pictures, _)| *pictures)
    }

    /// What a batch of so many pictures takes.
    pub fn time(&self, pictures: usize) -> Duration {
        let larger = self.measured.iter().position(|(measured, _)| *measured >= pictures);
        match (larger, self.measured.last()) {
            (Some(0), _) => self.measured[0].1,
            // In equal steps from one measured size to the next.
            (Some(index), _) => {
                let ((few, less), (many, more)) = (self.measured[index - 1], self.measured[index]);
                let share = (pictures - few) as f64 / (many - few) as f64;
                less + more.saturating_sub(less).mul_f64(share)
            }
            (None, Some((most, time))) => time.mul_f64(pictures as f64 / *most as f64),
            (None, None) => Duration::ZERO,
        }
    }

    /// Whether one more picture fits into a batch of so many that begins at `now`: none of its `deadlines` that it meets
    /// without that one may be missed with it.
    pub fn fits(&self, pictures: usize, deadlines: impl IntoIterator<Item = Instant>, now: Instant) -> bool {
        let (without, with) = (now + self.time(pictures), now + self.time(pictures + 1));
        pictures < self.size() && deadlines.into_iter().all(|deadline| with <= deadline || without > deadline)
    }
}

/// The milliseconds of each size for a picture.
impl fmt::Display for BatchCosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (pictures, time)) in self.measured.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let each = time.as_secs_f64() * 1e3 / *pictures as f64;
            write!(f, "{separator}{pictures}: {each:.1} ms")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Measured where a batch of `pictures` takes `time(pictures)` milliseconds; and how many of each size were run.
    fn measured(most: usize, time: impl Fn(usize) -> u64) -> (BatchCosts, Vec<usize>) {
        let mut runs = Vec::new();
        let costs = BatchCosts::measure(most, |pictures| {
            runs.push(pictures);
            Ok::<_, ()>(Duration::from_millis(time(pictures)))
        });
        (costs.unwrap(), runs)
    }

    #[test]
    fn the_largest_size_that_pays() {
        // Each picture costs 1 ms, each batch 10 ms besides.
        let (costs, runs) = measured(8, |pictures| 10 + pictures as u64);
        assert_eq!((costs.size(), runs), (8, vec![1, 1, 2, 2, 4, 4, 8, 8]));
        // Nothing to be saved.
        let (costs, runs) = measured(8, |pictures| 10 * pictures as u64);
        assert_eq!((costs.size(), runs), (1, vec![1, 1, 2, 2]));
        // Up to four.
        let (costs, runs) = measured(64, |pictures| 8 * pictures.div_ceil(4) as u64);
        assert_eq!((costs.size(), runs), (4, vec![1, 1, 2, 2, 4, 4, 8, 8]));
        // The limit need not be a power of two, and 1 is one.
        assert_eq!(measured(3, |pictures| 10 + pictures as u64).0.size(), 3);
        assert_eq!(measured(1, |_| 10).1, [1, 1]);
    }

    #[test]
    fn measuring_ends_when_it_has_taken_long() {
        // A batch of two takes as long as one picture, 400 ms; two runs of it are expected to take 1.6 s.
        let (costs, runs) = measured(8, |_| 400);
        assert_eq!((costs.size(), runs), (1, vec![1, 1]));
        let (costs, runs) = measured(8, |_| 200);
        assert_eq!((costs.size(), runs), (2, vec![1, 1, 2, 2]));
    }

    #[test]
    fn a_batch_that_fails_does_not_pay() {
        let limited = |limit: usize| {
            BatchCosts::measure(8, |pictures| {
                if pictures > limit { Err("no memory") } else { Ok(Duration::from_millis(10)) }
            })
        };
        assert_eq!(limited(2).unwrap().size(), 2);
        assert_eq!(limited(0).unwrap_err(), "no memory");
    }

    #[test]
    fn times_between_and_beyond_measured_ones() {
        let (costs, _) = measured(8, |pictures| [0, 10, 14, 0, 20, 0, 0, 0, 30][pictures]);
        let times = [1, 2, 3, 4, 6, 8, 16].map(|pictures| costs.time(pictures).as_millis());
        assert_eq!(times, [10, 14, 17, 20, 25, 30, 60]);
        assert_eq!(costs.to_string(), "1: 10.0 ms, 2: 7.0 ms, 4: 5.0 ms, 8: 3.8 ms");
    }

    #[test]
    fn a_batch_grows_as_long_as_nobody_is_late_for_it() {
        let (costs, _) = measured(4, |pictures| 10 + pictures as u64);
        let now = Instant::now();
        let fits = |pictures, ms: &[u64]| {
            costs.fits(pictures, ms.iter().map(|&ms| now + Duration::from_millis(ms)), now)
        };
        assert!(fits(1, &[]) && fits(3, &[100, 14]));
        assert!(!fits(4, &[]), "no more than pay");
        // Three take 13 ms.
        assert!(!fits(2, &[100, 12]));
        // Late in any case.
        assert!(fits(2, &[100, 11]));
    }
}
