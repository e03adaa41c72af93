use serde::{Deserialize, Serialize};

/// An axis-aligned box in pixels of the picture it belongs to; `x` grows to the right, `y` downwards.
///
/// Edges are continuous coordinates: a box around the pixel column 3 alone has `x_min = 3`, `x_max = 4`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BoundingBox {
    /// Left edge.
    pub x_min: f32,
    /// Top edge.
    pub y_min: f32,
    /// Right edge.
    pub x_max: f32,
    /// Bottom edge.
    pub y_max: f32,
}

impl BoundingBox {
    /// Width in pixels; zero for an inverted box.
    pub fn width(&self) -> f32 {
        (self.x_max - self.x_min).max(0.0)
    }

    /// Height in pixels; zero for an inverted box.
    pub fn height(&self) -> f32 {
        (self.y_max - self.y_min).max(0.0)
    }

    /// Area in square pixels; zero for an inverted box.
    pub fn area(&self) -> f32 {
        self.width() * self.height()
    }

    /// Intersection over union with `other`, in `0..=1`; zero if both are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let width = (self.x_max.min(other.x_max) - self.x_min.max(other.x_min)).max(0.0);
        let height = (self.y_max.min(other.y_max) - self.y_min.max(other.y_min)).max(0.0);
        let intersection = width * height;
        let union = self.area() + other.area() - intersection;
        if union > 0.0 { intersection / union } else { 0.0 }
    }

    /// The same box on a picture `x_factor` times as wide and `y_factor` times as high.
    pub fn scaled(&self, x_factor: f32, y_factor: f32) -> Self {
        Self {
            x_min: self.x_min * x_factor,
            y_min: self.y_min * y_factor,
            x_max: self.x_max * x_factor,
            y_max: self.y_max * y_factor,
        }
    }
}

/// One object found in a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Detection {
    /// The class by name, as the model's metadata spells it.
    pub class: String,
    /// The class by its index in the model's list.
    pub class_id: u32,
    /// Confidence in `0..=1`.
    pub score: f32,
    /// Where, in pixels of the picture that was asked about.
    #[serde(flatten)]
    pub bbox: BoundingBox,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detection_is_one_flat_object() {
        let detection = Detection {
            class: "helmet_on".into(),
            class_id: 2,
            score: 0.5,
            bbox: BoundingBox { x_min: 1.0, y_min: 2.0, x_max: 3.0, y_max: 4.0 },
        };
        assert_eq!(
            serde_json::to_value(&detection).unwrap(),
            serde_json::json!({
                "class": "helmet_on", "class_id": 2, "score": 0.5,
                "x_min": 1.0, "y_min": 2.0, "x_max": 3.0, "y_max": 4.0,
            })
        );
    }

    #[test]
    fn iou_of_halves() {
        let left = BoundingBox { x_min: 0.0, y_min: 0.0, x_max: 2.0, y_max: 1.0 };
        let right = BoundingBox { x_min: 1.0, y_min: 0.0, x_max: 3.0, y_max: 1.0 };
        assert!((left.iou(&right) - 1.0 / 3.0).abs() < 1e-6);
        let inverted = BoundingBox { x_min: 2.0, x_max: 0.0, ..left };
        assert_eq!(inverted.area(), 0.0);
        assert_eq!(left.iou(&inverted), 0.0);
    }
}
