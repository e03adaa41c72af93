//! `report.html`: one run on one self-contained page, from the files in its directory.
//!
//! # Layout
//!
//! - [`page`]: the page; [`plots`]: what is plotted; [`plot`]: how; [`gallery`]: the pictures
//! - [`terminal`]: the same in a few lines
//! - [`text`]: numbers and escaping

pub mod gallery;
pub mod page;
pub mod plot;
pub mod plots;
pub mod terminal;
pub mod text;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use protocol::record::FrameRecord;

use crate::clock::parse_rfc3339;
use crate::run::finish::read_records;
use crate::run::samples::Sample;
use crate::summary::Summary;

/// The file's name in a run's directory.
pub const FILE: &str = "report.html";

/// A run as its directory tells it.
#[derive(Debug)]
pub struct Run {
    /// The summary.
    pub summary: Summary,
    /// Every inferred frame, with its capture in seconds from the edge's start.
    pub records: Vec<(f64, FrameRecord)>,
    /// The edge's counters.
    pub samples: Vec<Sample>,
    /// Seconds and bytes of each packet on the uplink.
    pub packets: Vec<(f64, u64)>,
}

impl Run {
    /// Reads the run in `directory`.
    ///
    /// # Errors
    ///
    /// If one of its files is missing or is not what it should be.
    pub fn read(directory: &Path) -> Result<Self> {
        let summary = Summary::read(directory)?;
        let start = parse_rfc3339(&summary.started_at).context("started_at in the summary is no time")?;
        let mut records: Vec<(f64, FrameRecord)> = read_records(&directory.join("results.jsonl"))?
            .into_iter()
            .map(|record| (parse_rfc3339(&record.captured_at).map_or(0.0, |at| at - start), record))
            .collect();
        // A hard frame's line is written when its answer is there, so they are out of order.
        records.sort_by_key(|(_, record)| record.frame);
        let text = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let samples =
            text("edge-status.jsonl")?.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let packets = text("uplink-trace.csv")?
            .lines()
            .filter_map(|line| line.split_once(','))
            .filter_map(|(t, bytes)| Some((t.parse().ok()?, bytes.parse().ok()?)))
            .collect();
        Ok(Self { summary, records, samples, packets })
    }
}

/// Writes the report of the run in `directory` into it.
///
/// # Errors
///
/// If a file cannot be read or the report not be written.
pub fn write(directory: &Path) -> Result<()> {
    let run = Run::read(directory)?;
    let path = directory.join(FILE);
    fs::write(&path, page::html(&run, directory)).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::record::{FrameTiming, Outcome, Upload};
    use protocol::{BoundingBox, Detection};

    use super::*;
    use crate::summary::tests::example;

    /// An easy frame, an answered one, and a failed one.
    pub(crate) fn records() -> Vec<FrameRecord> {
        let detection = Detection {
            class: "helmet_on".into(),
            class_id: 2,
            score: 0.83,
            bbox: BoundingBox { x_min: 10.0, y_min: 20.0, x_max: 30.0, y_max: 60.0 },
        };
        let upload = Upload {
            bytes: 8123,
            width: 544,
            height: 306,
            queue_ms: 12.0,
            round_trip_ms: Some(1100.0),
            cloud_ms: Some(95.0),
            error: None,
        };
        let easy = FrameRecord {
            frame: 0,
            captured_at: "2026-11-24T02:07:30.123Z".into(),
            media_time_us: Some(40_000),
            width: 1280,
            height: 720,
            hard: false,
            outcome: Outcome::Edge,
            edge: vec![detection.clone()],
            cloud: None,
            timing: FrameTiming { wait_ms: 3.0, infer_ms: 101.0, edge_ms: 110.0, cloud_ms: None },
            upload: None,
        };
        let answered = FrameRecord {
            frame: 3,
            hard: true,
            outcome: Outcome::Answered,
            cloud: Some(vec![detection]),
            timing: FrameTiming { cloud_ms: Some(1234.0), ..easy.timing },
            upload: Some(upload.clone()),
            ..easy.clone()
        };
        let error = Some("connection refused <b>".into());
        let failed = FrameRecord {
            frame: 6,
            outcome: Outcome::Failed,
            cloud: None,
            upload: Some(Upload { error, round_trip_ms: None, cloud_ms: None, ..upload }),
            timing: easy.timing,
            ..answered.clone()
        };
        vec![easy, answered, failed]
    }

    fn run_directory(summary: &Summary) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        summary.write(directory.path()).unwrap();
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
        let lines: Vec<String> =
            records().iter().map(|record| serde_json::to_string(record).unwrap()).collect();
        write("results.jsonl", &(lines.join("\n") + "\n"));
        write("edge-status.jsonl", "");
        write("uplink-trace.csv", "t,bytes\n0.5,1514\n1.25,1514\n");
        for of in ["edge", "cloud"] {
            let pictures = directory.path().join(format!("hard_example_{of}_inference_output"));
            fs::create_dir(&pictures).unwrap();
            fs::write(pictures.join("3.jpeg"), "jpeg").unwrap();
        }
        directory
    }

    #[test]
    fn the_page_stands_alone_and_escapes() {
        let mut summary = example();
        summary.video = "<script>alert(1)</script>.mp4".into();
        summary.models.big.name = "\"><img src=x>".into();
        let directory = run_directory(&summary);
        write(directory.path()).unwrap();
        let page = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(!page.contains("<script") && !page.contains("<img src=x"), "text from outside came through");
        assert!(!page.contains("http://") && !page.contains("https://"), "the page asks the network");
        assert!(page.contains("data:image/jpeg;base64,anBlZw=="), "the picture is not in the page");
        assert!(page.contains("frame 3 ·") && page.contains("8.1 kB"));
        assert!(page.contains("limit 64 kbit/s"));
    }

    #[test]
    fn an_unlimited_run_without_answers_has_a_page() {
        let summary = Summary {
            rate_bit_s: None,
            burst_bytes: None,
            small_packet_bytes: None,
            accuracy: None,
            ..example()
        };
        let directory = run_directory(&summary);
        fs::write(directory.path().join("results.jsonl"), "").unwrap();
        write(directory.path()).unwrap();
        let page = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(page.contains("answered no hard frame") && page.contains("without a limit"));
        let mut words = page.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(!words.any(|word| word == "NaN" || word == "inf"), "a division by zero came through");
    }
}
