//! `summary.json`: what a run measured. Its schema is `docs/schema/summary.schema.json`.

use std::path::Path;

use anyhow::{Context, Result};
use protocol::record::FrameRecord;
use protocol::status::EdgeStatus;
use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::run::model::ModelFacts;
use crate::statistics::percentile;

/// The file's name in a run's directory.
pub const FILE: &str = "summary.json";

/// Everything that a run measured. Rates are in bit/s, times in seconds unless the name says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// When the edge was started (RFC 3339, UTC).
    pub started_at: String,
    /// The limit as it was asked for.
    pub rate: String,
    /// The limit in bit/s; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_bit_s: Option<u64>,
    /// What the limit lets through at once after a pause, in bytes; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_bytes: Option<u64>,
    /// What small packets may go beyond the burst, in bytes; absent without a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub small_packet_bytes: Option<u64>,
    /// From the edge's start to its end.
    pub duration_s: f64,
    /// From the command's start to the edge's first result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_result_s: Option<f64>,
    /// Whether the run was cut short by Ctrl-C.
    pub interrupted: bool,
    /// The video: a file or the camera's address.
    pub video: String,
    /// The hard-example mining.
    pub hem: Hem,
    /// Both models.
    pub models: Models,
    /// The machine of the run.
    pub machine: Machine,
    /// The commit of the sources; absent outside a checkout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Frames by what became of them.
    pub frames: Frames,
    /// The edge's uplink.
    pub uplink: Uplink,
    /// Times from capture.
    pub latency_ms: Latency,
    /// Scores; absent where the source has no ground truth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<Accuracy>,
}

/// The hard-example mining of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hem {
    /// Its name.
    pub name: String,
    /// Its parameters, as they were given.
    pub parameters: String,
}

/// The models of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Models {
    /// The edge's.
    pub little: ModelFacts,
    /// The cloud's.
    pub big: ModelFacts,
}

/// Frames by what became of them; see `protocol::status::EdgeStatus`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// Delivered by the source.
    pub captured: u64,
    /// Judged by the little model.
    pub inferred: u64,
    /// Found hard.
    pub hard: u64,
    /// Hard, and their upload was begun.
    pub uploaded: u64,
    /// Hard, and answered in time.
    pub answered: u64,
    /// Hard, and their deadline passed.
    pub expired: u64,
    /// Hard, and newer ones took their place.
    pub displaced: u64,
    /// Hard, and their upload failed.
    pub failed: u64,
}

impl From<&EdgeStatus> for Frames {
    fn from(status: &EdgeStatus) -> Self {
        Self {
            captured: status.captured,
            inferred: status.inferred,
            hard: status.hard,
            uploaded: status.uploaded,
            answered: status.answered,
            expired: status.expired,
            displaced: status.displaced,
            failed: status.failed,
        }
    }
}

/// The uplink, measured behind the limit by a packet trace and the links' own counters. Bytes count from the
/// Ethernet header on, each segment of an offloaded packet with headers of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    /// Bytes that passed the limit.
    pub bytes: u64,
    /// Their mean rate over the whole run.
    pub mean_bit_s: f64,
    /// The most in any window of one second.
    pub peak_1s_bit_s: f64,
    /// The mean rate over the time in which hard frames were waiting; absent if none ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_waiting_mean_bit_s: Option<f64>,
    /// How long hard frames were waiting.
    pub hard_waiting_s: f64,
    /// Packets that the edge sent and the limit took.
    pub dropped_packets: u64,
    /// The bridge's own count of bytes, with an Ethernet header for each packet but offloaded packets not split.
    pub counter_bytes: u64,
    /// The trace's bytes counted in the same way; it differs from `counter_bytes` if the trace missed packets.
    pub trace_bytes: u64,
}

/// Percentiles of the times from capture, in milliseconds; absent where no frame got that far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// To the edge's result, median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_p50: Option<f64>,
    /// To the edge's result, 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_p95: Option<f64>,
    /// To the cloud's answer, median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_p50: Option<f64>,
    /// To the cloud's answer, 95th percentile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_p95: Option<f64>,
}

impl Latency {
    /// The percentiles of `records`.
    pub fn of(records: &[FrameRecord]) -> Self {
        let edge: Vec<f64> = records.iter().map(|record| record.timing.edge_ms).collect();
        let cloud: Vec<f64> = records.iter().filter_map(|record| record.timing.cloud_ms).collect();
        let rounded =
            |values: &[f64], fraction| percentile(values, fraction).map(|ms| (ms * 10.0).round() / 10.0);
        Self {
            edge_p50: rounded(&edge, 0.5),
            edge_p95: rounded(&edge, 0.95),
            cloud_p50: rounded(&cloud, 0.5),
            cloud_p95: rounded(&cloud, 0.95),
        }
    }
}

/// What `edge-daemon score` found: mean average precision at IoU 0.5 over the same frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// The little model alone.
    pub map50_edge: f64,
    /// Each frame's final result: the cloud's where it answered, else the edge's.
    pub map50_joint: f64,
    /// The big model on every one of the frames.
    pub map50_cloud: f64,
    /// How many frames have ground truth.
    pub frames_scored: u64,
    /// The same by class.
    #[serde(default)]
    pub classes: serde_json::Map<String, serde_json::Value>,
}

impl Summary {
    /// Reads a run's summary.
    ///
    /// # Errors
    ///
    /// If the file is missing or is not a summary.
    pub fn read(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a run's summary", path.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        let path = directory.join(FILE);
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::run::samples::Sample;

    /// A summary with every field set.
    pub(crate) fn example() -> Summary {
        let model = |name: &str, family: &str| ModelFacts {
            file: format!("models/{name}.safetensors"),
            name: name.into(),
            family: family.into(),
            width: "0.25".into(),
            input: "[416,736]".into(),
        };
        Summary {
            started_at: "2026-11-24T02:07:29.123Z".into(),
            rate: "64kbit".into(),
            rate_bit_s: Some(64_000),
            burst_bytes: Some(3028),
            small_packet_bytes: Some(8000),
            duration_s: 60.4,
            first_result_s: Some(4.2),
            interrupted: false,
            video: "demo/site.mp4".into(),
            hem: Hem { name: "IBT".into(), parameters: "[]".into() },
            models: Models {
                little: model("demo-little", "yolov3-resnet18"),
                big: model("demo-big", "yolov3-darknet53"),
            },
            machine: Machine { kernel: "6.18.44".into(), cpu: "AMD EPYC".into(), cpus: 2 },
            commit: Some("97b06edabcde".into()),
            frames: Frames {
                captured: 1500,
                inferred: 500,
                hard: 200,
                uploaded: 20,
                answered: 16,
                expired: 4,
                displaced: 178,
                failed: 2,
            },
            uplink: Uplink {
                bytes: 480_000,
                mean_bit_s: 63_576.0,
                peak_1s_bit_s: 82_112.0,
                hard_waiting_mean_bit_s: Some(63_800.0),
                hard_waiting_s: 55.0,
                dropped_packets: 800,
                counter_bytes: 470_000,
                trace_bytes: 470_000,
            },
            latency_ms: Latency {
                edge_p50: Some(130.0),
                edge_p95: Some(160.0),
                cloud_p50: Some(3100.0),
                cloud_p95: Some(5200.0),
            },
            accuracy: Some(Accuracy {
                map50_edge: 0.71,
                map50_joint: 0.74,
                map50_cloud: 0.91,
                frames_scored: 480,
                classes: serde_json::Map::new(),
            }),
        }
    }

    fn schema(name: &str) -> jsonschema::Validator {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schema").join(name);
        let schema: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    }

    #[test]
    fn a_summary_is_what_its_schema_says() {
        let schema = schema("summary.schema.json");
        let full = serde_json::to_value(example()).unwrap();
        assert!(
            schema.is_valid(&full),
            "{:?}",
            schema.iter_errors(&full).map(|e| e.to_string()).collect::<Vec<_>>()
        );
        let bare = Summary {
            rate_bit_s: None,
            burst_bytes: None,
            small_packet_bytes: None,
            first_result_s: None,
            commit: None,
            accuracy: None,
            latency_ms: Latency::default(),
            uplink: Uplink::default(),
            ..example()
        };
        assert!(schema.is_valid(&serde_json::to_value(bare).unwrap()));
        for field in ["duration_s", "frames", "uplink", "latency_ms"] {
            let mut lacking = full.clone();
            lacking.as_object_mut().unwrap().remove(field);
            assert!(!schema.is_valid(&lacking), "{field} may be left out");
        }
        let mut wrong = full;
        wrong["frames"]["hard"] = json!(-1);
        assert!(!schema.is_valid(&wrong));
    }

    #[test]
    fn a_record_is_what_its_schema_says() {
        let schema = schema("results.schema.json");
        for record in crate::report::tests::records() {
            let value = serde_json::to_value(record).unwrap();
            assert!(
                schema.is_valid(&value),
                "{:?}",
                schema.iter_errors(&value).map(|e| e.to_string()).next()
            );
        }
        assert!(!schema.is_valid(&json!({ "frame": 1 })));
    }

    #[test]
    fn a_status_is_what_its_schema_says() {
        let schema = schema("edge-status.schema.json");
        let full = EdgeStatus { edge_ms: Some(120.0), last_cloud_ms: Some(3000.0), ..EdgeStatus::default() };
        for status in [full.clone(), EdgeStatus::default()] {
            assert!(schema.is_valid(&serde_json::to_value(&status).unwrap()));
        }
        let sample = Sample { t: 1.0, status: full };
        assert!(schema.is_valid(&serde_json::to_value(sample).unwrap()));
        assert!(!schema.is_valid(&json!({ "captured": 1 })));
    }
}
