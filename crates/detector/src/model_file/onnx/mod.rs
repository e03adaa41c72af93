//! ONNX models of detectors with the heads of YOLOv5 or YOLOv8, which YOLOv11 and others have, too.
//!
//! A model is recognised by how its operations hang together, not by their names. Its layers are read from the picture
//! on; its heads are found from the output backwards, where boxes are made of them: that part must be what the family's
//! decoding does, and its constants give strides and anchors.

mod attention;
mod convolution;
mod features;
mod heads;
mod model;
mod names;
mod tensor;
#[cfg(test)]
mod tests;
mod yolov5;
mod yolov8;

use std::path::Path;

use super::metadata::{self, HeadSpec, Network};
use super::{Contents, LoadError, Metadata, protobuf};
use crate::Family;
use features::Features;
use model::{Input, Model};

/// Largest height and width; the description's check has smaller bounds.
const MAX_SIDE: usize = 65_536;
/// What counts as a detection where nothing else is said: the defaults of the tools that train these networks.
const SCORE_THRESHOLD: f32 = 0.25;

/// Where a model is something else than what is read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Departure {
    /// The operation.
    place: String,
    found: String,
    expected: String,
}

/// The end of a model: how boxes are made of the heads, and the heads as outputs of the network.
#[derive(Debug)]
struct Heads {
    family: Family,
    heads: Vec<HeadSpec>,
    classes: usize,
}

/// Whether a file looks like a `ModelProto`: its first field is the version of the format, and then comes another of its
/// fields.
pub(super) fn is_model(mut bytes: &[u8]) -> bool {
    const IR_VERSION: u64 = 1 << 3;
    /// Later than those of any release.
    const MAX_VERSION: u64 = 100;
    /// Texts and messages, and the model's own version.
    const FIELDS: [u64; 8] = [0x12, 0x1a, 0x22, 0x28, 0x32, 0x3a, 0x42, 0x72];
    protobuf::varint(&mut bytes) == Ok(IR_VERSION)
        && protobuf::varint(&mut bytes).is_ok_and(|version| (1..MAX_VERSION).contains(&version))
        && protobuf::varint(&mut bytes).is_ok_and(|tag| FIELDS.contains(&tag))
}

/// Reads the description and finds the weights of a model.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>, LoadError> {
    let model = Model::parse(bytes).map_err(|damage| LoadError::DamagedGraph {
        path: path.into(),
        form: "ONNX model",
        problem: damage.to_string(),
    })?;
    let contents =
        interpret(&model, metadata::name_of(path)).map_err(|Departure { place, found, expected }| {
            LoadError::UnknownModel {
                path: path.into(),
                model: model.summary().into(),
                place: place.into(),
                found: found.into(),
                expected: expected.into(),
            }
        })?;
    contents.metadata.check_read(path)?;
    Ok(contents)
}

/// Makes sense of a model as a network of one of the families.
fn interpret<'a>(model: &Model<'a>, name: String) -> Result<Contents<'a>, Departure> {
    let (input, size) = picture(model)?;
    let mut features = Features::read(model, input, size)?;
    let Heads { family, heads, classes } = heads::find(model, &mut features)?;
    let (graph, tensors) = features.into_parts();
    let names = model.note("names").and_then(names::parse).filter(|names| names.len() == classes);
    let metadata = Metadata {
        name,
        family,
        network: Network::Written(graph),
        classes: names.unwrap_or_else(|| metadata::numbered_classes(classes)),
        input: size,
        heads,
        score_threshold: SCORE_THRESHOLD,
        iou_threshold: if family == Family::Yolov5 { yolov5::IOU_THRESHOLD } else { yolov8::IOU_THRESHOLD },
        max_boxes: if family == Family::Yolov5 { yolov5::MAX_BOXES } else { yolov8::MAX_BOXES },
        ranges: None,
    };
    Ok(Contents { metadata, tensors })
}

/// The picture that goes in, and its height and width.
fn picture<'m, 'a>(model: &'m Model<'a>) -> Result<(&'m Input<'a>, (usize, usize)), Departure> {
    let departure =
        |found, expected: &str| Departure { place: "the input".into(), found, expected: expected.into() };
    let [input] = model.inputs() else {
        return Err(departure(format!("{} inputs", model.inputs().len()), "one, the picture"));
    };
    match input.shape[..] {
        [_, Some(3), Some(height), Some(width)] if height <= MAX_SIDE && width <= MAX_SIDE => {
            Ok((input, (height, width)))
        }
        [_, Some(3), None, _] | [_, Some(3), _, None] => Err(departure(
            "a picture of any size".into(),
            "one size; export the model with a fixed one (without `dynamic`)",
        )),
        _ => Err(departure(format!("the shape {:?}", input.shape), "[batch, 3, height, width]")),
    }
}
