//! The edge daemon watching a video file for some frames.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use protocol::record::FrameRecord;

use super::seen::Seen;
use crate::confine::{Place, confine};
use crate::interrupt::Interrupt;

/// The daemon's record of results, in its folder.
const RESULTS: &str = "results.jsonl";
/// How long the frames may take; an emulated processor takes seconds for one.
const LONG: Duration = Duration::from_secs(300);
const GLANCE: Duration = Duration::from_millis(50);

/// What the daemon that `command` runs sees in the first `frames` of `video`. It asks no cloud and loses no frame, so that
/// another processor's sees the same ones. `folder` is empty and its own.
///
/// # Errors
///
/// The daemon does not judge them or does not end well, with its last words; or the work is interrupted.
pub(super) fn watch(
    mut command: Command,
    (video, model): (&str, &str),
    frames: usize,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Vec<Seen>> {
    let log = folder.join("log");
    command
        .args(["--video-url", video, "--model", model, "--precision", "f32", "--hem-name", "EdgeOnly"])
        .args(["--unpaced", "--keep-pictures", "0", "--out"])
        .arg(folder)
        .env("GST_REGISTRY", folder.join("registry"))
        .env("GST_REGISTRY_FORK", "no")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?);
    confine(&mut command, Place::Here);
    let mut child = command.spawn().context("cannot run the edge daemon")?;
    let words = || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    };
    let start = Instant::now();
    let result = loop {
        let text = fs::read_to_string(folder.join(RESULTS)).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        if whole.lines().count() >= frames {
            break Ok(whole.to_owned());
        }
        if let Some(status) = child.try_wait()? {
            bail!("the edge daemon ends with {status} before {frames} frames: {}", words());
        }
        if start.elapsed() > LONG {
            break Err(anyhow::anyhow!("the edge daemon judges no {frames} frames in {LONG:?}: {}", words()));
        }
        if let Err(interrupted) = interrupt.check() {
            break Err(interrupted);
        }
        std::thread::sleep(GLANCE);
    };
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).ok();
    let status = child.wait()?;
    let text = result?;
    ensure!(status.success(), "the edge daemon ends with {status}: {}", words());
    text.lines()
        .take(frames)
        .map(|line| {
            let record: FrameRecord =
                serde_json::from_str(line).with_context(|| format!("the edge daemon wrote {line}"))?;
            Ok(record.into())
        })
        .collect()
}
