//! One captured picture and when it came.

use std::time::{Instant, SystemTime};

use image::RgbImage;

/// One captured picture.
#[derive(Debug)]
pub struct Frame {
    /// Position among the captured frames; frames that were replaced before they were judged leave gaps.
    pub number: u64,
    /// Wall-clock time of arrival, for the record.
    pub captured_at: SystemTime,
    /// Monotonic time of arrival: every latency and the frame's deadline count from here.
    pub arrived: Instant,
    /// The frame's time in its own media, in microseconds, where the source tells it.
    pub media_time_us: Option<u64>,
    /// The picture, RGB.
    pub image: RgbImage,
}
