//! Boxes as multiples of anchors.

use super::placement::Placement;
use super::{Decoder, least_logit, sigmoid};
use crate::Family;
use crate::executor::Head;
use crate::model_file::HeadSpec;
use crate::nms::Scored;

impl Decoder {
    /// Gives every box of a head whose channels are, for each anchor, x, y, width, height, objectness and the classes.
    ///
    /// With the sigmoid `s` of a value, a centre lies at `(s + cell) * stride` and a side is `exp(value) * anchor`
    /// (Redmon and Farhadi, "YOLOv3", 2018); in YOLOv5, `(2 s - 0.5 + cell) * stride` and `(2 s)^2 * anchor`.
    pub(super) fn each_anchored(
        &self,
        head: &Head<'_>,
        HeadSpec { stride, anchors }: &HeadSpec,
        placement: &Placement,
        found: &mut dyn FnMut(usize, Scored),
    ) {
        let channels = 5 + self.metadata.classes.len();
        let least_objectness = least_logit(self.metadata.score_threshold, 1.0);
        let objectness: Vec<_> = (0..anchors.len()).map(|anchor| head.plane(anchor * channels + 4)).collect();
        let stride = *stride as f32;
        let centre = |value: f32, cell: usize| match self.metadata.family {
            Family::Yolov5 => (2.0 * sigmoid(value) - 0.5 + cell as f32) * stride,
            _ => (sigmoid(value) + cell as f32) * stride,
        };
        let size = |value: f32, side: f32| match self.metadata.family {
            Family::Yolov5 => (2.0 * sigmoid(value)).powi(2) * side,
            _ => value.exp() * side,
        };
        let (rows, columns) = head.size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        for (row, column) in cells {
            for (anchor, &[width, height]) in anchors.iter().enumerate() {
                let logit = objectness[anchor].get(row, column);
                // Most boxes end here, before any exponential; NaN does too.
                if logit.is_nan() || logit < least_objectness {
                    continue;
                }
                let mut values = head.pixel(anchor * channels, row, column);
                let mut value = || values.next().unwrap_or(f32::NAN);
                let centre = [centre(value(), column), centre(value(), row)];
                let size = [size(value(), width), size(value(), height)];
                let Some(bbox) = placement.original(centre, size) else { continue };
                let objectness = sigmoid(value());
                self.each_class(objectness, values, &mut |class, score| found(class, Scored { score, bbox }));
            }
        }
    }
}
