//! The results as JSON: `docs/schema/bench-shaper.schema.json`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cell::Outcome;
use crate::machine::Machine;

/// The version of the form. It grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The results of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// When the run began, in UTC.
    pub started: String,
    /// The commit of the checkout, if it is one.
    pub commit: Option<String>,
    /// What was measured on each kernel.
    pub kernels: Vec<OnKernel>,
    /// Whether a signal ended the run early.
    pub interrupted: bool,
}

/// What was measured on one kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OnKernel {
    /// `host`, or the guest's name.
    pub place: String,
    /// The machine as programs on this kernel see it.
    pub machine: Machine,
    /// What could not be measured, and why.
    pub not_here: Vec<NotHere>,
    /// The measurements.
    pub outcomes: Vec<Outcome>,
}

/// Something that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotHere {
    /// A limit or a part of the table.
    pub what: String,
    /// What is lacking.
    pub why: String,
}

impl Results {
    /// Writes them to `path`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads what [`Results::write`] wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} has another form", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::bench::shaper::cell::{Cell, Finding};
    use crate::bench::shaper::change::Change;
    use crate::bench::shaper::contender::Contender;
    use crate::bench::shaper::pair::Family;
    use crate::bench::shaper::part::Part;
    use crate::bench::shaper::program::Timing;
    use crate::bench::shaper::traffic::{Flow, RoundTrips, Traffic};

    fn traffic() -> Traffic {
        let trips = RoundTrips { count: 3, unanswered: 0, p50_ms: 1.0, p99_ms: 2.0, max_ms: 3.0 };
        let flow = Flow {
            congestion: "cubic".into(),
            payload_bit_s: 1.0,
            segments_out: 2,
            retransmitted: 1,
            srtt_ms: 1.0,
            marked: 0,
        };
        Traffic {
            ceiling_bit_s: Some(1.0),
            payload_of_ceiling: Some(1.0),
            flows: vec![flow],
            jain: Some(1.0),
            smallest_share: Some(1.0),
            first_second_bytes: Some(1),
            first_second_of_rate: Some(1.0),
            worst_window_bytes: Some(1.0),
            burst_bytes: Some(1),
            above_burst_bytes: Some(0.0),
            small_tcp: Some(trips),
            small_udp: Some(trips),
            cpu_s_per_gb: Some(1.0),
            traced_bytes: Some(1),
            attach_ms: Some(1.0),
            ..Traffic::default()
        }
    }

    fn results() -> Results {
        let cell = |limit, part| Cell {
            part,
            limit,
            rate_bit_s: 64_000,
            family: Family::V4,
            congestion: vec!["cubic".into()],
            ecn: false,
            delay_ms: 0,
            seconds: 5,
        };
        let change = Change { high_bit_s: 2, low_bit_s: 1, down_ms: Some(1.0), up_ms: None, order_ms: 1.0 };
        let findings = [
            Finding::Traffic(Box::new(traffic())),
            Finding::Traffic(Box::default()),
            Finding::Change(change),
            Finding::Program(Timing { pass_ns: 60.0, exceed_ns: 61.0 }),
            Finding::NotHere("no such thing".into()),
            Finding::Failed("no connection".into()),
        ];
        let parts = [
            Part::Rate,
            Part::Small,
            Part::Fair,
            Part::Ecn,
            Part::Delay,
            Part::Change,
            Part::Cpu,
            Part::Program,
        ];
        let each = Contender::all().flat_map(|limit| parts.map(|part| cell(limit, part)));
        let outcomes = each
            .zip(findings.iter().cycle())
            .map(|(cell, finding)| Outcome { cell, finding: finding.clone() })
            .collect();
        let not_here = vec![NotHere { what: "delay".into(), why: "no netem".into() }];
        let on_host = OnKernel { place: "host".into(), machine: Machine::read(), not_here, outcomes };
        Results {
            version: VERSION,
            started: "2026-01-02T03:04:05Z".into(),
            commit: None,
            kernels: vec![on_host],
            interrupted: false,
        }
    }

    #[test]
    fn results_are_what_their_schema_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema/bench-shaper.schema.json");
        let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        let schema = jsonschema::validator_for(&schema).unwrap();
        let full = serde_json::to_value(results()).unwrap();
        let errors: Vec<String> = schema.iter_errors(&full).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let mut wrong = full;
        wrong["kernels"][0]["outcomes"][0]["another"] = 1.into();
        assert!(!schema.is_valid(&wrong));
    }

    #[test]
    fn what_is_written_can_be_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.json");
        let results = results();
        results.write(&path).unwrap();
        let again = Results::read(&path).unwrap();
        assert_eq!(serde_json::to_value(again).unwrap(), serde_json::to_value(results).unwrap());
        assert!(!crate::bench::shaper::blocks::text(&Results::read(&path).unwrap().kernels[0]).is_empty());
    }
}
