//! Non-maximum suppression of the boxes of one class.

use protocol::BoundingBox;

/// A box and its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) score: f32,
    pub(crate) bbox: BoundingBox,
}

/// Keeps the best box, drops those whose intersection over union with it is above `iou_threshold`, in `0..=1`, and so on
/// with the rest until `max_boxes` are kept. Returns the kept, best first; of equal scores the earlier.
///
/// Takes time by the number of candidates: each is compared with no more than `max_boxes`, and only those are brought into
/// order that are looked at before as many are kept.
pub(crate) fn suppress(candidates: &[Scored], iou_threshold: f32, max_boxes: usize) -> Vec<Scored> {
    let mut order: Vec<u64> =
        candidates.iter().enumerate().map(|(index, candidate)| rank(candidate.score, index)).collect();
    let mut rest = order.as_mut_slice();
    let mut portion = FIRST_PORTION;
    let mut chosen = Vec::new();
    let mut kept = Kept::default();
    while !rest.is_empty() {
        if portion < rest.len() {
            rest.select_nth_unstable(portion);
        }
        let (next, later) = rest.split_at_mut(portion.min(rest.len()));
        next.sort_unstable();
        for rank in next {
            if chosen.len() == max_boxes {
                return chosen;
            }
            let candidate = candidates[index(*rank)];
            if kept.leaves(&candidate.bbox, iou_threshold) {
                kept.push(&candidate.bbox);
                chosen.push(candidate);
            }
        }
        (rest, portion) = (later, 2 * portion);
    }
    chosen
}

/// How many candidates are brought into order at first.
const FIRST_PORTION: usize = 512;

/// A number for the candidate of this score and index: the smaller, the better the score, and of equal ones the earlier.
fn rank(score: f32, index: usize) -> u64 {
    // As `f32::total_cmp` orders them.
    let bits = score.to_bits();
    let ascending = if score.is_sign_negative() { !bits } else { bits | 1 << 31 };
    // A network's outputs are far fewer than 2^32.
    u64::from(!ascending) << 32 | index as u64
}

/// The index in a rank.
fn index(rank: u64) -> usize {
    (rank & u64::from(u32::MAX)) as usize
}

/// Boxes that are kept, such that several are compared with a candidate at once.
#[derive(Debug, Default)]
struct Kept {
    blocks: Vec<Block>,
    count: usize,
}

/// Boxes of a [`Block`].
const LANES: usize = 8;

/// The sides and areas of some boxes; those that are not there yet are empty and overlap nothing.
#[derive(Debug)]
struct Block {
    x_min: [f32; LANES],
    y_min: [f32; LANES],
    x_max: [f32; LANES],
    y_max: [f32; LANES],
    area: [f32; LANES],
}

impl Block {
    const EMPTY: Self = Self {
        x_min: [f32::MAX; LANES],
        y_min: [f32::MAX; LANES],
        x_max: [f32::MIN; LANES],
        y_max: [f32::MIN; LANES],
        area: [0.0; LANES],
    };

    /// Whether no box of these overlaps `candidate` of that area by more than the threshold: [`BoundingBox::iou`] of all.
    fn leaves(&self, candidate: &BoundingBox, area: f32, iou_threshold: f32) -> bool {
        let within: [bool; LANES] = std::array::from_fn(|lane| {
            let width = self.x_max[lane].min(candidate.x_max) - self.x_min[lane].max(candidate.x_min);
            let height = self.y_max[lane].min(candidate.y_max) - self.y_min[lane].max(candidate.y_min);
            let intersection = width.max(0.0) * height.max(0.0);
            let union = self.area[lane] + area - intersection;
            let iou = if union > 0.0 { intersection / union } else { 0.0 };
            iou <= iou_threshold
        });
        within.iter().fold(true, |all, within| all & within)
    }
}

impl Kept {
    fn push(&mut self, bbox: &BoundingBox) {
        let lane = self.count % LANES;
        if lane == 0 {
            self.blocks.push(Block::EMPTY);
        }
        if let Some(block) = self.blocks.last_mut() {
            block.x_min[lane] = bbox.x_min;
            block.y_min[lane] = bbox.y_min;
            block.x_max[lane] = bbox.x_max;
            block.y_max[lane] = bbox.y_max;
            block.area[lane] = bbox.area();
        }
        self.count += 1;
    }

    /// Whether none of them overlaps `candidate` by more than the threshold.
    fn leaves(&self, candidate: &BoundingBox, iou_threshold: f32) -> bool {
        let area = candidate.area();
        self.blocks.iter().all(|block| block.leaves(candidate, area, iou_threshold))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What [`suppress`] does, as it is defined.
    fn defined(mut candidates: Vec<Scored>, iou_threshold: f32, max_boxes: usize) -> Vec<Scored> {
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut kept: Vec<Scored> = Vec::new();
        for candidate in candidates {
            if kept.len() < max_boxes
                && kept.iter().all(|better| better.bbox.iou(&candidate.bbox) <= iou_threshold)
            {
                kept.push(candidate);
            }
        }
        kept
    }

    /// A box that is one of a crowd, or empty, or too large for its area to be a number.
    fn candidate() -> impl Strategy<Value = Scored> {
        let score = prop_oneof![(0..20u8).prop_map(|tenths| f32::from(tenths) / 20.0 - 0.2), any::<f32>()];
        let side = prop_oneof![30 => 0.0..40.0f32, 1 => Just(0.0), 1 => Just(f32::MAX)];
        (score, [0.0..200.0f32, 0.0..200.0f32], [side.clone(), side]).prop_map(|(score, [x, y], sides)| {
            let bbox = BoundingBox { x_min: x, y_min: y, x_max: x + sides[0], y_max: y + sides[1] };
            Scored { score, bbox }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_same_are_kept_in_the_same_order_as_by_definition(
            candidates in proptest::collection::vec(candidate(), 0..1500),
            iou_threshold in prop_oneof![0.0..=1.0f32, Just(0.0), Just(1.0)],
            max_boxes in prop_oneof![0..60usize, Just(usize::MAX)],
        ) {
            let bits = |kept: Vec<Scored>| -> Vec<[u32; 5]> {
                kept.iter()
                    .map(|Scored { score, bbox }| {
                        [*score, bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max].map(f32::to_bits)
                    })
                    .collect()
            };
            prop_assert_eq!(
                bits(suppress(&candidates, iou_threshold, max_boxes)),
                bits(defined(candidates, iou_threshold, max_boxes))
            );
        }
    }

    fn scored(score: f32, x_min: f32, x_max: f32) -> Scored {
        Scored { score, bbox: BoundingBox { x_min, y_min: 0.0, x_max, y_max: 1.0 } }
    }

    #[test]
    fn the_better_of_two_overlapping_boxes_stays() {
        // 8 of 12 overlap: 2/3.
        let candidates = vec![scored(0.5, 0.0, 10.0), scored(0.9, 2.0, 12.0), scored(0.4, 20.0, 30.0)];
        let kept = suppress(&candidates, 0.6, 50);
        assert_eq!(kept, [candidates[1], candidates[2]]);
        assert_eq!(suppress(&candidates, 0.7, 50).len(), 3);
    }

    #[test]
    fn an_overlap_of_exactly_the_threshold_stays() {
        // 1 of 2: exactly 0.5.
        let candidates = vec![scored(0.9, 0.0, 2.0), scored(0.8, 0.0, 1.0)];
        assert_eq!(suppress(&candidates, 0.5, 50).len(), 2);
        assert_eq!(suppress(&candidates, 0.499, 50).len(), 1);
    }

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // Each overlaps its neighbour by 0.6, the outer two by 1/3.
        let candidates = vec![scored(0.9, 0.0, 4.0), scored(0.8, 1.0, 5.0), scored(0.7, 2.0, 6.0)];
        let kept = suppress(&candidates, 0.5, 50);
        assert_eq!(kept.iter().map(|kept| kept.score).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn the_number_kept_is_bounded_and_empty_boxes_are_no_trouble() {
        let candidates = (0..100).map(|i| scored(0.5, i as f32, i as f32)).collect::<Vec<_>>();
        assert_eq!(suppress(&candidates, 0.4, 50).len(), 50);
        assert!(suppress(&[], 0.4, 50).is_empty());
    }
}
