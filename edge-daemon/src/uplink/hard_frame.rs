//! A hard frame from its verdict to its record.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use protocol::{
    Detection,
    infer::InferResponse,
    record::{FrameRecord, Outcome, Upload},
};

use super::Size;
use crate::{
    frame::Frame,
    little::{Judged, milliseconds},
};

/// A hard frame that waits for the cloud.
#[derive(Debug)]
pub(super) struct HardFrame {
    /// The frame.
    pub(super) frame: Arc<Frame>,
    /// When its answer is no longer wanted.
    pub(super) deadline: Instant,
    /// How often a connection broke under it.
    pub(super) lost: u32,
    judged: Judged,
    cloud: Option<Vec<Detection>>,
    upload: Option<Upload>,
}

impl HardFrame {
    /// `deadline` counts from the capture.
    pub(super) fn new(judged: Judged, deadline: Duration) -> Self {
        Self {
            frame: Arc::clone(&judged.frame),
            deadline: judged.frame.arrived + deadline,
            lost: 0,
            judged,
            cloud: None,
            upload: None,
        }
    }

    /// An upload of `bytes` bytes begins; true if it is the frame's first.
    pub(super) fn begin(&mut self, bytes: u64, size: Size) -> bool {
        let upload = Upload {
            bytes,
            width: size.width,
            height: size.height,
            queue_ms: milliseconds(self.judged.at.elapsed()),
            round_trip_ms: None,
            cloud_ms: None,
            error: None,
        };
        // An upload without bytes only carries a reason.
        self.upload.replace(upload).is_none_or(|before| before.bytes == 0)
    }

    /// Notes why there is no answer (yet). Where no upload was begun, its size is that of the frame, with no bytes.
    pub(super) fn cut(&mut self, reason: &str) {
        let waited = milliseconds(self.judged.at.elapsed());
        self.upload
            .get_or_insert(Upload {
                bytes: 0,
                width: self.frame.image.width(),
                height: self.frame.image.height(),
                queue_ms: waited,
                round_trip_ms: None,
                cloud_ms: None,
                error: None,
            })
            .error = Some(reason.to_owned());
    }

    /// The cloud answered after `round_trip`.
    pub(super) fn answered(&mut self, response: InferResponse, round_trip: Duration) {
        let Some(upload) = &mut self.upload else { return };
        upload.round_trip_ms = Some(milliseconds(round_trip));
        upload.cloud_ms = Some(response.timing.total_ms);
        let x_factor = self.frame.image.width() as f32 / upload.width as f32;
        let y_factor = self.frame.image.height() as f32 / upload.height as f32;
        let mut detections = response.detections;
        for detection in &mut detections {
            detection.bbox = detection.bbox.scaled(x_factor, y_factor);
        }
        self.cloud = Some(detections);
        self.judged.timing.cloud_ms = Some(milliseconds(self.frame.arrived.elapsed()));
    }

    /// The frame's record; an upload that was tried again keeps its last error only if no answer came.
    pub(super) fn into_record(self, outcome: Outcome) -> (Arc<Frame>, FrameRecord) {
        let record = self.judged.into_record(outcome, self.cloud, self.upload);
        (self.frame, record)
    }
}
