//! Boxes of YOLOv5's heads: for each of a cell's anchors a centre, a size, an objectness and the classes, all behind a
//! sigmoid.

use super::features::Features;
use super::heads::Tail;
use super::model::Node;
use super::{Departure, Heads};
use crate::Family;
use crate::model_file::metadata::HeadSpec;

/// The overlap and the most boxes that the tool's prediction has by default.
pub(super) const IOU_THRESHOLD: f32 = 0.45;
pub(super) const MAX_BOXES: usize = 1000;

/// Most numbers of a head's grid: 16 anchors of 256 x 256 cells, two for each.
const MAX_GRID: usize = 2 << 20;
/// Values of a box before its classes: centre, size, objectness.
const BOX: usize = 5;

/// Reads the end of a model, which joins the boxes of all heads.
pub(super) fn read<'a>(
    tail: &Tail<'_, 'a>,
    end: &Node<'a>,
    features: &mut Features<'_, 'a>,
) -> Result<Heads, Departure> {
    let mut heads = Vec::new();
    let mut classes = None;
    for boxes in &end.inputs {
        let (head, of_head) = head(tail, boxes, features)?;
        if classes.is_some_and(|classes| classes != of_head) {
            return Err(tail.departure(end, "heads of one number of classes"));
        }
        classes = Some(of_head);
        heads.push(head);
    }
    let classes = classes.ok_or_else(|| tail.departure(end, "heads"))?;
    Ok(Heads { family: Family::Yolov5, heads, classes })
}

/// One head and its number of classes; it becomes an output of the network.
fn head<'a>(
    tail: &Tail<'_, 'a>,
    boxes: &'a str,
    features: &mut Features<'_, 'a>,
) -> Result<(HeadSpec, usize), Departure> {
    let joined = tail.node(tail.unarranged(boxes), "Concat", "of centre, size and scores")?;
    let [centre, size, scores] = joined.inputs[..] else {
        return Err(tail.departure(joined, "centre, size and scores"));
    };
    // Centre: (2 * s + grid) * stride, where the grid begins with -0.5.
    let scaled = tail.node(centre, "Mul", "of the centre and the stride")?;
    let (moved, stride) = tail.constant(scaled, 1)?;
    let sum = tail.node(moved, "Add", "of the centre and the grid")?;
    let (doubled, grid) = tail.constant(sum, MAX_GRID)?;
    // Earlier versions take the half off apart from the grid.
    let (doubled, half) = match tail.model.producer(doubled) {
        Some(node) if node.op == "Sub" => (tail.number(doubled, "Sub", 0.5)?, 0.5),
        _ => (doubled, 0.0),
    };
    let s_centre = tail.number(doubled, "Mul", 2.0)?;
    // Size: (2 * s)^2 * anchor.
    let scaled = tail.node(size, "Mul", "of the size and the anchors")?;
    let (squared, anchors) = tail.constant(scaled, MAX_GRID)?;
    let s_size = tail.number(tail.number(squared, "Pow", 2.0)?, "Mul", 2.0)?;
    let mut sources = Vec::new();
    for (part, name) in [s_centre, s_size, scores].into_iter().enumerate() {
        sources.push(tail.whole(name, part, 2 * part)?);
    }
    let source = sources[0];
    if sources.iter().any(|other| *other != source) {
        return Err(tail.departure(joined, "parts of one head"));
    }
    let sigmoid = tail.node(source, "Sigmoid", "of a head")?;
    let feature = tail.layer(tail.input(sigmoid, 0)?, features)?;
    let (rows, columns) = feature.size;
    let cells = 2 * rows * columns;
    let stride = stride.values.first().copied().filter(|stride| *stride >= 1.0 && stride.fract() == 0.0);
    let stride = stride.ok_or_else(|| tail.departure(scaled, "a whole stride"))?;
    // Spread over all cells or not.
    let of_anchor = match anchors.shape[..] {
        [.., rows, columns, 2] => 2 * rows * columns,
        _ => return Err(tail.departure(scaled, "a width and a height for each anchor")),
    };
    let anchors: Vec<[f32; 2]> = anchors
        .values
        .chunks_exact(of_anchor.max(2))
        .map(|anchor| [anchor[0] as f32, anchor[1] as f32])
        .collect();
    let expected = |index: usize| {
        let cell = index / 2 % (rows * columns).max(1);
        let place = if index.is_multiple_of(2) { cell % columns.max(1) } else { cell / columns.max(1) };
        place as f64 - 0.5
    };
    if !grid.values.len().is_multiple_of(cells.max(1))
        || grid.values.iter().enumerate().any(|(index, place)| *place - half != expected(index))
    {
        return Err(tail.departure(sum, "the cells of the head"));
    }
    let channels = features.channels(feature);
    let classes = channels.checked_div(anchors.len()).and_then(|each| each.checked_sub(BOX));
    let classes = classes.filter(|classes| anchors.len() * (BOX + classes) == channels);
    let classes =
        classes.ok_or_else(|| tail.departure(scaled, &format!("anchors for {channels} channels")))?;
    features.output(vec![feature])?;
    Ok((HeadSpec { stride: stride as usize, anchors }, classes))
}
