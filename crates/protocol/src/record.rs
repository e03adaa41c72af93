//! One line of the edge's `results.jsonl`: what became of a frame.

use serde::{Deserialize, Serialize};

use crate::Detection;

/// What became of one inferred frame. Written once, when nothing more can change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FrameRecord {
    /// Position among the captured frames, from 0; frames that were never inferred leave gaps.
    pub frame: u64,
    /// When the frame reached the edge (RFC 3339, UTC).
    pub captured_at: String,
    /// The frame's time in the source's own media, in microseconds: the MISP time stamp (MISB ST 0604) that
    /// its H.264 stream carried, or the presentation time of a file. Absent for cameras that send none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_time_us: Option<u64>,
    /// Frame width in pixels; boxes are in these pixels.
    pub width: u32,
    /// Frame height in pixels.
    pub height: u32,
    /// The mining's verdict: whether the cloud should see the frame.
    pub hard: bool,
    /// What became of the frame.
    pub outcome: Outcome,
    /// What the little model found.
    pub edge: Vec<Detection>,
    /// What the big model found, scaled to this frame's pixels; absent if it was not asked or did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Vec<Detection>>,
    /// Where the time went.
    pub timing: FrameTiming,
    /// The upload, if one was begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
}

impl FrameRecord {
    /// The frame's final result: the cloud's where it answered, else the edge's.
    pub fn detections(&self) -> &[Detection] {
        self.cloud.as_deref().unwrap_or(&self.edge)
    }
}

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Easy: the edge's result stands.
    Edge,
    /// Hard, and the cloud answered.
    Answered,
    /// Hard, but its deadline passed first, in the queue or on the wire.
    Expired,
    /// Hard, but newer hard frames took its place in the queue.
    Displaced,
    /// Hard, but the cloud could not be reached or refused.
    Failed,
}

/// Where the time of one frame went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FrameTiming {
    /// From the frame's arrival to the little model taking it.
    pub wait_ms: f64,
    /// The little model.
    pub infer_ms: f64,
    /// From the frame's arrival to the edge result.
    pub edge_ms: f64,
    /// From the frame's arrival to the cloud's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_ms: Option<f64>,
}

/// One upload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upload {
    /// Encoded picture, bytes.
    pub bytes: u64,
    /// Width of the uploaded picture in pixels.
    pub width: u32,
    /// Height of the uploaded picture in pixels.
    pub height: u32,
    /// From the verdict to the first byte handed to the connection, in milliseconds.
    pub queue_ms: f64,
    /// From the first byte to the reply, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<f64>,
    /// The cloud's own share of the round trip, as it reported it, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud_ms: Option<f64>,
    /// Why no answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
