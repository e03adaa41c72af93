//! `render-demo`: the demo clip and its ground truth.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::packages;
use crate::terminal::stage;
use crate::workspace::Workspace;

/// The clip's size and rate; the renderer makes the same.
const WIDTH: u32 = 1280;
const HEIGHT: u32 = 720;
const FRAMES_A_SECOND: u32 = 25;
/// The clip lives in the repository: it may not grow beyond this.
const LARGEST: u64 = 4_000_000;
/// The encoder's target in kbit/s: 33 s come to about 3.6 MB.
const BITRATE: u32 = 880;

/// Renders `demo/site.mp4` and `demo/site.coco.json`.
///
/// # Errors
///
/// If a program fails, the clip is too large, or clip and ground truth disagree.
pub fn render(workspace: &Workspace) -> Result<()> {
    packages::install()?;
    stage("building the renderer");
    workspace.build_release(&["demo-renderer"])?;
    let demo = workspace.root().join("demo");
    // Beside the goal, so that the last step is a rename within one file system.
    let work = tempfile::tempdir_in(&demo).context("cannot make a directory in demo/")?;
    let (clip, truth) = (work.path().join("site.mp4"), work.path().join("site.coco.json"));
    stage("rendering and encoding");
    encode(&workspace.binary("demo-renderer"), &clip, &truth)?;
    let size = fs::metadata(&clip)?.len();
    ensure!(size <= LARGEST, "the clip is {size} bytes, more than the {LARGEST} that the repository takes");
    let frames = check_truth(&truth)?;
    ensure_frames(&clip, frames)?;
    fs::rename(&clip, demo.join("site.mp4"))?;
    fs::rename(&truth, demo.join("site.coco.json"))?;
    println!("demo/site.mp4: {frames} frames, {:.2} MB", size as f64 / 1e6);
    Ok(())
}

/// Pipes the renderer's pictures into the encoder.
fn encode(renderer: &Path, clip: &Path, truth: &Path) -> Result<()> {
    let mut frames = Command::new(renderer)
        .args(["clip", "--out", "-", "--truth"])
        .arg(truth)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", renderer.display()))?;
    let pictures = frames.stdout.take().context("the renderer has no output")?;
    let pipeline = format!(
        "fdsrc fd=0 ! rawvideoparse format=rgb width={WIDTH} height={HEIGHT} framerate={FRAMES_A_SECOND}/1 \
         ! videoconvert ! video/x-raw,format=I420 \
         ! x264enc speed-preset=slow bitrate={BITRATE} vbv-buf-capacity=4000 key-int-max={FRAMES_A_SECOND} bframes=0 \
         ! video/x-h264,profile=high ! h264parse ! mp4mux faststart=true ! filesink"
    );
    let encoder = Command::new("gst-launch-1.0")
        .arg("--quiet")
        .args(pipeline.split_whitespace())
        .arg(format!("location={}", clip.display()))
        .stdin(pictures)
        .status()
        .context("cannot run gst-launch-1.0 (package gstreamer1.0-tools)")?;
    let rendered = frames.wait()?;
    if !rendered.success() {
        bail!("the renderer failed ({rendered})");
    }
    if !encoder.success() {
        bail!("the encoder failed ({encoder})");
    }
    Ok(())
}

/// Checks that the ground truth's times are those of a clip of constant rate, and counts its pictures.
fn check_truth(truth: &Path) -> Result<usize> {
    let text = fs::read_to_string(truth).with_context(|| format!("cannot read {}", truth.display()))?;
    let truth: serde_json::Value = serde_json::from_str(&text).context("the ground truth is not JSON")?;
    let images = truth["images"].as_array().context("the ground truth has no images")?;
    for (number, image) in images.iter().enumerate() {
        let expected = number as u64 * 1_000_000 / u64::from(FRAMES_A_SECOND);
        ensure!(
            image["time_us"].as_u64() == Some(expected),
            "picture {number} of the ground truth is at {} us, its frame at {expected}",
            image["time_us"]
        );
    }
    Ok(images.len())
}

/// Checks the clip's number of frames.
fn ensure_frames(clip: &Path, expected: usize) -> Result<()> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "packet=pts_time", "-of", "csv=p=0"])
        .arg(clip)
        .output()
        .context("cannot run ffprobe (package ffmpeg)")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let times: Vec<f64> = text.lines().filter_map(|line| line.trim_end_matches(',').parse().ok()).collect();
    ensure!(times.len() == expected, "the clip has {} frames, the ground truth {expected}", times.len());
    for (number, time) in times.iter().enumerate() {
        let due = number as f64 / f64::from(FRAMES_A_SECOND);
        ensure!((time - due).abs() < 5e-4, "frame {number} of the clip is at {time} s, its picture at {due}");
    }
    Ok(())
}
