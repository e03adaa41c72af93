//! The sections that are known, each by itself.

use super::cfg::{Problem, Section};
use crate::graph::bounds::{MAX_CHANNELS, MAX_REACH};
use crate::graph::{Activation, ConvSpec, Geometry, Norm, Window};

/// What sections may be, for a message.
const SUPPORTED: &str =
    "not supported; supported are convolutional, shortcut, route, upsample, maxpool, dropout and yolo";
/// Darknet's slope of leaky activations.
const LEAKY_SLOPE: f32 = 0.1;
/// Most inputs of a route.
const MAX_ROUTE: usize = 64;
/// Most anchors that a section lists.
const MAX_ANCHORS: usize = 1000;
/// Most classes; the metadata's check has a smaller bound.
const MAX_CLASSES: usize = 100_000;

/// A section after the first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layer {
    Convolution(ConvSpec),
    Shortcut(Shortcut),
    /// Layers one after the other.
    Route(Vec<usize>),
    Upsample,
    MaxPool(Window),
    /// Does nothing outside of training.
    Dropout,
    Yolo(Yolo),
}

/// Another layer added to the one before.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shortcut {
    pub(super) from: usize,
    /// What is applied to the sum, if anything.
    pub(super) activation: Option<Activation>,
}

/// A head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Yolo {
    /// Width and height in input pixels.
    pub(super) anchors: Vec<[f32; 2]>,
    pub(super) classes: usize,
    pub(super) threshold: Option<f32>,
    pub(super) overlap: Option<f32>,
}

/// Reads the section of the layer at `index`.
pub(super) fn read(section: &Section<'_>, index: usize) -> Result<Layer, Problem> {
    match section.name {
        "convolutional" | "conv" => convolution(section, index).map(Layer::Convolution),
        "shortcut" => shortcut(section, index).map(Layer::Shortcut),
        "route" => route(section, index).map(Layer::Route),
        "upsample" => {
            section.only("stride", 2.0)?;
            section.only("scale", 1.0)?;
            Ok(Layer::Upsample)
        }
        "maxpool" | "max" => max_pool(section).map(Layer::MaxPool),
        "dropout" => Ok(Layer::Dropout),
        "yolo" => yolo(section).map(Layer::Yolo),
        _ => Err(section.problem(SUPPORTED)),
    }
}

fn convolution(section: &Section<'_>, index: usize) -> Result<ConvSpec, Problem> {
    for (key, supported) in
        [("groups", 1.0), ("dilation", 1.0), ("binary", 0.0), ("xnor", 0.0), ("flipped", 0.0)]
    {
        section.only(key, supported)?;
    }
    for key in ["stride_x", "stride_y", "share_index", "antialiasing"] {
        if section.text(key).is_some() {
            return Err(section.problem_of(key, "is not supported"));
        }
    }
    let kernel = bounded(section, "size", 1, MAX_REACH)?;
    let stride = bounded(section, "stride", 1, MAX_REACH)?;
    if kernel.is_multiple_of(2) {
        return Err(section.problem_of("size", format_args!("{kernel} is not supported, only odd ones")));
    }
    let padding =
        if section.number("pad", 0)? != 0 { kernel / 2 } else { section.number("padding", 0usize)? };
    if padding != kernel / 2 {
        let problem = format!("a padding of {padding} is not supported for a size of {kernel}, only pad=1");
        return Err(section.problem_of("pad", problem));
    }
    let out_channels = bounded(section, "filters", 1, MAX_CHANNELS)?;
    let norm = if section.number("batch_normalize", 0)? != 0 { Norm::Batch } else { Norm::Bias };
    Ok(ConvSpec {
        name: format!("layer{index}"),
        geometry: Geometry { in_channels: 0, out_channels, kernel, stride },
        norm,
        activation: activation(section, "logistic")?,
    })
}

fn activation(section: &Section<'_>, default: &str) -> Result<Activation, Problem> {
    match section.text("activation").unwrap_or(default) {
        "linear" => Ok(Activation::Identity),
        "relu" => Ok(Activation::Relu),
        "leaky" => Ok(Activation::LeakyRelu(LEAKY_SLOPE)),
        "swish" => Ok(Activation::Silu),
        other => {
            let problem = format!("{other} is not supported; supported are linear, relu, leaky and swish");
            Err(section.problem_of("activation", problem))
        }
    }
}

fn shortcut(section: &Section<'_>, index: usize) -> Result<Shortcut, Problem> {
    if section.text("weights_type").is_some_and(|kind| kind != "none") {
        return Err(section.problem_of("weights_type", "is not supported"));
    }
    let [from] = inputs(section, index, "from")?[..] else {
        return Err(section.problem_of("from", "several layers are not supported"));
    };
    let activation = activation(section, "linear")?;
    Ok(Shortcut { from, activation: (activation != Activation::Identity).then_some(activation) })
}

fn route(section: &Section<'_>, index: usize) -> Result<Vec<usize>, Problem> {
    section.only("groups", 1.0)?;
    inputs(section, index, "layers")
}

/// The layers that an option names: by position, or back from the section where negative.
fn inputs(section: &Section<'_>, index: usize, key: &str) -> Result<Vec<usize>, Problem> {
    let numbers = section.list::<isize>(key, MAX_ROUTE)?.unwrap_or_default();
    if numbers.is_empty() {
        return Err(section.problem(format_args!("{key} is missing")));
    }
    let absolute = |number: isize| {
        let layer = if number < 0 { index.checked_add_signed(number) } else { Some(number.unsigned_abs()) };
        layer.filter(|&layer| layer < index).ok_or_else(|| {
            section
                .problem_of(key, format_args!("{number} is no layer before this one, which is layer {index}"))
        })
    };
    numbers.into_iter().map(absolute).collect()
}

fn max_pool(section: &Section<'_>) -> Result<Window, Problem> {
    for key in ["stride_x", "stride_y", "maxpool_depth", "antialiasing"] {
        if section.text(key).is_some() {
            return Err(section.problem_of(key, "is not supported"));
        }
    }
    let stride = bounded(section, "stride", 1, MAX_REACH)?;
    let size = bounded(section, "size", stride, MAX_REACH)?;
    let padding = section.number("padding", size - 1)?;
    if padding != size - 1 {
        let problem = format!("{padding} is not supported for a size of {size}, only {}", size - 1);
        return Err(section.problem_of("padding", problem));
    }
    Ok(Window { size, stride, before: padding / 2 })
}

fn yolo(section: &Section<'_>) -> Result<Yolo, Problem> {
    section.only("scale_x_y", 1.0)?;
    section.only("new_coords", 0.0)?;
    let classes = match section.number("classes", 20)? {
        classes @ 1..=MAX_CLASSES => classes,
        classes => {
            return Err(section.problem_of("classes", format_args!("{classes} is not 1 to {MAX_CLASSES}")));
        }
    };
    let sides: Vec<f32> = section.list("anchors", 2 * MAX_ANCHORS)?.unwrap_or_default();
    let (all, rest) = sides.as_chunks::<2>();
    if all.is_empty() || !rest.is_empty() {
        return Err(section.problem_of("anchors", "pairs of width and height are needed"));
    }
    let anchors = match section.list::<usize>("mask", MAX_ANCHORS)? {
        None => all.to_vec(),
        Some(mask) => mask
            .into_iter()
            .map(|anchor| {
                let anchor_of = all.get(anchor).copied();
                anchor_of
                    .ok_or_else(|| section.problem_of("mask", format_args!("there is no anchor {anchor}")))
            })
            .collect::<Result<_, _>>()?,
    };
    let fraction = |key| match section.text(key) {
        None => Ok(None),
        Some(_) => match section.number(key, 0.0)? {
            fraction if (0.0..=1.0).contains(&fraction) => Ok(Some(fraction)),
            other => Err(section.problem_of(key, format_args!("{other} is not between 0 and 1"))),
        },
    };
    Ok(Yolo { anchors, classes, threshold: fraction("thresh")?, overlap: fraction("nms_threshold")? })
}

/// A number from 1 to a bound.
fn bounded(section: &Section<'_>, key: &str, default: usize, most: usize) -> Result<usize, Problem> {
    match section.number(key, default)? {
        number if (1..=most).contains(&number) => Ok(number),
        number => Err(section.problem_of(key, format_args!("{number} is not 1 to {most}"))),
    }
}
