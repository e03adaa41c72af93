//! Boxes by the distances of their sides.

use super::placement::Placement;
use super::{Decoder, least_logit};
use crate::executor::Head;
use crate::nms::Scored;

/// Left, top, right and bottom.
const SIDES: usize = 4;

impl Decoder {
    /// Gives every box of a head whose channels are, for each side, a distribution over whole distances in cells from the
    /// middle of its own, and then the classes.
    pub(super) fn each_measured(
        &self,
        head: &Head<'_>,
        stride: usize,
        placement: &Placement,
        found: &mut dyn FnMut(usize, Scored),
    ) {
        let sides = head.channels() - self.metadata.classes.len();
        let steps = sides / SIDES;
        let least = least_logit(self.metadata.score_threshold, 1.0);
        let stride = stride as f32;
        let (rows, columns) = head.size();
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        for (row, column) in cells {
            // Most cells end here, before any exponential; NaN does too.
            if !head.pixel(sides, row, column).any(|logit| logit >= least) {
                continue;
            }
            let mut logits = head.pixel(0, row, column);
            let [left, top, right, bottom] = [(); SIDES].map(|()| mean(logits.by_ref().take(steps)));
            let (x, y) = (column as f32 + 0.5, row as f32 + 0.5);
            let centre = [x + (right - left) / 2.0, y + (bottom - top) / 2.0].map(|place| place * stride);
            let size = [left + right, top + bottom].map(|side| side * stride);
            let Some(bbox) = placement.original(centre, size) else { continue };
            self.each_class(1.0, logits, &mut |class, score| found(class, Scored { score, bbox }));
        }
    }
}

/// The mean of the distances 0, 1, 2 and so on with the softmax of `logits` as their probabilities.
fn mean(logits: impl Iterator<Item = f32>) -> f32 {
    // One pass: whenever a larger logit comes, what has been summed is scaled down to it.
    let (mut largest, mut sum, mut weighted) = (f32::NEG_INFINITY, 0.0, 0.0);
    for (distance, logit) in logits.enumerate() {
        if logit > largest {
            let scale = (largest - logit).exp();
            (largest, sum, weighted) = (logit, sum * scale, weighted * scale);
        }
        let probability = (logit - largest).exp();
        sum += probability;
        weighted += probability * distance as f32;
    }
    weighted / sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use crate::graph::Graph;
    use crate::model_file::{HeadSpec, Metadata, Network};

    const CLASSES: usize = 2;
    const STEPS: usize = 16;
    const CHANNELS: usize = SIDES * STEPS + CLASSES;
    const CELLS: (usize, usize) = (6, 10);

    fn decoder(max_boxes: usize) -> Decoder {
        Decoder::new(Metadata {
            name: "test".into(),
            family: Family::Yolov8,
            network: Network::Written(Graph::new().0),
            classes: vec!["person".into(), "helmet".into()],
            input: (96, 160),
            heads: vec![HeadSpec { stride: 16, anchors: Vec::new() }],
            score_threshold: 0.3,
            iou_threshold: 0.4,
            max_boxes,
            ranges: None,
        })
    }

    /// A head without any object.
    fn head() -> Vec<f32> {
        vec![-30.0; CHANNELS * CELLS.0 * CELLS.1]
    }

    fn set(head: &mut [f32], channel: usize, [row, column]: [usize; 2], value: f32) {
        head[(channel * CELLS.0 + row) * CELLS.1 + column] = value;
    }

    #[test]
    fn sides_lie_at_their_mean_distances_from_the_middle_of_the_cell() {
        let mut values = head();
        let cell = [2, 3];
        for (side, steps) in [[0, 1], [1, 1], [2, 3], [0, 0]].into_iter().enumerate() {
            steps.into_iter().for_each(|step| set(&mut values, side * STEPS + step, cell, 5.0));
        }
        // Two classes reach the threshold: the better counts.
        set(&mut values, SIDES * STEPS, cell, 0.0);
        set(&mut values, SIDES * STEPS + 1, cell, 30.0);
        // 320x180 in 160x96: scale 0.5, 3 rows of grey above.
        let found = decoder(5).decode(&[Head::plain(&values, CHANNELS, CELLS)], 320, 180);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].class_id, found[0].score), (1, 1.0));
        let bbox = found[0].bbox;
        let expected = [(3.5 - 0.5) * 16.0, (2.5 - 1.0) * 16.0 - 3.0, (3.5 + 2.5) * 16.0, 2.5 * 16.0 - 3.0];
        for (side, expected) in [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max].into_iter().zip(expected) {
            assert!((side - 2.0 * expected).abs() < 1e-3, "{bbox:?}");
        }
    }

    #[test]
    fn the_best_of_a_picture_are_kept_in_the_order_of_their_classes() {
        let mut values = head();
        for (index, (class, logit)) in [(1, 3.0), (0, 1.0), (0, 2.0), (1, 0.5)].into_iter().enumerate() {
            let cell = [1, 2 * index];
            (0..SIDES).for_each(|side| set(&mut values, side * STEPS, cell, 9.0));
            (0..SIDES).for_each(|side| set(&mut values, side * STEPS + 1, cell, 9.0));
            set(&mut values, SIDES * STEPS + class, cell, logit);
        }
        let heads = [Head::plain(&values, CHANNELS, CELLS)];
        let found = |most: usize| -> Vec<u32> {
            decoder(most).decode(&heads, 160, 96).iter().map(|found| found.class_id).collect()
        };
        assert_eq!(found(9), [0, 0, 1, 1]);
        assert_eq!(found(3), [0, 0, 1]);
        assert_eq!(found(2), [0, 1]);
        assert_eq!(found(1), [1]);
    }

    #[test]
    fn what_is_not_finite_is_never_found() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for channel in 0..CHANNELS {
                let mut values = head();
                (0..CHANNELS).for_each(|channel| set(&mut values, channel, [5, 0], 1.0));
                set(&mut values, channel, [5, 0], value);
                for found in decoder(5).decode(&[Head::plain(&values, CHANNELS, CELLS)], 160, 96) {
                    let bbox = found.bbox;
                    let numbers = [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max, found.score];
                    assert!(
                        numbers.iter().all(|number| number.is_finite()),
                        "{value} in {channel}: {found:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_mean_is_that_of_the_softmax() {
        let mut random = crate::testing::Random(5);
        for _ in 0..200 {
            let logits: Vec<f32> = (0..STEPS).map(|_| random.next() * 100.0).collect();
            let largest = f64::from(logits.iter().copied().fold(f32::MIN, f32::max));
            let weights: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).collect();
            let weighted: f64 = weights.iter().enumerate().map(|(step, weight)| step as f64 * weight).sum();
            let expected = weighted / weights.iter().sum::<f64>();
            let found = f64::from(mean(logits.into_iter()));
            assert!((found - expected).abs() < 1e-4, "{found} instead of {expected}");
        }
    }
}
