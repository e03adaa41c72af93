//! Boxes of YOLOv8's heads: for each cell the distances of a box's four sides as distributions over whole steps ("Generalized
//! focal loss", Li et al., 2020), and the classes behind a sigmoid.

use super::features::{Feature, Features};
use super::heads::Tail;
use super::model::Node;
use super::{Departure, Heads};
use crate::Family;
use crate::model_file::metadata::HeadSpec;

/// The overlap and the most boxes that the tool's prediction has by default.
pub(super) const IOU_THRESHOLD: f32 = 0.7;
pub(super) const MAX_BOXES: usize = 300;

/// Most numbers of the places of all cells.
const MAX_CELLS: usize = 1 << 20;
/// Most steps of a distance.
const MAX_STEPS: usize = 256;
/// Sides of a box.
const SIDES: usize = 4;

/// Reads the end of a model, which joins boxes and scores.
pub(super) fn read<'a>(
    tail: &Tail<'_, 'a>,
    end: &Node<'a>,
    features: &mut Features<'_, 'a>,
) -> Result<Heads, Departure> {
    let [boxes, scores] = end.inputs[..] else { return Err(tail.departure(end, "boxes and scores")) };
    let sigmoid = tail.node(scores, "Sigmoid", "of the scores")?;
    let scores = tail.input(sigmoid, 0)?;
    let boxes = boxes_of(tail, boxes)?;
    let sides = SIDES * boxes.steps;
    // Each head is one layer, of boxes and scores, or two.
    let together = is_part(tail, scores);
    let of_boxes = if together { tail.whole(boxes.source, 0, 0)? } else { boxes.source };
    let of_scores = if together { tail.whole(scores, 1, sides)? } else { scores };
    if together && of_boxes != of_scores {
        return Err(tail.departure(end, "boxes and scores of the same heads"));
    }
    let of_boxes = tail.layers(of_boxes, features)?;
    let of_scores = if together { of_boxes.clone() } else { tail.layers(of_scores, features)? };
    if of_boxes.len() != of_scores.len() {
        return Err(tail.departure(end, "boxes and scores of the same heads"));
    }
    let mut heads = Vec::new();
    let mut classes = None;
    let mut cell = 0;
    for (of_boxes, of_scores) in of_boxes.into_iter().zip(of_scores) {
        let found = features.channels(of_scores).checked_sub(if together { sides } else { 0 });
        let consistent = (together || features.channels(of_boxes) == sides)
            && of_boxes.size == of_scores.size
            && classes.is_none_or(|classes| found == Some(classes));
        let Some(found) = found.filter(|&found| consistent && found > 0) else {
            return Err(
                tail.departure(end, &format!("{sides} channels for the boxes of each head, and its classes"))
            );
        };
        classes = Some(found);
        let stride = boxes.check_cells(cell, of_boxes)?;
        cell += of_boxes.size.0 * of_boxes.size.1;
        features.output(if together { vec![of_boxes] } else { vec![of_boxes, of_scores] })?;
        heads.push(HeadSpec { stride, anchors: Vec::new() });
    }
    if cell != boxes.strides.len() {
        return Err(tail.departure(boxes.scaled, "a stride for each cell"));
    }
    let classes = classes.ok_or_else(|| tail.departure(end, "heads"))?;
    Ok(Heads { family: Family::Yolov8, heads, classes })
}

/// How boxes are made of the distributions of all cells.
#[derive(Debug)]
struct Boxes<'m, 'a> {
    /// The distributions.
    source: &'a str,
    /// Steps of a distribution.
    steps: usize,
    /// The stride of each cell's head.
    strides: Vec<f64>,
    /// The x of each cell's middle in cells of its head, then the y.
    middles: Vec<f64>,
    /// Where boxes are scaled by their strides.
    scaled: &'m Node<'a>,
}

/// Follows the boxes back to the distributions: `(middle - first, middle + second)` as centre and size, times the stride.
fn boxes_of<'m, 'a>(tail: &Tail<'m, 'a>, boxes: &'a str) -> Result<Boxes<'m, 'a>, Departure> {
    let scaled = tail.node(boxes, "Mul", "of boxes and strides")?;
    let (unscaled, strides) = tail.constant(scaled, MAX_CELLS)?;
    let joined = tail.node(unscaled, "Concat", "of centre and size")?;
    let [centre, size] = joined.inputs[..] else { return Err(tail.departure(joined, "centre and size")) };
    let centre = tail.node(tail.number(centre, "Div", 2.0)?, "Add", "of two corners")?;
    let size = tail.node(size, "Sub", "of two corners")?;
    let (first, second) = (tail.input(size, 1)?, tail.input(size, 0)?);
    let corners = [tail.input(centre, 0)?, tail.input(centre, 1)?];
    if corners != [first, second] && corners != [second, first] {
        return Err(tail.departure(centre, "the corners of the size"));
    }
    let before = tail.node(first, "Sub", "of a cell's middle and the distances to left and top")?;
    let after = tail.node(second, "Add", "of a cell's middle and the distances to right and bottom")?;
    let (second, middles) = tail.constant(after, MAX_CELLS)?;
    let also = tail.input(before, 0)?;
    if tail.model.numbers(also, MAX_CELLS).as_ref() != Some(&middles.values) {
        return Err(tail.departure(before, "the middles of the cells"));
    }
    let distances = tail.whole(tail.input(before, 1)?, 0, 0)?;
    if tail.whole(second, 1, 2)? != distances {
        return Err(tail.departure(after, "the other half of the distances"));
    }
    // A distance is the mean of its steps.
    let mean = tail.node(tail.unarranged(distances), "Conv", "of the probabilities of each step")?;
    let steps = mean.input(1).and_then(|weights| tail.model.numbers(weights, MAX_STEPS)).unwrap_or_default();
    if steps.len() < 2 || steps.iter().enumerate().any(|(step, weight)| *weight != step as f64) {
        return Err(tail.departure(mean, "the steps as its weights"));
    }
    let softmax = tail.node(tail.unarranged(tail.input(mean, 0)?), "Softmax", "of the steps")?;
    let source = tail.unarranged(tail.input(softmax, 0)?);
    Ok(Boxes { source, steps: steps.len(), strides: strides.values, middles: middles.values, scaled })
}

/// Whether a value is cut out of another one.
fn is_part(tail: &Tail<'_, '_>, name: &str) -> bool {
    tail.model.producer(name).is_some_and(|node| matches!(node.op, "Split" | "Slice"))
}

impl Boxes<'_, '_> {
    /// The stride of the cells from `first` on that are those of a layer.
    fn check_cells(&self, first: usize, layer: Feature) -> Result<usize, Departure> {
        let (rows, columns) = layer.size;
        let all = self.strides.len();
        let stride = self.strides.get(first).copied().unwrap_or(0.0);
        let is_cell = |row: usize, column: usize| {
            let cell = first + row * columns + column;
            let place = [cell, all + cell].map(|place| self.middles.get(place).copied());
            self.strides.get(cell) == Some(&stride)
                && place == [Some(column as f64 + 0.5), Some(row as f64 + 0.5)]
        };
        let fits = stride >= 1.0
            && stride.fract() == 0.0
            && self.middles.len() == 2 * all
            && (0..rows).all(|row| (0..columns).all(|column| is_cell(row, column)));
        if fits {
            Ok(stride as usize)
        } else {
            Err(Departure {
                place: "the end of the model".into(),
                found: self.scaled.describe(),
                expected: format!("the cells and the stride of a head of {rows}x{columns} cells"),
            })
        }
    }
}
