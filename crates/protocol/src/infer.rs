//! What `POST /infer` answers.
//!
//! The request is an encoded picture (JPEG, PNG or WebP) as the body; its format is read from its content.
//! The headers below are optional.

use serde::{Deserialize, Serialize};

use crate::Detection;

/// Request and reply header: an identifier that the caller chose; the reply and the server's log repeat it.
pub const REQUEST_ID: &str = "x-request-id";

/// Request header: milliseconds from the request's arrival after which the caller no longer wants an answer.
pub const DEADLINE_MS: &str = "x-deadline-ms";

/// The reply to `POST /infer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InferResponse {
    /// The request's [`REQUEST_ID`], or one that the server made.
    pub request_id: String,
    /// The model that answered.
    pub model: ModelInfo,
    /// The size of the picture that was sent; boxes are in its pixels.
    pub image: ImageSize,
    /// What was found, best score first.
    pub detections: Vec<Detection>,
    /// Where the time went.
    pub timing: Timing,
}

/// What a caller needs to know of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// The model's name, from its metadata.
    pub name: String,
    /// The network family, for example `yolov3-darknet53`.
    pub family: String,
    /// Width in pixels of the picture that the network itself sees.
    pub input_width: u32,
    /// Height in pixels of the picture that the network itself sees.
    pub input_height: u32,
    /// Class names in index order.
    pub classes: Vec<String>,
}

impl ModelInfo {
    /// In what `new` differs from this, in words.
    pub fn changes(&self, new: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let mut compare = |what: &str, old: String, new: String| {
            if old != new {
                changes.push(format!("{what} {old} became {new}"));
            }
        };
        let input = |model: &Self| format!("{}x{}", model.input_width, model.input_height);
        compare("name", self.name.clone(), new.name.clone());
        compare("family", self.family.clone(), new.family.clone());
        compare("input", input(self), input(new));
        compare("classes", self.classes.join(","), new.classes.join(","));
        changes
    }
}

/// The size of a picture in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

/// Where the time of one request went, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// From the last byte of the body to decoded pixels.
    pub decode_ms: f64,
    /// Waiting for the model.
    pub queue_ms: f64,
    /// The model: letterbox, network, boxes, non-maximum suppression.
    pub infer_ms: f64,
    /// From the last byte of the body to the reply.
    pub total_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said() {
        let old = ModelInfo {
            name: "a".into(),
            family: "f".into(),
            input_width: 736,
            input_height: 416,
            classes: vec!["x".into(), "y".into()],
        };
        assert!(old.changes(&old).is_empty());
        let new = ModelInfo { input_width: 544, classes: vec!["x".into()], ..old.clone() };
        assert_eq!(old.changes(&new), ["input 736x416 became 544x416", "classes x,y became x"]);
    }
}
