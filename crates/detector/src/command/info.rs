//! `detect info`: what a model file holds.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::options::InfoOptions;
use crate::model_file::{self, Description};

/// `docs/schema/detect-info.schema.json`.
#[derive(Debug, Serialize)]
struct Info {
    file: String,
    bytes: u64,
    name: String,
    family: String,
    input_height: usize,
    input_width: usize,
    classes: Vec<String>,
    /// Input pixels between neighbouring cells of each head.
    strides: Vec<usize>,
    /// Width and height in input pixels of each head's anchors.
    anchors: Vec<Vec<[f32; 2]>>,
    score_threshold: f32,
    iou_threshold: f32,
    max_boxes: usize,
    /// `class` or `picture`: of what these are the most.
    max_boxes_of: &'static str,
    convolutions: usize,
    parameters: usize,
    /// How weights are stored.
    weights: Vec<&'static str>,
}

pub(super) fn run(options: &InfoOptions, output: &mut dyn Write) -> Result<()> {
    let Description { bytes, metadata, convolutions, parameters, weights } =
        model_file::describe(&options.model)?;
    let info = Info {
        file: options.model.display().to_string(),
        bytes,
        name: metadata.name,
        family: metadata.family.to_string(),
        input_height: metadata.input.0,
        input_width: metadata.input.1,
        classes: metadata.classes,
        strides: metadata.heads.iter().map(|head| head.stride).collect(),
        anchors: metadata.heads.into_iter().map(|head| head.anchors).collect(),
        score_threshold: metadata.score_threshold,
        iou_threshold: metadata.iou_threshold,
        max_boxes: metadata.max_boxes,
        max_boxes_of: if metadata.family.limits_pictures() { "picture" } else { "class" },
        convolutions,
        parameters,
        weights,
    };
    if options.json {
        Ok(writeln!(output, "{}", serde_json::to_string_pretty(&info)?)?)
    } else {
        write_text(&info, output)
    }
}

fn write_text(info: &Info, output: &mut dyn Write) -> Result<()> {
    let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(output, "{name:12}{value}");
    line("file", &format_args!("{}, {:.1} MB", info.file, info.bytes as f64 / 1e6))?;
    line("name", &info.name)?;
    line("network", &info.family)?;
    line("input", &format_args!("{}x{} (height x width)", info.input_height, info.input_width))?;
    line("classes", &info.classes.join(", "))?;
    for (stride, anchors) in info.strides.iter().zip(&info.anchors).filter(|(_, anchors)| !anchors.is_empty())
    {
        let anchors: Vec<_> = anchors.iter().map(|[width, height]| format!("{width}x{height}")).collect();
        line("anchors", &format_args!("stride {stride:<2}: {}", anchors.join(" ")))?;
    }
    if info.anchors.iter().all(Vec::is_empty) {
        let strides: Vec<_> = info.strides.iter().map(usize::to_string).collect();
        line("strides", &format_args!("{}, without anchors", strides.join(", ")))?;
    }
    line(
        "thresholds",
        &format_args!(
            "score {}, IoU {}, at most {} boxes a {}",
            info.score_threshold, info.iou_threshold, info.max_boxes, info.max_boxes_of
        ),
    )?;
    line(
        "weights",
        &format_args!(
            "{} parameters in {} convolutions, stored as {}",
            info.parameters,
            info.convolutions,
            info.weights.join(" and ")
        ),
    )?;
    Ok(())
}
