//! Finding the objects in one picture.

use std::time::Instant;

use anyhow::Result;
use image::RgbImage;
use protocol::Detection;

use crate::Detector;

/// The objects in a picture, best score first, and how many milliseconds it took from pixels to detections.
pub(super) fn find(detector: &Detector, picture: &RgbImage) -> Result<(Vec<Detection>, f64)> {
    let begin = Instant::now();
    let batch = detector.detect(std::slice::from_ref(picture))?;
    let detect_ms = milliseconds_since(begin);
    let mut detections: Vec<Detection> = batch.into_iter().flatten().collect();
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    Ok((detections, detect_ms))
}

/// Milliseconds from `begin` to now.
pub(super) fn milliseconds_since(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}
