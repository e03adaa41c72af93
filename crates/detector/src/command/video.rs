//! `detect video`: the objects in the pictures of a video.

use std::io::Write;

use anyhow::{Context, Result, ensure};
use protocol::Detection;
use serde::Serialize;

use super::options::VideoOptions;
use super::video_file::VideoFile;
use super::{Interrupt, drawn, finding, lines};

/// One line: `docs/schema/detect-video.schema.json`.
#[derive(Debug, Serialize)]
struct Line<'a> {
    /// From 0, whether looked at or not.
    frame: u64,
    /// Since the first frame, at the video's rate; none if it has no rate.
    time_s: Option<f64>,
    width: u32,
    height: u32,
    /// Best score first.
    detections: &'a [Detection],
    detect_ms: f64,
}

pub(super) fn run(options: &VideoOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    let name = options.video.display();
    let detector = options.find.detector()?;
    let mut video = VideoFile::open(&options.video, options.find.pixels.max_pixels)?;
    if let Some(directory) = &options.draw {
        drawn::make_directory(directory)?;
    }
    let mut seen = 0;
    while options.frames.is_none_or(|most| seen < most) {
        let there = video.advance();
        // Ctrl-C ends ffmpeg too, which is no failure of the video.
        interrupt.check()?;
        if !there? {
            break;
        }
        let frame = video.frame();
        if frame % options.every != 0 {
            continue;
        }
        let picture = video.picture();
        let (detections, detect_ms) =
            finding::find(&detector, &picture).with_context(|| format!("frame {frame} of {name}"))?;
        if let Some(directory) = &options.draw {
            drawn::write(&picture, &detections, &directory.join(format!("{frame:06}.jpg")), interrupt)?;
        }
        let (width, height) = picture.dimensions();
        let line = Line { frame, time_s: video.time_s(), width, height, detections: &detections, detect_ms };
        if options.json {
            lines::write_json(output, &line)?;
        } else {
            write_text(output, &line)?;
        }
        seen += 1;
    }
    ensure!(seen > 0, "there is no picture in {name}");
    Ok(())
}

fn write_text(output: &mut dyn Write, line: &Line<'_>) -> Result<()> {
    let Line { frame, time_s, detections, detect_ms, .. } = line;
    let time = time_s.map_or_else(String::new, |time| format!("  {time:.3} s"));
    writeln!(output, "frame {frame}{time}  {}  {detect_ms:.0} ms", lines::count(detections))?;
    lines::write_detections(output, detections)
}
