//! What a graph does with the heads' outputs: anchors, thresholds and limits.

use super::Departure;
use super::constant::constant;
use super::graph::{Graph, Id};
use super::structure::Heads;
use crate::model_file::metadata::MAX_BOXES;
use crate::network::Backbone;

/// Input pixels between neighbouring cells of each head.
const STRIDES: [usize; 3] = [8, 16, 32];
/// Longest way from a head to the sizes of its boxes.
const MAX_STEPS: usize = 8;
/// Most numbers of a constant that is read here.
const SMALL: usize = 64;

/// Width and height in input pixels of three anchors for each of the strides 8, 16 and 32.
pub(super) type Anchors = [[[f32; 2]; 3]; 3];

/// What counts as a detection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub(super) score_threshold: f32,
    pub(super) iou_threshold: f32,
    /// Most detections of a class.
    pub(super) max_boxes: usize,
}

/// The anchors that the exponentials of each head's sizes are multiplied by.
pub(super) fn anchors(graph: &Graph<'_>, heads: Heads) -> Result<Anchors, Departure> {
    let mut anchors = Anchors::default();
    for ((anchors, stride), head) in anchors.iter_mut().zip(STRIDES).zip(heads) {
        let place = format!("the anchors of stride {stride}");
        let mut found = graph.of("Mul").filter_map(|product| sizes(graph, product, head, &place));
        let (Some((product, values)), None) = (found.next(), found.next()) else {
            return Err(Departure {
                place: place.clone(),
                found: "not one product of the exponential of a head's sizes and 3 anchors".into(),
                expected: "one".into(),
            });
        };
        let scale = scale(graph, product, stride, &place)?;
        for (anchor, sides) in anchors.iter_mut().zip(values.as_chunks().0) {
            *anchor = sides.map(|side: f64| side as f32 * scale);
        }
    }
    Ok(anchors)
}

/// `product`, and its six constant factors, if it scales the exponentials of the sizes from `head`.
fn sizes(graph: &Graph<'_>, product: Id, head: Id, place: &str) -> Option<(Id, Vec<f64>)> {
    [(0, 1), (1, 0)].into_iter().find_map(|(exponential, factors)| {
        let exponential = graph.source(product, exponential, place).ok()?;
        if graph.op(exponential) != "Exp" || !comes_from(graph, exponential, head, place) {
            return None;
        }
        let values = constant(graph, product, factors, place).ok()?.numbers(SMALL)?;
        (values.len() == 6).then_some((product, values))
    })
}

/// Whether `id` is a part of `head`'s values in another shape.
fn comes_from(graph: &Graph<'_>, mut id: Id, head: Id, place: &str) -> bool {
    for _ in 0..MAX_STEPS {
        match graph.source(id, 0, place) {
            Ok(source) if source == head => return true,
            Ok(source)
                if matches!(graph.op(source), "StridedSlice" | "Slice" | "Reshape" | "SplitV" | "Split") =>
            {
                id = source;
            }
            _ => return false,
        }
    }
    false
}

/// What anchors have to be multiplied by to be in input pixels: the stride, where the graph multiplies by it; 1
/// where it divides by the input's size.
fn scale(graph: &Graph<'_>, product: Id, stride: usize, place: &str) -> Result<f32, Departure> {
    for id in graph.ids() {
        let sides = || [(0, 1), (1, 0)].into_iter();
        match graph.op(id) {
            "Mul" => {
                let factor = sides().find_map(|(value, factor)| {
                    (graph.source(id, value, place).ok()? == product)
                        .then(|| constant(graph, id, factor, place).ok()?.number())
                        .flatten()
                });
                match factor {
                    Some(factor) if factor == stride as f64 => return Ok(stride as f32),
                    Some(factor) => {
                        let found = format!("{} by {factor}", graph.describe(id));
                        return Err(Departure {
                            place: place.into(),
                            found,
                            expected: format!("the stride, {stride}"),
                        });
                    }
                    None => {}
                }
            }
            "RealDiv" | "Div" if graph.source(id, 0, place).is_ok_and(|value| value == product) => {
                return Ok(1.0);
            }
            _ => {}
        }
    }
    Err(Departure {
        place: place.into(),
        found: format!("{} that nothing scales", graph.describe(product)),
        expected: "a product with the stride or a division by the input's size".into(),
    })
}

/// The thresholds and limits of a graph with so many classes.
pub(super) fn limits(graph: &Graph<'_>, backbone: Backbone, classes: usize) -> Result<Limits, Departure> {
    match backbone {
        Backbone::Resnet18 => suppression(graph, classes),
        // These graphs end with all boxes; Sedna's helmet example and tensorflow-yolov3 choose among them with
        // these values, and keep any number.
        Backbone::Darknet53 => Ok(Limits { score_threshold: 0.3, iou_threshold: 0.4, max_boxes: MAX_BOXES }),
    }
}

/// The limits of the non-maximum suppression in the graph: one for each class, all alike.
fn suppression(graph: &Graph<'_>, classes: usize) -> Result<Limits, Departure> {
    const PLACE: &str = "the non-maximum suppression";
    let departure =
        |found, expected: &str| Departure { place: PLACE.into(), found, expected: expected.into() };
    let number = |id, input| {
        constant(graph, id, input, PLACE)?
            .number()
            .ok_or_else(|| departure(graph.describe(id), "a single number as its limit"))
    };
    let mut thresholds = graph.of("GreaterEqual").filter_map(|id| number(id, 1).ok());
    let (Some(score_threshold), None) = (thresholds.next(), thresholds.next()) else {
        return Err(departure("not one GreaterEqual of scores and a constant".into(), "one"));
    };
    let mut limits = None;
    let mut found = 0;
    for id in graph.ids().filter(|&id| graph.op(id).starts_with("NonMaxSuppression")) {
        let iou_threshold = match graph.op(id) {
            // The operation's own default.
            "NonMaxSuppression" => f64::from(graph.float(id, "iou_threshold").unwrap_or(0.5)),
            "NonMaxSuppressionV2" => number(id, 3)?,
            "NonMaxSuppressionV3" if number(id, 4)? < score_threshold => number(id, 3)?,
            "NonMaxSuppressionV3" => {
                return Err(departure(graph.describe(id), "no second threshold of the score"));
            }
            _ => return Err(departure(graph.describe(id), "NonMaxSuppression, V2 or V3")),
        };
        let this = (iou_threshold, number(id, 2)?);
        if limits.is_some_and(|limits| limits != this) {
            return Err(departure(graph.describe(id), "the limits of the other classes"));
        }
        limits = Some(this);
        found += 1;
    }
    match limits {
        Some((iou_threshold, max_boxes)) if found == classes => Ok(Limits {
            score_threshold: score_threshold as f32,
            iou_threshold: iou_threshold as f32,
            // What is negative or not whole becomes zero, which is out of bounds.
            max_boxes: max_boxes as usize,
        }),
        _ => Err(departure(
            format!("{found} of NonMaxSuppression"),
            &format!("one for each of {classes} classes"),
        )),
    }
}
