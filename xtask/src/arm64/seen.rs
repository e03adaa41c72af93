//! What was seen in pictures, and by how much two processors differ in it.

use anyhow::{Result, bail, ensure};
use protocol::Detection;
use protocol::record::FrameRecord;
use serde::Deserialize;

/// What was seen in one picture, as `detect image --json` prints it.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    /// The picture's width, in pixels.
    pub(super) width: u32,
    /// What is in it, in its pixels.
    pub(super) detections: Vec<Detection>,
}

impl From<FrameRecord> for Seen {
    fn from(record: FrameRecord) -> Self {
        Self { width: record.width, detections: record.edge }
    }
}

impl Seen {
    /// The largest difference of a score, or of a corner in parts of the picture's width.
    ///
    /// # Errors
    ///
    /// Not the same objects were seen, or none.
    pub(super) fn apart(&self, other: &Self) -> Result<f32> {
        ensure!(!self.detections.is_empty(), "nothing was seen in the picture");
        if self.classes().ne(other.classes()) {
            bail!("not the same was seen: {self:?} here, {other:?} there");
        }
        let pairs = self.detections.iter().zip(&other.detections);
        Ok(pairs.map(|(here, there)| apart(here, there, self.width)).fold(0.0, f32::max))
    }

    fn classes(&self) -> impl Iterator<Item = &str> {
        self.detections.iter().map(|detection| detection.class.as_str())
    }
}

fn apart(here: &Detection, there: &Detection, width: u32) -> f32 {
    let corners = |of: &Detection| [of.bbox.x_min, of.bbox.y_min, of.bbox.x_max, of.bbox.y_max];
    let pairs = corners(here).into_iter().zip(corners(there));
    pairs.map(|(a, b)| (a - b).abs() / width as f32).fold((here.score - there.score).abs(), f32::max)
}

#[cfg(test)]
mod tests {
    use protocol::BoundingBox;

    use super::*;

    #[test]
    fn what_is_seen_is_compared() {
        let detection = |class: &str, score, x_min| Detection {
            class: class.into(),
            class_id: 0,
            score,
            bbox: BoundingBox { x_min, y_min: 1.0, x_max: 50.0, y_max: 60.0 },
        };
        let seen = |detections| Seen { width: 100, detections };
        let here = seen(vec![detection("person", 0.5, 10.0), detection("helmet", 0.25, 20.0)]);
        let near = seen(vec![detection("person", 0.5625, 10.0), detection("helmet", 0.25, 20.5)]);
        assert!((here.apart(&near).unwrap() - 0.0625).abs() < 1e-6);
        assert!((here.apart(&here).unwrap()).abs() < 1e-6);
        let other = seen(vec![detection("person", 0.5, 10.0)]);
        assert!(here.apart(&other).unwrap_err().to_string().contains("not the same"));
        assert!(seen(Vec::new()).apart(&seen(Vec::new())).is_err(), "nothing proves nothing");
    }
}
