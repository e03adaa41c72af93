//! The edge's counters over the run, and what they tell while it is on.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::status::EdgeStatus;
use serde::{Deserialize, Serialize};

use crate::clock::minutes;
use crate::rate::Rate;
use crate::statistics::bytes_between;

/// The edge's counters at one moment: a line of `edge-status.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds from the edge's start.
    pub t: f64,
    /// The counters.
    #[serde(flatten)]
    pub status: EdgeStatus,
}

/// Over how many seconds the live line takes its means.
const WINDOW: f64 = 5.0;

/// The last seconds of a run.
#[derive(Debug, Default)]
pub struct Recent {
    samples: VecDeque<Sample>,
    bytes: VecDeque<(f64, u64)>,
}

impl Recent {
    /// Takes the edge's counters in.
    pub fn sample(&mut self, sample: Sample) {
        while self.samples.front().is_some_and(|first| sample.t - first.t > WINDOW) {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// Takes in how many bytes have gone over the uplink at `t` seconds.
    pub fn uplink(&mut self, t: f64, bytes: u64) {
        while self.bytes.front().is_some_and(|first| t - first.0 > WINDOW) {
            self.bytes.pop_front();
        }
        self.bytes.push_back((t, bytes));
    }

    /// The live line.
    pub fn line(&self, elapsed: Duration, rate: Rate) -> String {
        let mut line = minutes(elapsed);
        if let (Some(first), Some(last)) = (self.samples.front(), self.samples.back()) {
            let seconds = last.t - first.t;
            let grown = |field: fn(&EdgeStatus) -> u64| {
                field(&last.status).saturating_sub(field(&first.status)) as f64
            };
            let (captured, inferred, hard) =
                (grown(|s| s.captured), grown(|s| s.inferred), grown(|s| s.hard));
            if seconds > 0.0 {
                line += &format!("  camera {:.1}/s  edge {:.1}/s", captured / seconds, inferred / seconds);
            }
            if inferred > 0.0 {
                line += &format!("  hard {:.0} %", 100.0 * hard / inferred);
            }
        } else {
            line += "  waiting for the first frame";
        }
        if let (Some(first), Some(last)) = (self.bytes.front(), self.bytes.back())
            && last.0 > first.0
        {
            let bit_s = (last.1 - first.1) as f64 * 8.0 / (last.0 - first.0);
            line += &match rate {
                Rate::Limit(limit) => {
                    let (factor, unit) = scale(limit as f64);
                    format!("  uplink {:.1} of {} {unit}", bit_s / factor, (limit as f64 / factor))
                }
                Rate::Unlimited => {
                    let (factor, unit) = scale(bit_s);
                    format!("  uplink {:.1} {unit}", bit_s / factor)
                }
            };
        }
        if let Some(last) = self.samples.back() {
            line += &format!("  queue {}", last.status.queued);
            if let Some(ms) = last.status.last_cloud_ms {
                line += &format!("  cloud {:.1} s", ms / 1000.0);
            }
        }
        line
    }
}

/// The factor and the name of the unit that suits a rate.
pub fn scale(bit_s: f64) -> (f64, &'static str) {
    if bit_s >= 10e6 { (1e6, "Mbit/s") } else { (1e3, "kbit/s") }
}

/// Bytes that passed and seconds that went by while hard frames were waiting: between two samples that both
/// saw some.
pub fn while_waiting(samples: &[Sample], packets: &[(f64, u64)]) -> (u64, f64) {
    samples
        .windows(2)
        .filter(|pair| pair.iter().all(|sample| sample.status.queued > 0))
        .map(|pair| (bytes_between(packets, pair[0].t, pair[1].t), pair[1].t - pair[0].t))
        .fold((0, 0.0), |sum, each| (sum.0 + each.0, sum.1 + each.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(t: f64, captured: u64, queued: u64) -> Sample {
        let status = EdgeStatus {
            captured,
            inferred: captured / 2,
            hard: captured / 4,
            queued,
            last_cloud_ms: Some(3210.0),
            ..EdgeStatus::default()
        };
        Sample { t, status }
    }

    #[test]
    fn the_line_shows_the_last_seconds() {
        let mut recent = Recent::default();
        assert_eq!(recent.line(Duration::ZERO, Rate::Limit(64_000)), "00:00  waiting for the first frame");
        for second in 0..=23_u32 {
            recent.sample(sample(f64::from(second), u64::from(second) * 20, 3));
            recent.uplink(f64::from(second), u64::from(second) * 7725);
        }
        assert_eq!(
            recent.line(Duration::from_secs(23), Rate::Limit(64_000)),
            "00:23  camera 20.0/s  edge 10.0/s  hard 50 %  uplink 61.8 of 64 kbit/s  queue 3  cloud 3.2 s"
        );
        assert!(recent.line(Duration::from_secs(23), Rate::Unlimited).contains("uplink 61.8 kbit/s"));
    }

    #[test]
    fn waiting_time_is_between_samples_that_wait() {
        let samples = [sample(0.0, 0, 0), sample(1.0, 0, 1), sample(2.0, 0, 2), sample(3.0, 0, 0)];
        let packets = [(0.5, 1), (1.5, 10), (1.9, 20), (2.5, 100)];
        assert_eq!(while_waiting(&samples, &packets), (30, 1.0));
    }

    #[test]
    fn a_sample_is_one_flat_line() {
        let line = serde_json::to_string(&sample(1.5, 4, 0)).unwrap();
        assert!(line.starts_with(r#"{"t":1.5,"captured":4,"#), "{line}");
        assert_eq!(serde_json::from_str::<Sample>(&line).unwrap(), sample(1.5, 4, 0));
    }
}
