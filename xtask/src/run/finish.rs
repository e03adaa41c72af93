//! After the programs have ended: results into summary, score and report.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use protocol::record::FrameRecord;

use super::plan::{Plan, Video};
use super::samples::while_waiting;
use super::session::Measured;
use crate::confine::{Place, confine};
use crate::interrupt::Interrupt;
use crate::machine::{Machine, commit};
use crate::report;
use crate::statistics::window_peak;
use crate::summary::{Accuracy, Frames, Latency, Summary, Uplink};
use crate::terminal::stage;
use crate::workspace::Workspace;

/// How far the links' counters and the packet trace may be apart.
const TOLERANCE: f64 = 0.01;
/// How often the scoring is looked after.
const STEP: Duration = Duration::from_millis(100);

/// Writes the summary, scores the results where there is ground truth, and writes the report.
///
/// # Errors
///
/// If a file cannot be read or written. A failed scoring is only reported.
pub fn finish(
    workspace: &Workspace,
    plan: &Plan,
    machine: Machine,
    measured: Measured,
    interrupt: &Interrupt,
) -> Result<()> {
    let records = read_records(&plan.out.join("results.jsonl"))?;
    let uplink = uplink(&measured);
    if let Some(warning) = disagreement(&uplink, measured.trace.lost) {
        eprintln!("warning: {warning}");
    }
    let mut summary = Summary {
        started_at: protocol::time::rfc3339(measured.started_at),
        rate: plan.rate.to_string(),
        rate_bit_s: plan.rate.bit_s(),
        burst_bytes: measured.allowance.burst_bytes,
        small_packet_bytes: measured.allowance.small_packet_bytes,
        duration_s: (measured.duration.as_secs_f64() * 1000.0).round() / 1000.0,
        first_result_s: measured.first_result.map(|time| (time.as_secs_f64() * 10.0).round() / 10.0),
        interrupted: measured.interrupted,
        video: shown(&plan.video.name(), workspace.root()),
        hem: plan.hem.clone(),
        models: plan.models.clone(),
        machine,
        commit: commit(workspace.root()),
        frames: measured.samples.last().map(|sample| Frames::from(&sample.status)).unwrap_or_default(),
        uplink,
        latency_ms: Latency::of(&records),
        accuracy: None,
    };
    for model in [&mut summary.models.little, &mut summary.models.big] {
        model.file = shown(&model.file, workspace.root());
    }
    // Written before the scoring, so that nothing is lost if that fails.
    summary.write(&plan.out)?;
    if let Video::File { path, truth: Some(truth) } = &plan.video
        && !interrupt.is_set()
    {
        stage("scoring against the ground truth: the big model looks at the same frames");
        match score(workspace, plan, (path, truth), interrupt) {
            Ok(accuracy) => {
                summary.accuracy = Some(accuracy);
                summary.write(&plan.out)?;
            }
            Err(error) => eprintln!("warning: no accuracy in the report: {error:#}"),
        }
    }
    report::write(&plan.out)?;
    println!();
    println!("{}", report::terminal::render(&summary, &plan.out));
    Ok(())
}

/// Reads `results.jsonl`: no records if it is missing, which is what a run leaves that ended before its edge had
/// begun. The last line may be cut off, as a killed edge leaves it.
///
/// # Errors
///
/// If it cannot be read or a line is no record.
pub fn read_records(path: &Path) -> Result<Vec<FrameRecord>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        text => text.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}, line {}: not a frame's record", path.display(), number + 1))
        })
        .collect()
}

fn uplink(measured: &Measured) -> Uplink {
    let packets = &measured.trace.packets;
    let bytes = measured.trace.wire_bytes();
    let bit_s = |bytes: u64, seconds: f64| (bytes as f64 * 8.0 / seconds * 10.0).round() / 10.0;
    let (waiting_bytes, waiting_s) = while_waiting(&measured.samples, packets);
    Uplink {
        bytes,
        mean_bit_s: bit_s(bytes, measured.duration.as_secs_f64()),
        peak_1s_bit_s: bit_s(window_peak(packets, 1.0), 1.0),
        hard_waiting_mean_bit_s: (waiting_s > 0.0).then(|| bit_s(waiting_bytes, waiting_s)),
        hard_waiting_s: (waiting_s * 1000.0).round() / 1000.0,
        dropped_packets: measured.counters.dropped(),
        counter_bytes: measured.counters.frame_bytes(),
        trace_bytes: measured.trace.frame_bytes,
    }
}

/// What to say if the counters and the trace do not tell the same.
fn disagreement(uplink: &Uplink, lost: u64) -> Option<String> {
    let (counted, traced) = (uplink.counter_bytes as f64, uplink.trace_bytes as f64);
    let apart = (counted - traced).abs() / counted.max(traced).max(1.0);
    (apart > TOLERANCE || lost > 0).then(|| {
        format!(
            "the links counted {counted} bytes on the uplink and the packet trace {traced}, {:.1} % apart \
             ({lost} packets were not traced)",
            100.0 * apart
        )
    })
}

/// Runs `edge-daemon score`; its progress goes to the terminal and its verdict to `accuracy.json`.
fn score(
    workspace: &Workspace,
    plan: &Plan,
    (video, truth): (&Path, &Path),
    interrupt: &Interrupt,
) -> Result<Accuracy> {
    let path = plan.out.join("accuracy.json");
    let mut command = Command::new(workspace.binary("edge-daemon"));
    command.arg("score").arg("--results").arg(plan.out.join("results.jsonl"));
    command.arg("--truth").arg(truth).arg("--video").arg(video).arg("--model").arg(&plan.big);
    command.stdin(Stdio::null()).stdout(File::create(&path)?);
    confine(&mut command, Place::Here);
    let mut child = command.spawn().context("cannot run edge-daemon score")?;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Err(interrupted) = interrupt.check() {
            child.kill()?;
            child.wait()?;
            return Err(interrupted);
        }
        std::thread::sleep(STEP);
    };
    if !status.success() {
        bail!("edge-daemon score failed ({status})");
    }
    let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} holds no whole score", path.display()))
}

/// A path as a reader wants it: from the workspace's root if it lies below.
fn shown(path: &str, root: &Path) -> String {
    Path::new(path).strip_prefix(root).map_or_else(|_| path.to_owned(), |short| short.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_off_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("results.jsonl");
        let record = serde_json::to_string(&report::tests::records()[0]).unwrap();
        fs::write(&path, format!("{record}\n{record}\n{}", &record[..20])).unwrap();
        assert_eq!(read_records(&path).unwrap().len(), 2);
        fs::write(&path, format!("{record}\nnonsense\n")).unwrap();
        assert!(read_records(&path).unwrap_err().to_string().contains("line 2"));
        assert!(read_records(&directory.path().join("none")).unwrap().is_empty());
    }

    #[test]
    fn counters_and_trace_should_agree() {
        let uplink = |counter_bytes, trace_bytes| Uplink { counter_bytes, trace_bytes, ..Uplink::default() };
        assert_eq!(disagreement(&uplink(1000, 995), 0), None);
        assert!(disagreement(&uplink(1000, 980), 0).is_some());
        assert!(disagreement(&uplink(1000, 1000), 1).is_some());
        assert_eq!(disagreement(&uplink(0, 0), 0), None);
    }
}
