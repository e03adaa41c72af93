//! The little model, on a thread of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use image::RgbImage;
use protocol::{
    Detection,
    record::{FrameRecord, FrameTiming, Outcome, Upload},
    time::rfc3339,
};

use crate::{frame::Frame, mailbox::Mailbox, mining::Mining};

/// A frame that the little model and the mining have judged.
#[derive(Debug)]
pub struct Judged {
    /// The frame.
    pub frame: Arc<Frame>,
    /// What the little model found.
    pub edge: Vec<Detection>,
    /// The mining's verdict.
    pub hard: bool,
    /// Where the time went so far.
    pub timing: FrameTiming,
    /// When the verdict was there.
    pub at: Instant,
}

/// Judges frames until the mailbox is closed and empty. `detect` is the little model, `judged` takes each
/// verdict. Blocks: run it on a thread of its own.
///
/// # Errors
///
/// The first error of `detect`: a model that fails on one picture fails on all.
pub fn run<E>(
    mailbox: &Mailbox<Frame>,
    mining: &Mining,
    mut detect: impl FnMut(&RgbImage) -> Result<Vec<Detection>, E>,
    mut judged: impl FnMut(Judged),
) -> Result<(), E> {
    while let Some(frame) = mailbox.take() {
        let begun = Instant::now();
        let edge = detect(&frame.image)?;
        let infer_ms = milliseconds(begun.elapsed());
        let hard = mining.is_hard(&edge);
        let at = Instant::now();
        let timing = FrameTiming {
            wait_ms: milliseconds(begun - frame.arrived),
            infer_ms,
            edge_ms: milliseconds(at - frame.arrived),
            cloud_ms: None,
        };
        judged(Judged { frame: Arc::new(frame), edge, hard, timing, at });
    }
    Ok(())
}

/// `duration` in milliseconds, to the microsecond.
pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}

impl Judged {
    /// The record of the frame, once nothing more can change.
    pub fn into_record(
        self,
        outcome: Outcome,
        cloud: Option<Vec<Detection>>,
        upload: Option<Upload>,
    ) -> FrameRecord {
        let frame = &self.frame;
        FrameRecord {
            frame: frame.number,
            captured_at: rfc3339(frame.captured_at),
            media_time_us: frame.media_time_us,
            width: frame.image.width(),
            height: frame.image.height(),
            hard: self.hard,
            outcome,
            edge: self.edge,
            cloud,
            timing: self.timing,
            upload,
        }
    }
}
