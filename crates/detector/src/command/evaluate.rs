//! `detect evaluate`: average precision against labelled pictures.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use protocol::Detection;
use serde::Serialize;

use super::options::EvaluateOptions;
use super::progress::Progress;
use super::{Interrupt, output_file, picture_file, plot};
use crate::evaluate::coco::{self, Dataset};
use crate::evaluate::{Sample, Summary, summary};
use crate::{Detector, LoadOptions, Precision};

/// `docs/schema/detect-evaluate.schema.json`.
#[derive(Debug, Serialize)]
struct Report<'a> {
    images: usize,
    objects: usize,
    detections: usize,
    map50: Option<f64>,
    map50_95: Option<f64>,
    /// How exactly the model computed; null where its detections were given.
    precision: Option<&'static str>,
    /// The same model file on the same pictures in single precision, where it computed less exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    f32: Option<Single>,
    classes: Vec<Class<'a>>,
    /// Classes of the labels that the model does not have.
    classes_unknown_to_model: Vec<&'a str>,
    /// Classes of the model that the labels do not have; what is found of them does not count.
    classes_without_labels: Vec<&'a str>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Single {
    map50: Option<f64>,
    map50_95: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Class<'a> {
    class: &'a str,
    objects: usize,
    ap50: Option<f64>,
    ap50_95: Option<f64>,
    /// At an IoU of 0.5, at the recalls 0, 0.01, …, 1.
    precision50: Option<&'a [f64]>,
}

pub(super) fn run(options: &EvaluateOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    let labels = &options.labels;
    let mut dataset = Dataset::read(labels).with_context(|| format!("labels {}", labels.display()))?;
    ensure!(!dataset.images.is_empty(), "labels {}: there are no images in it", labels.display());
    // The order in which the reference ranks equal scores.
    dataset.images.sort_by_key(|image| image.id);
    let (found, judged) = match (&options.detections, &options.model, &options.images) {
        (Some(path), ..) => {
            let json =
                fs::read(path).with_context(|| format!("cannot read detections {}", path.display()))?;
            let found = coco::detections_from_json(&json, &dataset)
                .with_context(|| format!("detections {}", path.display()))?;
            (found, None)
        }
        (None, Some(model), Some(directory)) => {
            let load = options.run.load_options(Some(options.score_threshold));
            let detector = Detector::load(model, &load)?;
            let max_pixels = options.pixels.max_pixels;
            let found = detect(&detector, &dataset, directory, max_pixels, interrupt)?;
            let (precision, classes) = (detector.precision(), detector.info().classes.clone());
            // Before another takes as much memory.
            drop(detector);
            let single = if precision == Precision::F32 {
                None
            } else {
                let load = LoadOptions { precision: Some(Precision::F32), ..load };
                let detector = Detector::load(model, &load)?;
                let found = detect(&detector, &dataset, directory, max_pixels, interrupt)?;
                let summary = judge(&dataset, &found);
                Some(Single { map50: summary.map50, map50_95: summary.map50_95 })
            };
            (found, Some(Judged { classes, precision, single }))
        }
        _ => bail!("give either --detections, or --model and the directory of the pictures"),
    };
    if let Some(path) = &options.write_detections {
        output_file::write(path, &coco::detections_to_json(&found, &dataset)?, interrupt)?;
    }
    let summary = judge(&dataset, &found);
    if let Some(path) = &options.plot {
        output_file::write(path, plot::svg(&summary).as_bytes(), interrupt)?;
    }
    let report = report(&dataset, &found, &summary, judged.as_ref());
    if options.json {
        Ok(writeln!(output, "{}", serde_json::to_string_pretty(&report)?)?)
    } else {
        write_text(&report, output)
    }
}

/// What a model's detections are judged by.
fn judge(dataset: &Dataset, found: &[Vec<Detection>]) -> Summary {
    let samples: Vec<Sample<'_>> = dataset
        .images
        .iter()
        .zip(found)
        .map(|(image, detections)| Sample { objects: &image.objects, detections })
        .collect();
    summary(&dataset.classes, &samples)
}

/// The model that was judged.
struct Judged {
    classes: Vec<String>,
    precision: Precision,
    single: Option<Single>,
}

/// What the model finds in each image of the labels, in their order.
fn detect(
    detector: &Detector,
    dataset: &Dataset,
    directory: &Path,
    max_pixels: u64,
    interrupt: &Interrupt,
) -> Result<Vec<Vec<Detection>>> {
    let absent: Vec<&str> = dataset
        .images
        .iter()
        .map(|image| image.file_name.as_str())
        .filter(|name| !directory.join(name).is_file())
        .collect();
    if let Some(first) = absent.first() {
        bail!(
            "{} of the {} images in the labels are not in {}: the first is {first:?}; give the directory that the \
             file names in the labels start from",
            absent.len(),
            dataset.images.len(),
            directory.display()
        );
    }
    let mut found = Vec::with_capacity(dataset.images.len());
    let what = format!("pictures in {}", detector.precision());
    let mut progress = Progress::new(dataset.images.len(), what);
    for image in &dataset.images {
        interrupt.check()?;
        progress.step();
        let path = directory.join(&image.file_name);
        let picture = picture_file::read(&path, max_pixels)?;
        let (width, height) = picture.dimensions();
        ensure!(
            (width, height) == (image.width, image.height),
            "{} has {width}x{height} pixels upright, and {}x{} in the labels: their boxes are of another picture",
            path.display(),
            image.width,
            image.height
        );
        let batch = detector.detect(&[picture]).with_context(|| path.display().to_string())?;
        found.extend(batch);
    }
    Ok(found)
}

fn report<'a>(
    dataset: &'a Dataset,
    found: &[Vec<Detection>],
    summary: &'a Summary,
    judged: Option<&'a Judged>,
) -> Report<'a> {
    let model_classes = judged.map(|model| model.classes.as_slice());
    let labelled: HashSet<&str> = dataset.classes.iter().map(String::as_str).collect();
    let model: Option<HashSet<&str>> =
        model_classes.map(|classes| classes.iter().map(String::as_str).collect());
    let unknown = |class: &&str| model.as_ref().is_some_and(|model| !model.contains(class));
    Report {
        images: dataset.images.len(),
        objects: summary.classes.iter().map(|class| class.objects).sum(),
        detections: found.iter().map(Vec::len).sum(),
        map50: summary.map50,
        map50_95: summary.map50_95,
        precision: judged.map(|model| model.precision.name()),
        f32: judged.and_then(|model| model.single),
        classes: summary
            .classes
            .iter()
            .map(|class| Class {
                class: &class.class,
                objects: class.objects,
                ap50: class.ap50,
                ap50_95: class.ap50_95,
                precision50: class.curve50.as_ref().map(<[f64; _]>::as_slice),
            })
            .collect(),
        classes_unknown_to_model: dataset.classes.iter().map(String::as_str).filter(unknown).collect(),
        classes_without_labels: model_classes
            .unwrap_or_default()
            .iter()
            .map(String::as_str)
            .filter(|class| !labelled.contains(class))
            .collect(),
    }
}

fn write_text(report: &Report<'_>, output: &mut dyn Write) -> Result<()> {
    let figure = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
    let longest = report.classes.iter().map(|class| class.class.chars().count()).max().unwrap_or(0).max(5);
    writeln!(output, "{:longest$}  {:>7}  {:>6}  {:>9}", "class", "objects", "AP@.5", "AP@.5:.95")?;
    for Class { class, objects, ap50, ap50_95, .. } in &report.classes {
        writeln!(output, "{class:longest$}  {objects:7}  {:>6}  {:>9}", figure(*ap50), figure(*ap50_95))?;
    }
    let (map50, map50_95) = (figure(report.map50), figure(report.map50_95));
    writeln!(output, "{:longest$}  {:7}  {map50:>6}  {map50_95:>9}", "mean", report.objects)?;
    writeln!(output, "{} pictures, {} detections", report.images, report.detections)?;
    if let (Some(precision), Some(single)) = (report.precision, report.f32) {
        let cost = |value: Option<f64>, single: Option<f64>| {
            value
                .zip(single)
                .map_or_else(|| "-".to_owned(), |(value, single)| format!("{:+.4}", value - single))
        };
        writeln!(
            output,
            "{precision} instead of f32 with the same weights ({}, {}) changes AP@.5 by {} and AP@.5:.95 by {}",
            figure(single.map50),
            figure(single.map50_95),
            cost(report.map50, single.map50),
            cost(report.map50_95, single.map50_95)
        )?;
    }
    for (classes, what) in [
        (&report.classes_unknown_to_model, "in the labels, unknown to the model"),
        (&report.classes_without_labels, "known to the model, not in the labels and left out"),
    ] {
        if !classes.is_empty() {
            writeln!(output, "{what}: {}", classes.join(", "))?;
        }
    }
    Ok(())
}
