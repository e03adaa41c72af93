//! Small clips made on the spot.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

/// Writes an H.264 clip of `frames` test pictures, 320×180 at 25 frames a second, to `path` (mp4).
///
/// # Errors
///
/// `gst-launch-1.0` or one of its plugins is missing.
pub fn write(path: &Path, frames: u32) -> Result<()> {
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "videotestsrc", &format!("num-buffers={frames}"), "pattern=ball"])
        .args(["!", "video/x-raw,width=320,height=180,framerate=25/1,format=I420"])
        .args(["!", "x264enc", "key-int-max=25", "bframes=0", "!", "h264parse", "!", "mp4mux"])
        .args(["!", "filesink", &format!("location={}", path.display())])
        .output()
        .context("run gst-launch-1.0 (package gstreamer1.0-tools)")?;
    if !output.status.success() {
        bail!("gst-launch-1.0: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
