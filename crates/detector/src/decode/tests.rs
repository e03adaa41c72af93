use protocol::BoundingBox;

use super::*;
use crate::model_file::{Network, heads};
use crate::network::{Backbone, Channels, Upsampling};

/// Logit of a probability of 1 in `f32`.
const SURE: f32 = 30.0;
const NEVER: f32 = -30.0;
const STRIDES: [usize; 3] = [8, 16, 32];
const ANCHORS: usize = 3;

/// The families whose heads have anchors.
fn anchored() -> impl Iterator<Item = Family> {
    Family::ALL.into_iter().filter(|family| family.has_anchors())
}

fn decoder(family: Family, input: (usize, usize), classes: usize) -> Decoder {
    Decoder::new(Metadata {
        name: "test".into(),
        family,
        network: Network::Known {
            backbone: Backbone::of(family).unwrap_or(Backbone::Darknet53),
            channels: Channels::Multiplied(1.0),
            upsampling: Upsampling::Nearest,
            leaky_slope: 0.1,
        },
        classes: (0..classes).map(|class| format!("class{class}")).collect(),
        input,
        heads: heads([[[10.0, 13.0], [16.0, 30.0], [32.0, 24.0]]; 3]),
        score_threshold: 0.3,
        iou_threshold: 0.4,
        max_boxes: 3,
        ranges: None,
    })
}

/// Heads without any object.
struct Heads {
    values: [Vec<f32>; 3],
    cells: [[usize; 2]; 3],
    channels: usize,
}

impl Heads {
    fn new((height, width): (usize, usize), classes: usize) -> Self {
        let cells = STRIDES.map(|stride| [height / stride, width / stride]);
        let channels = 5 + classes;
        let values = cells.map(|[rows, columns]| vec![NEVER; ANCHORS * channels * rows * columns]);
        Self { values, cells, channels }
    }

    /// Sets the channels of one box: centre, size, objectness, classes.
    fn set(&mut self, head: usize, anchor: usize, [row, column]: [usize; 2], values: &[f32]) {
        assert_eq!(values.len(), self.channels);
        let [rows, columns] = self.cells[head];
        for (channel, &value) in values.iter().enumerate() {
            self.values[head][((anchor * self.channels + channel) * rows + row) * columns + column] = value;
        }
    }

    fn decode(&self, decoder: &Decoder, width: u32, height: u32) -> Vec<Detection> {
        let heads: [_; 3] = std::array::from_fn(|head| {
            let [rows, columns] = self.cells[head];
            Head::plain(&self.values[head], ANCHORS * self.channels, (rows, columns))
        });
        decoder.decode(&heads, width, height)
    }
}

fn assert_box(detection: &Detection, expected: [f32; 4]) {
    let BoundingBox { x_min, y_min, x_max, y_max } = detection.bbox;
    for (found, expected) in [x_min, y_min, x_max, y_max].into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-3, "{:?} instead of {expected:?}", detection.bbox);
    }
}

/// A logit whose probability is `probability`.
fn logit(probability: f32) -> f32 {
    (probability / (1.0 - probability)).ln()
}

#[test]
fn every_head_and_anchor_has_its_place() {
    // A picture of the input's size: nothing is scaled.
    let input = (96, 160);
    for (head, stride) in STRIDES.into_iter().enumerate() {
        for (anchor, [width, height]) in [[10.0, 13.0], [16.0, 30.0], [32.0, 24.0]].into_iter().enumerate() {
            let mut heads = Heads::new(input, 2);
            heads.set(head, anchor, [1, 2], &[0.0, 0.0, 0.0, 0.0, SURE, NEVER, SURE]);
            let (x, y) = (2.5 * stride as f32, 1.5 * stride as f32);
            let edges = [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0];
            let found = heads.decode(&decoder(Family::Yolov3Resnet18, input, 2), 160, 96);
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].class_id, found[0].class.as_str(), found[0].score), (1, "class1", 1.0));
            assert_box(&found[0], edges);
            let found = heads.decode(&decoder(Family::Yolov3Darknet53, input, 2), 160, 96);
            assert_eq!(found.len(), 1);
            assert_box(&found[0], [edges[0].max(0.0), edges[1].max(0.0), edges[2], edges[3].min(95.0)]);
        }
    }
}

#[test]
fn resnet18_places_a_picture_of_414_rows() {
    // 1280x720 in 736x416: 720 * 0.575 rounds to 414, although the letterbox pastes 413 rows. So the picture
    // begins 1 row down and is 736x414 there. Cell (13, 46) of stride 8: centre (46.5 * 8, 13.5 * 8) =
    // (372, 108), size 16x30.
    let mut heads = Heads::new((416, 736), 1);
    heads.set(0, 1, [13, 46], &[0.0, 0.0, 0.0, 0.0, SURE, SURE]);
    let found = heads.decode(&decoder(Family::Yolov3Resnet18, (416, 736), 1), 1280, 720);
    let (x, y) = (1280.0 / 736.0, 720.0 / 414.0);
    assert_box(&found[0], [364.0 * x, (93.0 - 1.0) * y, 380.0 * x, (123.0 - 1.0) * y]);
}

#[test]
fn resnet18_does_not_clip_and_darknet53_does() {
    // 544x544 for 1280x720: scale 0.425, 306 rows, 119 rows of grey above. The box of stride 32 at the cell
    // (3, 0): centre (16, 112), size 320x240, reaches beyond the left and the top.
    let mut heads = Heads::new((544, 544), 1);
    heads.set(2, 2, [3, 0], &[0.0, 0.0, 10f32.ln(), 10f32.ln(), SURE, SURE]);
    let edges = [-144.0, (112.0 - 120.0 - 119.0), 176.0, (112.0 + 120.0 - 119.0)].map(|edge| edge / 0.425);
    let found = heads.decode(&decoder(Family::Yolov3Resnet18, (544, 544), 1), 1280, 720);
    assert_box(&found[0], edges);
    let found = heads.decode(&decoder(Family::Yolov3Darknet53, (544, 544), 1), 1280, 720);
    assert_box(&found[0], [0.0, 0.0, edges[2], edges[3]]);
    // Far right and below: clipped to the last pixel.
    let mut heads = Heads::new((544, 544), 1);
    heads.set(2, 2, [12, 16], &[0.0, 0.0, 10f32.ln(), 10f32.ln(), SURE, SURE]);
    let found = heads.decode(&decoder(Family::Yolov3Darknet53, (544, 544), 1), 1280, 720);
    assert_box(&found[0], [(528.0 - 160.0) / 0.425, (400.0 - 120.0 - 119.0) / 0.425, 1279.0, 719.0]);
}

#[test]
fn yolov5_moves_and_sizes_boxes_by_twice_the_sigmoid() {
    // 96x160 for 320x180: scale 0.5, 90 rows, 3 of grey above. Stride 16, cell (2, 3), anchor 16x30.
    let mut heads = Heads::new((96, 160), 1);
    heads.set(1, 1, [2, 3], &[logit(0.75), logit(0.25), logit(0.25), logit(0.75), SURE, SURE]);
    let (x, y) = ((1.5 - 0.5 + 3.0) * 16.0, (0.5 - 0.5 + 2.0) * 16.0 - 3.0);
    let (width, height) = (0.25 * 16.0, 2.25 * 30.0);
    let edges = [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0].map(|edge| edge * 2.0);
    let found = heads.decode(&decoder(Family::Yolov5, (96, 160), 1), 320, 180);
    assert_eq!(found.len(), 1);
    assert_box(&found[0], [edges[0], edges[1].max(0.0), edges[2], edges[3]]);
}

#[test]
fn darknet_clips_what_it_has_chosen() {
    // 416x416 for 1280x720: 234 rows, 91 of grey above. Stride 32, cell (3, 0): centre (16, 112), size 320x240.
    let mut heads = Heads::new((416, 416), 1);
    heads.set(2, 2, [3, 0], &[0.0, 0.0, 10f32.ln(), 10f32.ln(), SURE, SURE]);
    let scale = 416.0 / 1280.0;
    let found = heads.decode(&decoder(Family::Yolov3Darknet, (416, 416), 1), 1280, 720);
    assert_box(&found[0], [0.0, 0.0, 176.0 / scale, (112.0 + 120.0 - 91.0) / scale]);
    // Far right and below: clipped to the picture's size.
    let mut heads = Heads::new((416, 416), 1);
    heads.set(2, 2, [9, 12], &[0.0, 0.0, 10f32.ln(), 10f32.ln(), SURE, SURE]);
    let found = heads.decode(&decoder(Family::Yolov3Darknet, (416, 416), 1), 1280, 720);
    assert_box(&found[0], [(400.0 - 160.0) / scale, (304.0 - 120.0 - 91.0) / scale, 1280.0, 720.0]);
    // In the grey, nothing is left.
    let mut heads = Heads::new((416, 416), 1);
    heads.set(2, 0, [0, 5], &[0.0, 0.0, 0.0, 0.0, SURE, SURE]);
    assert!(heads.decode(&decoder(Family::Yolov3Darknet, (416, 416), 1), 1280, 720).is_empty());
}

#[test]
fn a_box_in_the_grey_is_dropped_where_the_family_clips() {
    // Row 0 of stride 32 is grey (119 rows of it); an anchor of 13 rows stays inside it.
    let mut heads = Heads::new((544, 544), 1);
    heads.set(2, 0, [0, 5], &[0.0, 0.0, 0.0, 0.0, SURE, SURE]);
    assert!(heads.decode(&decoder(Family::Yolov3Darknet53, (544, 544), 1), 1280, 720).is_empty());
    assert_eq!(heads.decode(&decoder(Family::Yolov3Resnet18, (544, 544), 1), 1280, 720).len(), 1);
}

#[test]
fn resnet18_and_darknet_find_several_classes_in_a_box_and_the_others_one() {
    let mut heads = Heads::new((96, 96), 3);
    let box_ = [0.0, 0.0, 0.0, 0.0, logit(0.9), logit(0.5), logit(0.2), logit(0.8)];
    heads.set(1, 1, [2, 2], &box_);
    let scores = |family| -> Vec<(u32, f32)> {
        let found = heads.decode(&decoder(family, (96, 96), 3), 96, 96);
        found.iter().map(|found| (found.class_id, found.score)).collect()
    };
    let near = |found: Vec<(u32, f32)>, expected: &[(u32, f32)]| {
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.0 == expected.0 && (found.1 - expected.1).abs() < 1e-6, "{found:?} {expected:?}");
        }
    };
    near(scores(Family::Yolov3Resnet18), &[(0, 0.45), (2, 0.72)]);
    near(scores(Family::Yolov3Darknet), &[(0, 0.45), (2, 0.72)]);
    near(scores(Family::Yolov3Darknet53), &[(2, 0.72)]);
    near(scores(Family::Yolov5), &[(2, 0.72)]);
}

#[test]
fn a_score_of_exactly_the_threshold_counts_for_resnet18_only() {
    let mut heads = Heads::new((96, 96), 1);
    // Both probabilities are exact in f32.
    heads.set(1, 1, [2, 2], &[0.0, 0.0, 0.0, 0.0, 0.0, SURE]);
    for family in anchored() {
        let mut decoder = decoder(family, (96, 96), 1);
        decoder.metadata.score_threshold = 0.5;
        let expected = usize::from(family == Family::Yolov3Resnet18);
        assert_eq!(heads.decode(&decoder, 96, 96).len(), expected, "{family}");
    }
}

#[test]
fn equal_classes_count_once_for_darknet53() {
    let mut heads = Heads::new((96, 96), 2);
    heads.set(1, 1, [2, 2], &[0.0, 0.0, 0.0, 0.0, SURE, SURE, SURE]);
    let found = heads.decode(&decoder(Family::Yolov3Darknet53, (96, 96), 2), 96, 96);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].class_id, 0);
}

#[test]
fn a_class_or_picture_has_at_most_max_boxes_and_classes_come_in_order() {
    let mut heads = Heads::new((96, 160), 2);
    for column in 0..8 {
        let class = if column % 2 == 0 { [SURE, NEVER] } else { [NEVER, SURE] };
        let score = logit(0.9 - 0.05 * column as f32);
        heads.set(0, 0, [5, 2 * column], &[0.0, 0.0, 0.0, 0.0, score, class[0], class[1]]);
    }
    for family in anchored() {
        let found = heads.decode(&decoder(family, (96, 160), 2), 160, 96);
        let order: Vec<_> =
            found.iter().map(|found| (found.class_id, (found.score * 100.0).round() as u32)).collect();
        let of_classes = [(0, 90), (0, 80), (0, 70), (1, 85), (1, 75), (1, 65)];
        let of_picture = [(0, 90), (0, 80), (1, 85)];
        let expected = if family.limits_pictures() { &of_picture[..] } else { &of_classes };
        assert_eq!(order, expected, "{family}");
    }
}

#[test]
fn what_is_not_finite_is_never_found() {
    for family in anchored() {
        let decoder = decoder(family, (96, 96), 2);
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for channel in 0..7 {
                let mut heads = Heads::new((96, 96), 2);
                let mut values = [0.0, 0.0, 0.0, 0.0, SURE, SURE, SURE];
                values[channel] = value;
                for (head, cells) in heads.cells.into_iter().enumerate() {
                    heads.set(head, 1, [cells[0] - 1, 0], &values);
                }
                for detection in heads.decode(&decoder, 96, 96) {
                    let BoundingBox { x_min, y_min, x_max, y_max } = detection.bbox;
                    let numbers = [x_min, y_min, x_max, y_max, detection.score];
                    assert!(numbers.iter().all(|number| number.is_finite()), "{detection:?}");
                }
            }
            let mut heads = Heads::new((96, 96), 2);
            heads.values.iter_mut().for_each(|head| head.fill(value));
            // Without an exponential, an infinite logit is no more than a sure one.
            if family != Family::Yolov5 || value != f32::INFINITY {
                assert!(heads.decode(&decoder, 96, 96).is_empty(), "{family} {value}");
            }
        }
    }
}

#[test]
fn the_prefilter_drops_nothing_that_counts() {
    for threshold in [0.0, 1e-6, 0.3, 0.5, 0.999, 1.0] {
        for factor in [1.0, 0.999_999, 0.7, 0.3, 1e-6, 0.0] {
            let least = least_logit(threshold, factor);
            for step in 0..4000 {
                let value = (step - 2000) as f32 / 50.0;
                if factor * sigmoid(value) >= threshold {
                    assert!(value >= least, "{threshold} {factor} {value}");
                }
            }
        }
    }
}

/// What the decoder finds is what its definition finds, score by score, whatever the logits.
#[test]
fn classes_are_found_as_their_definition_says() {
    let mut random = crate::testing::Random(3);
    for family in Family::ALL {
        let decoder = decoder(family, (32, 32), 7);
        let threshold = decoder.metadata.score_threshold;
        for _ in 0..2000 {
            let objectness = (random.next() + 1.0) / 2.0;
            let logits: Vec<f32> = (0..7).map(|_| (random.next() * 8.0).round() / 2.0).collect();
            let scores: Vec<f32> = logits.iter().map(|logit| objectness * sigmoid(*logit)).collect();
            let best = scores.iter().copied().fold(0.0, f32::max);
            let counts = |class: &usize| match family {
                Family::Yolov3Resnet18 => scores[*class] >= threshold,
                Family::Yolov3Darknet => scores[*class] > threshold,
                Family::Yolov3Darknet53 | Family::Yolov5 | Family::Yolov8 => {
                    scores[*class] > threshold
                        && scores.iter().position(|score| *score == best) == Some(*class)
                }
            };
            let expected: Vec<(usize, f32)> =
                (0..7).filter(counts).map(|class| (class, scores[class])).collect();
            let mut found = Vec::new();
            decoder
                .each_class(objectness, logits.into_iter(), &mut |class, score| found.push((class, score)));
            assert_eq!(found, expected, "{family}");
        }
    }
}
