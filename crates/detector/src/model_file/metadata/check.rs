//! The bounds within which the description of a model must lie.

use super::{HeadSpec, Metadata, Network, Problem, RANGES};
use crate::graph::Op;
use crate::graph::bounds::MAX_ATTENDED;
use crate::network::Channels;

/// Largest input height and width; bounds the memory that a file can ask for.
const MAX_INPUT: usize = 2048;
/// Most classes.
const MAX_CLASSES: usize = 1000;
/// Longest model or class name, in bytes.
const MAX_NAME: usize = 256;
/// Most boxes a class; bounds the time of non-maximum suppression.
pub(in crate::model_file) const MAX_BOXES: usize = 10_000;
/// Largest channel multiplier.
const MAX_WIDTH: f64 = 4.0;
/// Most channels of a convolution.
const MAX_CHANNELS: usize = 4096;
/// Most values of a layer's output.
const MAX_VALUES: usize = 1 << 29;
/// Most heads, and most anchors of one.
const MAX_HEADS: usize = 16;
/// Most steps of the distance of a box's side.
const MAX_STEPS: usize = 256;

impl Metadata {
    /// Whether every value is within its bounds, and the network fits the heads and the input.
    pub(in crate::model_file) fn check(&self) -> Result<(), Problem> {
        check_name(&self.name).map_err(|problem| ("name", problem))?;
        check_input(self.input.0, self.input.1).map_err(|problem| ("input", problem))?;
        if self.classes.is_empty() || self.classes.len() > MAX_CLASSES {
            return Err(("classes", format!("{} classes, not 1 to {MAX_CLASSES}", self.classes.len())));
        }
        for (index, class) in self.classes.iter().enumerate() {
            check_name(class).map_err(|problem| ("classes", format!("class {index}: {problem}")))?;
            if self.classes[..index].contains(class) {
                return Err(("classes", format!("class {class:?} is named twice")));
            }
        }
        self.check_scale()?;
        self.check_heads()?;
        check_fraction(self.score_threshold).map_err(|problem| ("score_threshold", problem))?;
        check_fraction(self.iou_threshold).map_err(|problem| ("iou_threshold", problem))?;
        if !(1..=MAX_BOXES).contains(&self.max_boxes) {
            return Err(("max_boxes", format!("{} is not 1 to {MAX_BOXES}", self.max_boxes)));
        }
        self.ranges.as_deref().map_or(Ok(()), |ranges| self.check_ranges(ranges))
    }

    /// Whether every convolution has a range.
    fn check_ranges(&self, ranges: &[[f32; 2]]) -> Result<(), Problem> {
        let (found, expected) = (ranges.len(), self.graph().convolutions().len());
        if found != expected {
            return Err((RANGES, format!("{found} ranges for {expected} convolutions")));
        }
        let problem = |&[least, most]: &[f32; 2]| {
            let width = most.max(0.0) - least.min(0.0);
            // What a byte is worth is divided by.
            let step = width / 255.0;
            !(least <= most && (width == 0.0 || step.is_normal() && (1.0 / step).is_normal()))
        };
        match ranges.iter().position(problem) {
            Some(index) => {
                Err((RANGES, format!("convolution {index}: {:?} has no 255 steps", ranges[index])))
            }
            None => Ok(()),
        }
    }

    /// What a file chooses of a known network.
    fn check_scale(&self) -> Result<(), Problem> {
        let Network::Known { channels, leaky_slope, .. } = &self.network else { return Ok(()) };
        check_fraction(*leaky_slope).map_err(|problem| ("leaky_slope", problem))?;
        match channels {
            &Channels::Multiplied(width) if !(width > 0.0 && width <= MAX_WIDTH) => {
                Err(("width", format!("{width} is not above 0 and at most {MAX_WIDTH}")))
            }
            Channels::Multiplied(_) => Ok(()),
            Channels::Listed(channels) => {
                let expected = self.graph().convolutions().len();
                if channels.len() != expected {
                    let found = channels.len();
                    return Err(("channels", format!("{found} convolutions instead of {expected}")));
                }
                match channels.iter().find(|channels| !(1..=MAX_CHANNELS).contains(*channels)) {
                    Some(channels) => Err(("channels", format!("{channels} is not 1 to {MAX_CHANNELS}"))),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether the network's outputs are what the heads say, for a picture of the input's size.
    fn check_heads(&self) -> Result<(), Problem> {
        let key = if matches!(self.network, Network::Known { .. }) { "anchors" } else { "heads" };
        if !(1..=MAX_HEADS).contains(&self.heads.len()) {
            return Err((key, format!("{} heads, not 1 to {MAX_HEADS}", self.heads.len())));
        }
        let graph = self.graph();
        let sizes = graph.sizes(self.input).map_err(|error| ("input", error.to_string()))?;
        for (node, (height, width)) in graph.nodes().iter().zip(&sizes) {
            if height.saturating_mul(*width).saturating_mul(node.channels) > MAX_VALUES {
                let problem =
                    format!("a layer of {}x{height}x{width} values, more than {MAX_VALUES}", node.channels);
                return Err(("input", problem));
            }
            if matches!(node.op, Op::Attention { .. }) && height.saturating_mul(*width) > MAX_ATTENDED {
                let problem = format!("attention over {height}x{width} pixels, more than {MAX_ATTENDED}");
                return Err(("input", problem));
            }
        }
        for (index, (head, output)) in self.heads.iter().zip(graph.outputs()).enumerate() {
            let cells = sizes[output.index()];
            self.check_head(head, graph.channels(*output), cells)
                .map_err(|problem| (key, format!("head {index}: {problem}")))?;
        }
        Ok(())
    }

    /// Whether a head fits its output of so many channels and cells.
    fn check_head(
        &self,
        head: &HeadSpec,
        channels: usize,
        (rows, columns): (usize, usize),
    ) -> Result<(), String> {
        let HeadSpec { stride, anchors } = head;
        if self.family.has_anchors() {
            self.check_anchors(anchors, channels)?;
        } else {
            self.check_steps(anchors, channels)?;
        }
        let (height, width) = self.input;
        if (rows.checked_mul(*stride), columns.checked_mul(*stride)) != (Some(height), Some(width)) {
            let cells = format!("{rows}x{columns} cells with a stride of {stride}");
            return Err(format!("{cells} do not make {height}x{width} pixels"));
        }
        Ok(())
    }

    /// Whether so many channels are those of boxes by anchors.
    fn check_anchors(&self, anchors: &[[f32; 2]], channels: usize) -> Result<(), String> {
        let (anchor_count, classes) = (anchors.len(), self.classes.len());
        if !(1..=MAX_HEADS).contains(&anchor_count) {
            return Err(format!("{anchor_count} anchors, not 1 to {MAX_HEADS}"));
        }
        if !anchors.iter().flatten().all(|&side| side > 0.0 && side.is_finite()) {
            return Err("a side of an anchor is not a positive number".into());
        }
        let expected = anchor_count * (5 + classes);
        if channels != expected {
            let parts = format!("{anchor_count} anchors and {classes} classes");
            return Err(format!("{channels} channels instead of {expected} for {parts}"));
        }
        Ok(())
    }

    /// Whether so many channels are those of boxes by the steps of their sides.
    fn check_steps(&self, anchors: &[[f32; 2]], channels: usize) -> Result<(), String> {
        if !anchors.is_empty() {
            return Err(format!("{} anchors; {} has none", anchors.len(), self.family));
        }
        let classes = self.classes.len();
        let sides = channels.saturating_sub(classes);
        if sides.is_multiple_of(4) && (2..=MAX_STEPS).contains(&(sides / 4)) {
            Ok(())
        } else {
            let steps = format!("4 times 2 to {MAX_STEPS} steps");
            Err(format!("{channels} channels are not {steps} and {classes} classes"))
        }
    }
}

fn check_input(height: usize, width: usize) -> Result<(), String> {
    let fits = |side: usize| side > 0 && side <= MAX_INPUT && side.is_multiple_of(32);
    if fits(height) && fits(width) {
        Ok(())
    } else {
        Err(format!("height {height} and width {width} are not both multiples of 32 from 32 to {MAX_INPUT}"))
    }
}

fn check_fraction(value: f32) -> Result<(), String> {
    if (0.0..=1.0).contains(&value) { Ok(()) } else { Err(format!("{value} is not between 0 and 1")) }
}

fn check_name(name: &str) -> Result<(), String> {
    match name.len() {
        1..=MAX_NAME => Ok(()),
        length => Err(format!("a name of {length} bytes, not 1 to {MAX_NAME}")),
    }
}
