//! Non-maximum suppression of the boxes of one class.

use protocol::BoundingBox;

/// A box and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f32,
    pub(crate) bbox: BoundingBox,
}

/// Keeps the best box, drops those whose intersection over union with it is above `iou_threshold`, and so on
/// with the rest until `max_boxes` are kept. Returns the kept, best first; of equal scores the earlier.
pub(crate) fn suppress(mut candidates: Vec<Scored>, iou_threshold: f32, max_boxes: usize) -> Vec<Scored> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Scored> = Vec::new();
    for candidate in candidates {
        if kept.len() == max_boxes {
            break;
        }
        if kept.iter().all(|better| better.bbox.iou(&candidate.bbox) <= iou_threshold) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(score: f32, x_min: f32, x_max: f32) -> Scored {
        Scored { score, bbox: BoundingBox { x_min, y_min: 0.0, x_max, y_max: 1.0 } }
    }

    #[test]
    fn the_better_of_two_overlapping_boxes_stays() {
        // 8 of 12 overlap: 2/3.
        let candidates = vec![scored(0.5, 0.0, 10.0), scored(0.9, 2.0, 12.0), scored(0.4, 20.0, 30.0)];
        let kept = suppress(candidates.clone(), 0.6, 50);
        assert_eq!(kept, [candidates[1], candidates[2]]);
        assert_eq!(suppress(candidates, 0.7, 50).len(), 3);
    }

    #[test]
    fn an_overlap_of_exactly_the_threshold_stays() {
        // 1 of 2: exactly 0.5.
        let candidates = vec![scored(0.9, 0.0, 2.0), scored(0.8, 0.0, 1.0)];
        assert_eq!(suppress(candidates.clone(), 0.5, 50).len(), 2);
        assert_eq!(suppress(candidates, 0.499, 50).len(), 1);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // Each overlaps its neighbour by 0.6, the outer two by 1/3.
        let candidates = vec![scored(0.9, 0.0, 4.0), scored(0.8, 1.0, 5.0), scored(0.7, 2.0, 6.0)];
        let kept = suppress(candidates, 0.5, 50);
        assert_eq!(kept.iter().map(|kept| kept.score).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn the_number_kept_is_bounded_and_empty_boxes_are_no_trouble() {
        let candidates = (0..100).map(|i| scored(0.5, i as f32, i as f32)).collect::<Vec<_>>();
        assert_eq!(suppress(candidates, 0.4, 50).len(), 50);
        assert!(suppress(Vec::new(), 0.4, 50).is_empty());
    }
}
