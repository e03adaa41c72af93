//! From matched detections to average precision.

use protocol::{BoundingBox, Detection};

use super::matching::{Outcome, match_detections};

/// Recalls at which precision is read: 0, 0.01, …, 1.
pub const RECALLS: usize = 101;

/// The best precision at each recall or a higher one: the precision-recall curve as COCO reads it.
pub type Curve = [f64; RECALLS];

/// One true object in a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its class by name.
    pub class: String,
    /// Where it is, in the picture's pixels.
    pub bbox: BoundingBox,
    /// Whether it only excuses detections: matched it is no hit, missed it is no miss (COCO's `iscrowd`).
    pub crowd: bool,
}

/// One picture: what is there and what was found. The same picture may be judged any number of times.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// What is there.
    pub objects: &'a [Object],
    /// What was found, in any order, in the same pixels.
    pub detections: &'a [Detection],
}

/// The average precision of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassScore {
    /// The class by name.
    pub class: String,
    /// Objects that count, crowds left out.
    pub objects: usize,
    /// Average precision in `0..=1`; none if there are no objects that count.
    pub average_precision: Option<f64>,
}

/// The average precision of every class, and its mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// One entry for each class asked about, in order.
    pub classes: Vec<ClassScore>,
    /// The mean over the classes that have objects; none if none has.
    pub mean: Option<f64>,
}

/// Judges detections against objects, class by class, at an intersection over union of 0.5. What belongs to none of `classes` is left out.
///
/// Of equal scores the earlier sample's comes first, and within a sample the earlier detection. Scores must be
/// numbers.
pub fn average_precision<S: AsRef<str>>(classes: &[S], samples: &[Sample<'_>]) -> Evaluation {
    let classes: Vec<_> = classes.iter().map(|class| class_score(class.as_ref(), samples)).collect();
    let known: Vec<f64> = classes.iter().filter_map(|class| class.average_precision).collect();
    let mean = (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64);
    Evaluation { classes, mean }
}

fn class_score(class: &str, samples: &[Sample<'_>]) -> ClassScore {
    let (objects, curve) = curve(class, samples, 0.5);
    ClassScore { class: class.into(), objects, average_precision: curve.as_ref().map(mean) }
}

/// The objects of a class that count, and its curve if there are any; a detection is a hit from an intersection
/// over union of `least_overlap`.
pub(super) fn curve(class: &str, samples: &[Sample<'_>], least_overlap: f64) -> (usize, Option<Curve>) {
    let mut objects = 0;
    let mut matched = Vec::new();
    for sample in samples {
        let truth: Vec<&Object> = sample.objects.iter().filter(|object| object.class == class).collect();
        objects += truth.iter().filter(|object| !object.crowd).count();
        let found = sample.detections.iter().filter(|detection| detection.class == class).collect();
        matched.extend(match_detections(&truth, found, least_overlap));
    }
    // Stable, so that equal scores keep the order of their samples.
    matched.sort_by(|a: &(f32, Outcome), b| b.0.total_cmp(&a.0));
    let curve = (objects > 0).then(|| interpolated(&matched, objects));
    (objects, curve)
}

/// The average of a curve.
pub(super) fn mean(curve: &Curve) -> f64 {
    curve.iter().sum::<f64>() / RECALLS as f64
}

/// The interpolated precision at 101 recalls; `matched` best score first, `objects` above zero.
fn interpolated(matched: &[(f32, Outcome)], objects: usize) -> Curve {
    let (mut hits, mut misses) = (0usize, 0usize);
    // Recall and precision after each detection that counts.
    let mut curve = Vec::with_capacity(matched.len());
    for (_, outcome) in matched {
        match outcome {
            Outcome::Hit => hits += 1,
            Outcome::FalseAlarm => misses += 1,
            Outcome::Excused => {}
        }
        // As the reference: the smallest step of f64 keeps 0 / 0 away.
        let precision = hits as f64 / ((hits + misses) as f64 + f64::EPSILON);
        curve.push((hits as f64 / objects as f64, precision));
    }
    // The best precision at this recall or a higher one.
    let mut best = 0.0;
    for (_, precision) in curve.iter_mut().rev() {
        best = f64::max(best, *precision);
        *precision = best;
    }
    let at = |recall: f64| {
        let first = curve.partition_point(|&(reached, _)| reached < recall);
        curve.get(first).map_or(0.0, |&(_, precision)| precision)
    };
    // `0.01 * step`, not `step / 100`: some differ in the last bit, and the reference has the former.
    std::array::from_fn(|step| at(0.01 * step as f64))
}

#[cfg(test)]
mod tests;
