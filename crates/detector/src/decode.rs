//! Raw head outputs to detections in the original picture's pixels, in each family's compatible form.

use protocol::{BoundingBox, Detection};

use crate::Family;
use crate::executor::Head;
use crate::letterbox;
use crate::model_file::{HeadSpec, Metadata};
use crate::nms::{self, Scored};

/// What turns heads into detections: the model's description.
#[derive(Debug)]
pub(crate) struct Decoder {
    metadata: Metadata,
}

impl Decoder {
    pub(crate) fn new(metadata: Metadata) -> Self {
        Self { metadata }
    }

    /// The network's family.
    pub(crate) fn family(&self) -> Family {
        self.metadata.family
    }

    /// How many outputs the network has.
    pub(crate) fn heads(&self) -> usize {
        self.metadata.heads.len()
    }

    /// Detections of one picture of the given size, grouped by class, best first within a class.
    ///
    /// `heads` are the raw outputs in the order of the metadata's heads, each of `anchors * (5 + classes)` channels.
    /// Values that are not finite never become detections.
    pub(crate) fn decode(&self, heads: &[Head<'_>], width: u32, height: u32) -> Vec<Detection> {
        let metadata = &self.metadata;
        let placement = Placement::new(metadata.family, metadata.input, width, height);
        let mut of_class = vec![Vec::new(); metadata.classes.len()];
        self.each_box(heads, &placement, &mut |class, scored| of_class[class].push(scored));
        let mut detections = Vec::new();
        for (class_id, (class, scored)) in metadata.classes.iter().zip(of_class).enumerate() {
            let kept = nms::suppress(scored, metadata.iou_threshold, metadata.max_boxes);
            detections.extend(kept.into_iter().filter_map(|Scored { score, bbox }| {
                Some(Detection {
                    class: class.clone(),
                    // At most 1000 classes.
                    class_id: class_id as u32,
                    score,
                    bbox: placement.visible(bbox)?,
                })
            }));
        }
        detections
    }

    /// Gives every box of each class that it stands for, from the last head to the first.
    fn each_box(&self, heads: &[Head<'_>], placement: &Placement, found: &mut dyn FnMut(usize, Scored)) {
        let metadata = &self.metadata;
        let channels = 5 + metadata.classes.len();
        let least_objectness = least_logit(metadata.score_threshold, 1.0);
        for (head, &HeadSpec { stride, ref anchors }) in heads.iter().zip(&metadata.heads).rev() {
            let objectness: Vec<_> =
                (0..anchors.len()).map(|anchor| head.plane(anchor * channels + 4)).collect();
            let (rows, columns) = head.size();
            let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            for (row, column) in cells {
                for (anchor, &anchor_size) in anchors.iter().enumerate() {
                    let logit = objectness[anchor].get(row, column);
                    // Most boxes end here, before any exponential; NaN does too.
                    if logit.is_nan() || logit < least_objectness {
                        continue;
                    }
                    let mut values = head.pixel(anchor * channels, row, column);
                    let mut value = || values.next().unwrap_or(f32::NAN);
                    let centre = [
                        (sigmoid(value()) + column as f32) * stride as f32,
                        (sigmoid(value()) + row as f32) * stride as f32,
                    ];
                    let size = [value().exp() * anchor_size[0], value().exp() * anchor_size[1]];
                    let Some(bbox) = placement.original(centre, size) else { continue };
                    let objectness = sigmoid(value());
                    self.each_class(objectness, values, &mut |class, score| {
                        found(class, Scored { score, bbox });
                    });
                }
            }
        }
    }

    /// Gives the classes that a box of this objectness stands for, with their scores: ResNet-18's every class that
    /// reaches the threshold, Darknet's every class that exceeds it, Darknet-53's best class if it exceeds it.
    fn each_class(
        &self,
        objectness: f32,
        logits: impl Iterator<Item = f32>,
        found: &mut dyn FnMut(usize, f32),
    ) {
        let threshold = self.metadata.score_threshold;
        // What cannot reach the threshold is neither found nor better than what does.
        let least = least_logit(threshold, objectness);
        let scores = logits
            .take(self.metadata.classes.len())
            .enumerate()
            .filter(|(_, logit)| *logit >= least)
            .map(|(class, logit)| (class, objectness * sigmoid(logit)));
        match self.metadata.family {
            Family::Yolov3Resnet18 => {
                scores
                    .filter(|(_, score)| *score >= threshold)
                    .for_each(|(class, score)| found(class, score));
            }
            Family::Yolov3Darknet => {
                scores.filter(|(_, score)| *score > threshold).for_each(|(class, score)| found(class, score));
            }
            Family::Yolov3Darknet53 => {
                // Of equal scores the first.
                let best = scores.reduce(|best, other| if other.1 > best.1 { other } else { best });
                if let Some((class, score)) = best.filter(|(_, score)| *score > threshold) {
                    found(class, score);
                }
            }
        }
    }
}

/// How a picture lies in the network's input.
#[derive(Debug)]
struct Placement {
    family: Family,
    /// Width and height of the input.
    input: [f32; 2],
    /// Width and height of the picture.
    picture: [f32; 2],
    /// Input pixels a picture pixel.
    scale: f32,
    /// Width and height of the scaled picture, as the family takes them to be.
    scaled: [f32; 2],
}

impl Placement {
    fn new(family: Family, (input_height, input_width): (usize, usize), width: u32, height: u32) -> Self {
        let input = [input_width as f32, input_height as f32];
        let picture = [width as f32, height as f32];
        let scale = (input[0] / picture[0]).min(input[1] / picture[1]);
        let scaled = match family {
            // Rounded half to even as TensorFlow does (the letterbox cuts instead; the difference of up to a pixel is
            // part of the form).
            Family::Yolov3Resnet18 => picture.map(|side| (side * scale).round_ties_even().max(1.0)),
            Family::Yolov3Darknet53 => picture.map(|side| side * scale),
            Family::Yolov3Darknet => {
                let (width, height) =
                    letterbox::scaled_size(family, (width, height), input_height, input_width);
                [width as f32, height as f32]
            }
        };
        Self { family, input, picture, scale, scaled }
    }

    /// A box of the input, by centre and size, in the picture's pixels; none if it is not finite, or nothing
    /// of it lies inside the picture where the family clips before boxes are chosen.
    fn original(&self, centre: [f32; 2], size: [f32; 2]) -> Option<BoundingBox> {
        let axis = |axis: usize| match self.family {
            Family::Yolov3Resnet18 | Family::Yolov3Darknet => self.whole(axis, centre[axis], size[axis]),
            Family::Yolov3Darknet53 => self.clipped(axis, centre[axis], size[axis]),
        };
        let (x_min, x_max) = axis(0)?;
        let (y_min, y_max) = axis(1)?;
        Some(BoundingBox { x_min, y_min, x_max, y_max })
    }

    /// What a chosen box becomes: Darknet clips it to the picture now. What is then empty is dropped.
    fn visible(&self, bbox: BoundingBox) -> Option<BoundingBox> {
        if self.family != Family::Yolov3Darknet {
            return Some(bbox);
        }
        let [width, height] = self.picture;
        let bbox = BoundingBox {
            x_min: bbox.x_min.max(0.0),
            y_min: bbox.y_min.max(0.0),
            x_max: bbox.x_max.min(width),
            y_max: bbox.y_max.min(height),
        };
        (bbox.x_min < bbox.x_max && bbox.y_min < bbox.y_max).then_some(bbox)
    }

    /// ResNet-18 and Darknet: the scaled picture has whole pixels. Nothing is clipped.
    fn whole(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let (input, picture, scaled) = (self.input[axis], self.picture[axis], self.scaled[axis]);
        let (offset, factor) = ((input - scaled) / 2.0 / input, input / scaled);
        let (centre, size) = ((centre / input - offset) * factor, size / input * factor);
        let (min, max) = ((centre - size / 2.0) * picture, (centre + size / 2.0) * picture);
        (min.is_finite() && max.is_finite()).then_some((min, max))
    }

    /// Darknet-53: padding in fractions of a pixel, and clipped to the picture's first and last pixel. What is
    /// then empty is dropped, as in tensorflow-yolov3 (Sedna keeps it as a box of zeros).
    fn clipped(&self, axis: usize, centre: f32, size: f32) -> Option<(f32, f32)> {
        let picture = self.picture[axis];
        let padding = (self.input[axis] - self.scaled[axis]) / 2.0;
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

/// A logit below which no probability times `factor` reaches `threshold`, with room for rounding. Above 16 or so the
/// probability rounds to 1.
fn least_logit(threshold: f32, factor: f32) -> f32 {
    if threshold <= 0.0 {
        return f32::NEG_INFINITY;
    }
    let probability = f64::from(threshold) / f64::from(factor);
    ((probability / (1.0 - probability)).ln() - 1e-3).min(16.0) as f32
}

#[cfg(test)]
mod tests;
