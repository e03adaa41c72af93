//! Frozen TensorFlow graphs (`GraphDef`) of the two families.
//!
//! A graph is recognised by how its operations hang together, not by their names: from the outputs backwards,
//! operation by operation, it must be the network that [`crate::network`] knows. So graphs from any exporter are
//! taken as long as they compute the same, and one that computes something else is refused with the place where
//! they part.

mod constant;
mod decoding;
mod graph;
mod layers;
mod structure;
#[cfg(test)]
mod tests;

use std::path::Path;

use super::{Contents, LoadError, Metadata};
use crate::model_file::metadata::{self, Network, heads};
use crate::model_file::protobuf;
use crate::network::{Backbone, Channels, LEAKY_SLOPE, Scale, convolutions};
use graph::{Graph, Id};
use layers::Layers;

/// Where a graph and a known network part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Departure {
    /// The network's name of the place.
    place: String,
    found: String,
    expected: String,
}

/// Whether a file looks like a `GraphDef`: its first field is a node, and the node's first field its name.
pub(super) fn is_graph(mut bytes: &[u8]) -> bool {
    const BYTES_1: u64 = 1 << 3 | 2;
    protobuf::varint(&mut bytes) == Ok(BYTES_1)
        && protobuf::varint(&mut bytes).is_ok()
        && protobuf::varint(&mut bytes) == Ok(BYTES_1)
}

/// Reads the description and finds the weights of a graph.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>, LoadError> {
    let graph = Graph::parse(bytes).map_err(|damage| LoadError::DamagedGraph {
        path: path.into(),
        form: "TensorFlow graph",
        problem: damage.to_string(),
    })?;
    // The backbone of one begins with a maximum over 3x3; the other has none.
    let pooled = graph.of("MaxPool").next().is_some();
    let nearest = if pooled { Backbone::Resnet18 } else { Backbone::Darknet53 };
    let contents = interpret(&graph, nearest, metadata::name_of(path)).map_err(
        |Departure { place, found, expected }| LoadError::UnknownGraph {
            path: path.into(),
            graph: graph.summary().into(),
            nearest: nearest.family(),
            place: place.into(),
            found: found.into(),
            expected: expected.into(),
        },
    )?;
    contents.metadata.check_read(path)?;
    Ok(contents)
}

/// Makes sense of a graph as a network on `backbone`.
fn interpret<'a>(graph: &Graph<'a>, backbone: Backbone, name: String) -> Result<Contents<'a>, Departure> {
    let mut layers = Layers::new(graph, backbone);
    let outputs = structure::heads(&layers)?;
    let (input, upsampling) = structure::network(&mut layers, outputs)?;
    let classes = classes(&layers)?;
    let limits = decoding::limits(graph, backbone, classes)?;
    let leaky_slope = layers.slope.unwrap_or(LEAKY_SLOPE);
    let scale = Scale { upsampling, ..Scale::multiplied(backbone, 1.0, classes) };
    let channels = convolutions(&scale).iter().map(|spec| layers.channels(&spec.name)).collect();
    let metadata = Metadata {
        name,
        family: backbone.family(),
        network: Network::Known { backbone, channels: Channels::Listed(channels), upsampling, leaky_slope },
        classes: metadata::numbered_classes(classes),
        input: input_size(graph, input, backbone)?,
        heads: heads(decoding::anchors(graph, outputs)?),
        score_threshold: limits.score_threshold,
        iou_threshold: limits.iou_threshold,
        max_boxes: limits.max_boxes,
        ranges: None,
    };
    Ok(Contents { metadata, tensors: layers.tensors })
}

/// How many classes the heads have.
fn classes(layers: &Layers<'_, '_>) -> Result<usize, Departure> {
    /// Anchors of a cell; box and objectness of each.
    const ANCHORS: usize = 3;
    const BOX: usize = 5;
    let channels = layers.channels("head32.output");
    match (channels / ANCHORS).checked_sub(BOX) {
        Some(classes @ 1..) if channels.is_multiple_of(ANCHORS) => Ok(classes),
        _ => Err(Departure {
            place: "head32.output".into(),
            found: format!("{channels} channels"),
            expected: "3 times 5 and the number of classes".into(),
        }),
    }
}

/// Height and width of the picture that goes in; where the graph leaves them open, the usual ones.
fn input_size(graph: &Graph<'_>, input: Id, backbone: Backbone) -> Result<(usize, usize), Departure> {
    let departure = |expected: &str| Departure {
        place: "the input".into(),
        found: graph.describe(input),
        expected: expected.into(),
    };
    if !matches!(graph.op(input), "Placeholder" | "PlaceholderV2") {
        return Err(departure("Placeholder: pictures as they are, in 0..=1"));
    }
    let sizes: Vec<i64> = graph.shape(input, "shape").into_iter().flat_map(constant::sizes).take(8).collect();
    match sizes[..] {
        [] => Ok(backbone.usual_input()),
        [_, height, width, _] => match (usize::try_from(height), usize::try_from(width)) {
            (Ok(height @ 1..), Ok(width @ 1..)) => Ok((height, width)),
            _ => Ok(backbone.usual_input()),
        },
        _ => Err(departure("one of the shape [batch, height, width, 3]")),
    }
}
