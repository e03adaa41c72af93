//! Raw head outputs to detections in the original picture's pixels, in each family's compatible form.

mod anchored;
mod measured;
mod placement;
#[cfg(test)]
mod tests;

use protocol::Detection;

use crate::Family;
use crate::executor::Head;
use crate::model_file::Metadata;
use crate::nms::{self, Scored};
use placement::Placement;

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
    #[cfg(test)]
    pub(crate) fn decode(&self, heads: &[Head<'_>], width: u32, height: u32) -> Vec<Detection> {
        self.choose(self.candidates(heads, width, height))
    }

    /// Every box that is good enough, of a picture of the given size.
    pub(crate) fn candidates(&self, heads: &[Head<'_>], width: u32, height: u32) -> Candidates {
        let placement = Placement::new(self.metadata.family, self.metadata.input, width, height);
        let mut of_class = vec![Vec::new(); self.metadata.classes.len()];
        self.each_box(heads, &placement, &mut |class, scored| of_class[class].push(scored));
        Candidates { placement, of_class }
    }

    /// The best of those that overlap, grouped by class, best first within a class.
    pub(crate) fn choose(&self, Candidates { placement, of_class }: Candidates) -> Vec<Detection> {
        let metadata = &self.metadata;
        let mut detections = Vec::new();
        for (class_id, (class, scored)) in metadata.classes.iter().zip(of_class).enumerate() {
            let kept = nms::suppress(&scored, metadata.iou_threshold, metadata.max_boxes);
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
        if metadata.family.limits_pictures() {
            keep_best(&mut detections, metadata.max_boxes);
        }
        detections
    }

    /// Gives every box of each class that it stands for, from the last head to the first.
    fn each_box(&self, heads: &[Head<'_>], placement: &Placement, found: &mut dyn FnMut(usize, Scored)) {
        for (head, spec) in heads.iter().zip(&self.metadata.heads).rev() {
            if self.metadata.family.has_anchors() {
                self.each_anchored(head, spec, placement, found);
            } else {
                self.each_measured(head, spec.stride, placement, found);
            }
        }
    }

    /// Gives the classes that a box of this objectness stands for, with their scores: ResNet-18's every class that
    /// reaches the threshold, Darknet's every class that exceeds it, the others' best class if it exceeds it.
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
            Family::Yolov3Darknet53 | Family::Yolov5 | Family::Yolov8 => {
                // Of equal scores the first.
                let best = scores.reduce(|best, other| if other.1 > best.1 { other } else { best });
                if let Some((class, score)) = best.filter(|(_, score)| *score > threshold) {
                    found(class, score);
                }
            }
        }
    }
}

/// Boxes of one picture that are good enough, overlaps and all.
#[derive(Debug)]
pub(crate) struct Candidates {
    placement: Placement,
    /// In index order.
    of_class: Vec<Vec<Scored>>,
}

impl Candidates {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.of_class.iter().map(Vec::len).sum()
    }
}

/// Leaves the `most` detections of the highest scores, in their order; of equal ones the first.
fn keep_best(detections: &mut Vec<Detection>, most: usize) {
    if detections.len() <= most {
        return;
    }
    let mut order: Vec<usize> = (0..detections.len()).collect();
    order.sort_by(|&a, &b| detections[b].score.total_cmp(&detections[a].score));
    let mut stays = vec![false; detections.len()];
    order[..most].iter().for_each(|&index| stays[index] = true);
    let mut stays = stays.into_iter();
    detections.retain(|_| stays.next().unwrap_or(false));
}

/// The logistic function.
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
