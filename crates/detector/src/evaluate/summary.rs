//! COCO's figures for a set of pictures.

use super::average_precision::{Curve, Sample, curve, mean};

/// Intersections over union at which COCO judges: 0.5, 0.55, …, 0.95.
const OVERLAPS: usize = 10;

/// What became of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassSummary {
    /// The class by name.
    pub class: String,
    /// Objects that count, crowds left out.
    pub objects: usize,
    /// Average precision at an intersection over union of 0.5; none if there are no objects that count.
    pub ap50: Option<f64>,
    /// The mean of the average precisions at 0.5, 0.55, …, 0.95; none if there are no objects that count.
    pub ap50_95: Option<f64>,
    /// The curve at 0.5; none if there are no objects that count.
    pub curve50: Option<Curve>,
}

/// COCO's figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// One entry for each class asked about, in order.
    pub classes: Vec<ClassSummary>,
    /// The mean of `ap50` over the classes that have objects; none if none has.
    pub map50: Option<f64>,
    /// The mean of `ap50_95` over the classes that have objects; none if none has.
    pub map50_95: Option<f64>,
}

/// Judges detections against objects, class by class. What belongs to none of `classes` is left out.
///
/// Of equal scores the earlier sample's comes first, and within a sample the earlier detection: the reference takes
/// pictures in the order of their `id`. Scores must be numbers.
pub fn summary<S: AsRef<str>>(classes: &[S], samples: &[Sample<'_>]) -> Summary {
    let classes: Vec<_> = classes.iter().map(|class| class_summary(class.as_ref(), samples)).collect();
    Summary {
        map50: mean_of(classes.iter().filter_map(|class| class.ap50)),
        map50_95: mean_of(classes.iter().filter_map(|class| class.ap50_95)),
        classes,
    }
}

fn class_summary(class: &str, samples: &[Sample<'_>]) -> ClassSummary {
    let (objects, curve50) = curve(class, samples, overlap(0));
    let ap50 = curve50.as_ref().map(mean);
    let stricter = (1..OVERLAPS).filter_map(|step| curve(class, samples, overlap(step)).1);
    let ap50_95 =
        ap50.and_then(|ap50| mean_of(std::iter::once(ap50).chain(stricter.map(|curve| mean(&curve)))));
    ClassSummary { class: class.into(), objects, ap50, ap50_95, curve50 }
}

/// The threshold `step` above 0.5, to the last bit as numpy's `linspace(0.5, 0.95, 10)` has it.
fn overlap(step: usize) -> f64 {
    const LAST: f64 = 0.95;
    if step + 1 == OVERLAPS { LAST } else { step as f64 * ((LAST - 0.5) / (OVERLAPS - 1) as f64) + 0.5 }
}

fn mean_of(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

#[cfg(test)]
mod tests;
