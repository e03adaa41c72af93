//! What a model file says of its model.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use protocol::infer::ModelInfo;
use serde::de::DeserializeOwned;

use super::LoadError;
use crate::family::LEAKY_SLOPE;
use crate::network::{Channels, Scale, Upsampling, convolutions};
use crate::{Family, LoadOptions};

/// What the format is called, and the version of it that is read and written.
const FORMAT: &str = "sluice-detector";
const VERSION: &str = "1";
/// Largest input height and width; bounds the memory that a file can ask for.
const MAX_INPUT: usize = 2048;
/// Most classes.
const MAX_CLASSES: usize = 1000;
/// Longest model or class name, in bytes.
const MAX_NAME: usize = 256;
/// Most boxes a class; bounds the time of non-maximum suppression.
pub(super) const MAX_BOXES: usize = 10_000;
/// Largest channel multiplier.
const MAX_WIDTH: f64 = 4.0;
/// Most channels of a convolution.
const MAX_CHANNELS: usize = 4096;

/// The description of a model, every value within its bounds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) family: Family,
    pub(crate) channels: Channels,
    pub(crate) upsampling: Upsampling,
    /// The slope of leaky activations, in `0..=1`.
    pub(crate) leaky_slope: f32,
    pub(crate) classes: Vec<String>,
    /// Height and width in pixels, multiples of 32.
    pub(crate) input: (usize, usize),
    /// Width and height in input pixels of three anchors for each of the strides 8, 16 and 32.
    pub(crate) anchors: [[[f32; 2]; 3]; 3],
    pub(crate) score_threshold: f32,
    pub(crate) iou_threshold: f32,
    /// Most detections of one class in one picture.
    pub(crate) max_boxes: usize,
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
        let metadata = Self {
            name: values.get("name")?.to_owned(),
            family: values.parse("family")?,
            channels: if values.has("channels") {
                Channels::Listed(values.json("channels")?)
            } else {
                Channels::Multiplied(values.parse("width")?)
            },
            upsampling: if values.has("upsampling") {
                values.parse("upsampling")?
            } else {
                Upsampling::Nearest
            },
            leaky_slope: if values.has("leaky_slope") { values.parse("leaky_slope")? } else { LEAKY_SLOPE },
            classes: values.json("classes")?,
            input: (height, width),
            anchors: values.json("anchors")?,
            score_threshold: values.parse("score_threshold")?,
            iou_threshold: values.parse("iou_threshold")?,
            max_boxes: values.parse("max_boxes")?,
        };
        metadata.check()?;
        Ok(metadata)
    }

    /// As a model file has it: what [`Metadata::parse`] reads.
    #[cfg(feature = "detect")]
    pub(super) fn values(&self) -> HashMap<String, String> {
        let channels = match &self.channels {
            Channels::Multiplied(width) => ("width", width.to_string()),
            Channels::Listed(channels) => ("channels", serde_json::json!(channels).to_string()),
        };
        let values = [
            ("format", FORMAT.to_owned()),
            ("format_version", VERSION.to_owned()),
            ("name", self.name.clone()),
            ("family", self.family.to_string()),
            channels,
            ("upsampling", self.upsampling.name().to_owned()),
            ("leaky_slope", self.leaky_slope.to_string()),
            ("classes", serde_json::json!(self.classes).to_string()),
            ("input", serde_json::json!([self.input.0, self.input.1]).to_string()),
            ("anchors", serde_json::json!(self.anchors).to_string()),
            ("score_threshold", self.score_threshold.to_string()),
            ("iou_threshold", self.iou_threshold.to_string()),
            ("max_boxes", self.max_boxes.to_string()),
        ];
        values.map(|(key, value)| (key.to_owned(), value)).into()
    }

    /// Whether every value is within its bounds.
    pub(super) fn check(&self) -> Result<(), Problem> {
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
        self.check_channels()?;
        if !self.anchors.iter().flatten().flatten().all(|&side| side > 0.0 && side.is_finite()) {
            return Err(("anchors", "a side is not a positive number".into()));
        }
        check_fraction(self.score_threshold).map_err(|problem| ("score_threshold", problem))?;
        check_fraction(self.iou_threshold).map_err(|problem| ("iou_threshold", problem))?;
        check_fraction(self.leaky_slope).map_err(|problem| ("leaky_slope", problem))?;
        if !(1..=MAX_BOXES).contains(&self.max_boxes) {
            return Err(("max_boxes", format!("{} is not 1 to {MAX_BOXES}", self.max_boxes)));
        }
        Ok(())
    }

    fn check_channels(&self) -> Result<(), Problem> {
        match &self.channels {
            &Channels::Multiplied(width) if !(width > 0.0 && width <= MAX_WIDTH) => {
                Err(("width", format!("{width} is not above 0 and at most {MAX_WIDTH}")))
            }
            Channels::Multiplied(_) => Ok(()),
            Channels::Listed(channels) => {
                let expected = convolutions(&self.scale()).len();
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

    /// With the values that `options` set in place of the file's.
    pub(crate) fn with_options(mut self, options: &LoadOptions) -> Result<Self, LoadError> {
        let error = |option| move |problem| LoadError::Option { option, problem };
        if let Some((height, width)) = options.input {
            check_input(height, width).map_err(error("input"))?;
            self.input = (height, width);
        }
        if let Some(classes) = &options.classes {
            let (found, expected) = (classes.len(), self.classes.len());
            if found != expected {
                return Err(error("classes")(format!("{found} names for the model's {expected} classes")));
            }
            self.classes.clone_from(classes);
            self.check().map_err(|(_, problem)| error("classes")(problem))?;
        }
        if let Some(threshold) = options.score_threshold {
            check_fraction(threshold).map_err(error("score_threshold"))?;
            self.score_threshold = threshold;
        }
        if let Some(threshold) = options.iou_threshold {
            check_fraction(threshold).map_err(error("iou_threshold"))?;
            self.iou_threshold = threshold;
        }
        Ok(self)
    }

    pub(crate) fn scale(&self) -> Scale {
        Scale {
            family: self.family,
            channels: self.channels.clone(),
            classes: self.classes.len(),
            upsampling: self.upsampling,
            activation: self.family.activation(self.leaky_slope),
        }
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

/// The strings of a file, read as what they mean.
struct Values<'a>(&'a HashMap<String, String>);

impl<'a> Values<'a> {
    fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    fn get(&self, key: &'static str) -> Result<&'a str, Problem> {
        self.0.get(key).map(String::as_str).ok_or_else(|| (key, "is missing".into()))
    }

    fn expect(&self, key: &'static str, expected: &str, otherwise: &str) -> Result<(), Problem> {
        match self.get(key)? {
            found if found == expected => Ok(()),
            found => Err((key, format!("{:?} instead of {expected:?}: {otherwise}", shortened(found)))),
        }
    }

    fn parse<T: FromStr<Err: Display>>(&self, key: &'static str) -> Result<T, Problem> {
        let text = self.get(key)?;
        text.parse().map_err(|error| (key, format!("{:?}: {error}", shortened(text))))
    }

    fn json<T: DeserializeOwned>(&self, key: &'static str) -> Result<T, Problem> {
        let text = self.get(key)?;
        serde_json::from_str(text).map_err(|error| (key, format!("{:?}: {error}", shortened(text))))
    }
}

/// The beginning of a value, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
