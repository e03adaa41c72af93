//! What a model file says of its model.

mod check;
mod network;
mod values;

use std::collections::HashMap;
use std::path::Path;

use protocol::infer::ModelInfo;

use super::LoadError;
use crate::graph::Graph;
use crate::{Family, LoadOptions};
pub(super) use check::MAX_BOXES;
pub(crate) use network::{HeadSpec, Network, heads};
use values::Values;

/// What the format is called, and the version of it that is read and written.
const FORMAT: &str = "sluice-detector";
const VERSION: &str = "1";

/// The key of [`Metadata::ranges`].
const RANGES: &str = "activation_ranges";

/// The description of a model, every value within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) family: Family,
    pub(crate) network: Network,
    pub(crate) classes: Vec<String>,
    /// Height and width in pixels, multiples of 32.
    pub(crate) input: (usize, usize),
    /// The network's outputs in their order, usually from the finest to the coarsest.
    pub(crate) heads: Vec<HeadSpec>,
    pub(crate) score_threshold: f32,
    pub(crate) iou_threshold: f32,
    /// Most detections of one class in one picture.
    pub(crate) max_boxes: usize,
    /// Least and largest values that the output of each convolution takes when it becomes bytes, in the order of the
    /// network's convolutions.
    pub(crate) ranges: Option<Vec<[f32; 2]>>,
}

/// The name of a model whose file says none: the beginning of the file's.
pub(super) fn name_of(path: &Path) -> String {
    /// Characters.
    const MOST: usize = 64;
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().chars().take(MOST).collect()
}

/// Names for classes that have none.
pub(super) fn numbered_classes(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("class{class}")).collect()
}

/// A metadata key and what is wrong with its value.
type Problem = (&'static str, String);

impl Metadata {
    /// Reads and checks the metadata of a model file.
    pub(super) fn parse(values: &HashMap<String, String>) -> Result<Self, Problem> {
        let values = Values(values);
        values.expect("format", FORMAT, "this is no detector of Sluice")?;
        values.expect("format_version", VERSION, "this version of Sluice reads version 1")?;
        let [height, width]: [usize; 2] = values.json("input")?;
        let family = values.parse("family")?;
        let (network, heads) = Network::parse(&values, family)?;
        let metadata = Self {
            name: values.get("name")?.to_owned(),
            family,
            network,
            classes: values.json("classes")?,
            input: (height, width),
            heads,
            score_threshold: values.parse("score_threshold")?,
            iou_threshold: values.parse("iou_threshold")?,
            max_boxes: values.parse("max_boxes")?,
            ranges: if values.has(RANGES) { Some(values.json(RANGES)?) } else { None },
        };
        metadata.check()?;
        Ok(metadata)
    }

    /// Checks what was read of the file at `path`, which has no metadata of ours.
    pub(super) fn check_read(&self, path: &Path) -> Result<(), LoadError> {
        self.check().map_err(|(key, problem)| LoadError::Metadata { path: path.into(), key, problem })
    }

    /// As a model file has it: what [`Metadata::parse`] reads.
    #[cfg(any(feature = "detect", feature = "testing", test))]
    pub(crate) fn values(&self) -> HashMap<String, String> {
        let mut values = self.network.values(&self.heads);
        values.extend([
            ("format", FORMAT.to_owned()),
            ("format_version", VERSION.to_owned()),
            ("name", self.name.clone()),
            ("family", self.family.to_string()),
            ("classes", serde_json::json!(self.classes).to_string()),
            ("input", serde_json::json!([self.input.0, self.input.1]).to_string()),
            ("score_threshold", self.score_threshold.to_string()),
            ("iou_threshold", self.iou_threshold.to_string()),
            ("max_boxes", self.max_boxes.to_string()),
        ]);
        if let Some(ranges) = &self.ranges {
            values.insert(RANGES, serde_json::json!(ranges).to_string());
        }
        values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// The network's layers.
    pub(crate) fn graph(&self) -> Graph {
        self.network.graph(self.classes.len())
    }

    /// With the values that `options` set in place of the file's.
    pub(crate) fn with_options(mut self, options: &LoadOptions) -> Result<Self, LoadError> {
        let error = |option| move |problem| LoadError::Option { option, problem };
        let checked = |metadata: &Self, option| {
            metadata.check().map_err(|(_, problem)| LoadError::Option { option, problem })
        };
        if let Some((height, width)) = options.input {
            self.input = (height, width);
            checked(&self, "input")?;
        }
        if let Some(classes) = &options.classes {
            let (found, expected) = (classes.len(), self.classes.len());
            if found != expected {
                return Err(error("classes")(format!("{found} names for the model's {expected} classes")));
            }
            self.classes.clone_from(classes);
            checked(&self, "classes")?;
        }
        if let Some(threshold) = options.score_threshold {
            self.score_threshold = threshold;
            checked(&self, "score_threshold")?;
        }
        if let Some(threshold) = options.iou_threshold {
            self.iou_threshold = threshold;
            checked(&self, "iou_threshold")?;
        }
        Ok(self)
    }

    pub(crate) fn info(&self) -> ModelInfo {
        ModelInfo {
            name: self.name.clone(),
            family: self.family.to_string(),
            // At most `MAX_INPUT`.
            input_width: self.input.1 as u32,
            input_height: self.input.0 as u32,
            classes: self.classes.clone(),
        }
    }
}
