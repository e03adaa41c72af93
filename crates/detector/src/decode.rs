//! Raw head outputs to detections in the original picture's pixels, in each family's compatible form.

use protocol::{BoundingBox, Detection};

use crate::Family;
use crate::executor::Head;
use crate::model_file::Metadata;
use crate::nms::{self, Scored};

/// Input pixels between neighbouring cells of each head.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Anchors of a cell.
const ANCHORS: usize = 3;

/// What turns heads into detections: the model's description.
#[derive(Debug)]
pub(crate) struct Decoder {
    metadata: Metadata,
}

/// A box whose objectness alone lets it reach the score threshold.
#[derive(Debug)]
struct Candidate {
    bbox: BoundingBox,
    /// Probability of each class, objectness included.
    scores: Vec<f32>,
}

impl Decoder {
    pub(crate) fn new(metadata: Metadata) -> Self {
        Self { metadata }
    }

    /// Detections of one picture of the given size, grouped by class, best first within a class.
    ///
    /// `heads` are the raw outputs for the strides 8, 16 and 32, each of `3 * (5 + classes)` channels. Values
    /// that are not finite never become detections.
    pub(crate) fn decode(&self, heads: [Head<'_>; 3], width: u32, height: u32) -> Vec<Detection> {
        let metadata = &self.metadata;
        let candidates = self.candidates(heads, &Placement::new(metadata.input, width, height));
        let mut detections = Vec::new();
        for (class_id, class) in metadata.classes.iter().enumerate() {
            let scored = candidates.iter().filter_map(|candidate| {
                let score = candidate.scores[class_id];
                self.counts(score, class_id, candidate).then_some(Scored { score, bbox: candidate.bbox })
            });
            let kept = nms::suppress(scored.collect(), metadata.iou_threshold, metadata.max_boxes);
            detections.extend(kept.into_iter().map(|Scored { score, bbox }| Detection {
                class: class.clone(),
                // At most 1000 classes.
                class_id: class_id as u32,
                score,
                bbox,
            }));
        }
        detections
    }

    /// Whether a candidate stands for this class: ResNet-18's every class that reaches the threshold,
    /// Darknet-53's best class if it exceeds it.
    fn counts(&self, score: f32, class_id: usize, candidate: &Candidate) -> bool {
        let threshold = self.metadata.score_threshold;
        match self.metadata.family {
            Family::Yolov3Resnet18 => score >= threshold,
            Family::Yolov3Darknet53 => {
                let (before, after) = candidate.scores.split_at(class_id);
                score > threshold
                    && !before.iter().any(|&other| other >= score)
                    && !after.iter().any(|&other| other > score)
            }
        }
    }

    /// The boxes whose objectness reaches the score threshold, from the coarsest head to the finest.
    fn candidates(&self, heads: [Head<'_>; 3], placement: &Placement) -> Vec<Candidate> {
        let metadata = &self.metadata;
        let channels = 5 + metadata.classes.len();
        let least_objectness = least_logit(metadata.score_threshold);
        let mut candidates = Vec::new();
        for ((head, stride), anchors) in heads.into_iter().zip(STRIDES).zip(&metadata.anchors).rev() {
            let objectness: [_; ANCHORS] = std::array::from_fn(|anchor| head.plane(anchor * channels + 4));
            let (rows, columns) = head.size();
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            for (row, column) in cells {
                for (anchor, &anchor_size) in anchors.iter().enumerate() {
                    let logit = objectness[anchor].get(row, column);
                    // Most boxes end here, before any exponential; NaN does too.
                    if logit.is_nan() || logit < least_objectness {
                        continue;
                    }
                    let value = |channel: usize| head.plane(anchor * channels + channel).get(row, column);
                    let centre = [
                        (sigmoid(value(0)) + column as f32) * stride as f32,
                        (sigmoid(value(1)) + row as f32) * stride as f32,
                    ];
                    let size = [value(2).exp() * anchor_size[0], value(3).exp() * anchor_size[1]];
                    let Some(bbox) = placement.original(metadata.family, centre, size) else { continue };
                    let objectness = sigmoid(logit);
                    let scores = (5..channels).map(|class| objectness * sigmoid(value(class))).collect();
                    candidates.push(Candidate { bbox, scores });
                }
            }
        }
        candidates
    }
}

/// How a picture lies in the network's input.
#[derive(Debug)]
struct Placement {
    /// Width and height of the input.
    input: [f32; 2],
    /// Width and height of the picture.
    picture: [f32; 2],
    /// Input pixels a picture pixel.
    scale: f32,
}

impl Placement {
    fn new((input_height, input_width): (usize, usize), width: u32, height: u32) -> Self {
        let input = [input_width as f32, input_height as f32];
        let picture = [width as f32, height as f32];
        Self { input, picture, scale: (input[0] / picture[0]).min(input[1] / picture[1]) }
    }

    /// A box of the input, by centre and size, in the picture's pixels; none if it is not finite, or nothing
    /// of it lies inside the picture where the family clips.
    fn original(&self, family: Family, centre: [f32; 2], size: [f32; 2]) -> Option<BoundingBox> {
        let axis = |axis: usize| match family {
            Family::Yolov3Resnet18 => self.rounded(axis, centre[axis], size[axis]),
            Family::Yolov3Darknet53 => self.clipped(axis, centre[axis], size[axis]),
        };
        let (x_min, x_max) = axis(0)?;
        let (y_min, y_max) = axis(1)?;
        Some(BoundingBox { x_min, y_min, x_max, y_max })
    }

    /// ResNet-18: the scaled picture is taken to have whole pixels, rounded half to even as TensorFlow does
    /// (the letterbox cuts instead; the difference of up to a pixel is part of the form). Nothing is clipped.
    fn rounded(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let (input, picture) = (self.input[axis], self.picture[axis]);
        let scaled = (picture * self.scale).round_ties_even().max(1.0);
        let (offset, factor) = ((input - scaled) / 2.0 / input, input / scaled);
        let (centre, size) = ((centre / input - offset) * factor, size / input * factor);
        let (min, max) = ((centre - size / 2.0) * picture, (centre + size / 2.0) * picture);
        (min.is_finite() && max.is_finite()).then_some((min, max))
    }

    /// Darknet-53: padding in fractions of a pixel, and clipped to the picture's first and last pixel. What is
    /// then empty is dropped, as in tensorflow-yolov3 (Sedna keeps it as a box of zeros).
    fn clipped(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let picture = self.picture[axis];
        let padding = (self.input[axis] - self.scale * picture) / 2.0;
        let original = |edge: f32| (edge - padding) / self.scale;
        let (min, max) = (original(centre - size / 2.0), original(centre + size / 2.0));
        if !(min.is_finite() && max.is_finite()) {
            return None;
        }
        let (min, max) = (min.max(0.0), max.min(picture - 1.0));
        (min < max).then_some((min, max))
    }
}

fn sigmoid(value: f32) -> f32 {
    1.0 / (1.0 + (-value).exp())
}

/// A logit below which no probability reaches `threshold`, with room for rounding. Above 16 or so the
/// probability rounds to 1.
fn least_logit(threshold: f32) -> f32 {
    ((threshold / (1.0 - threshold)).ln() - 1e-3).min(16.0)
}

#[cfg(test)]
mod tests;
