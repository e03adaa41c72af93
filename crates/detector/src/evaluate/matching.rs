//! Which detections of one class in one picture are hits.

use protocol::{BoundingBox, Detection};

use super::Object;

/// Detections of a class in a picture that are looked at, best first.
const MAX_DETECTIONS: usize = 100;

/// What a detection turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The match of an object that counts.
    Hit,
    /// The match of a crowd: neither hit nor false alarm.
    Excused,
    /// The match of nothing.
    FalseAlarm,
}

/// Judges detections in the order of their scores: each takes the object that counts, is still free and
/// overlaps it most, by at least `least_overlap` (intersection over union); failing that it is excused by a crowd, of which it must lie inside by
/// that share of its own area. A crowd excuses any number.
pub(super) fn match_detections(
    objects: &[&Object],
    mut detections: Vec<&Detection>,
    least_overlap: f64,
) -> Vec<(f32, Outcome)> {
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    detections.truncate(MAX_DETECTIONS);
    let mut free: Vec<&Object> = objects.iter().copied().filter(|object| !object.crowd).collect();
    let crowds: Vec<&Object> = objects.iter().copied().filter(|object| object.crowd).collect();
    detections
        .into_iter()
        .map(|detection| {
            let overlaps = free.iter().enumerate().map(|(index, object)| {
                let (intersection, union) = overlap(&object.bbox, &detection.bbox);
                (index, ratio(intersection, union))
            });
            // Of equal overlaps the later object, as in the reference.
            let best = overlaps.filter(|&(_, iou)| iou >= least_overlap).max_by(|a, b| a.1.total_cmp(&b.1));
            let outcome = if let Some((index, _)) = best {
                free.remove(index);
                Outcome::Hit
            } else if crowds.iter().any(|crowd| {
                let (intersection, _) = overlap(&crowd.bbox, &detection.bbox);
                ratio(intersection, area(&detection.bbox)) >= least_overlap
            }) {
                Outcome::Excused
            } else {
                Outcome::FalseAlarm
            };
            (detection.score, outcome)
        })
        .collect()
}

/// Areas of intersection and union, in `f64`, as the reference computes them.
fn overlap(a: &BoundingBox, b: &BoundingBox) -> (f64, f64) {
    let length = |a_min: f32, a_max: f32, b_min: f32, b_max: f32| {
        (f64::from(a_max.min(b_max)) - f64::from(a_min.max(b_min))).max(0.0)
    };
    let intersection =
        length(a.x_min, a.x_max, b.x_min, b.x_max) * length(a.y_min, a.y_max, b.y_min, b.y_max);
    (intersection, area(a) + area(b) - intersection)
}

fn area(bbox: &BoundingBox) -> f64 {
    let side = |min: f32, max: f32| (f64::from(max) - f64::from(min)).max(0.0);
    side(bbox.x_min, bbox.x_max) * side(bbox.y_min, bbox.y_max)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
