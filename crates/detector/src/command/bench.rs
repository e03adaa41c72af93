//! `detect bench`: how long a model takes on this machine.

mod report;

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use image::{Rgb, RgbImage};

use super::finding::milliseconds_since;
use super::options::BenchOptions;
use super::{Interrupt, picture_file};
use crate::{Detector, InstructionSet, Stages};
use report::{Layers, Report, StageTimes, Times, quantile, write_text};

pub(super) fn run(options: &BenchOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    let begin = Instant::now();
    let detector =
        Detector::load(&options.model.path, &options.model.run.load_options(options.score_threshold))?;
    let load_ms = milliseconds_since(begin);
    let info = detector.info();
    let (picture, decoding_ms) = match &options.picture {
        Some(path) => {
            let (picture, times) = decoded(options, path, interrupt)?;
            (picture, Some(times))
        }
        None => (made_up(info.input_width, info.input_height), None),
    };
    let (picture_width, picture_height) = picture.dimensions();
    let largest = options.batch.iter().copied().max().unwrap_or(1);
    let pictures = vec![picture; largest];
    let mut timings: Vec<Timing> = options.batch.iter().map(|&batch| Timing::new(batch)).collect();
    for round in 0..options.warmup + options.runs {
        // They take turns, so that what else the machine does falls on all.
        for timing in &mut timings {
            interrupt.check()?;
            let begin = Instant::now();
            let (_, stages) = detector.detect_timed(&pictures[..timing.batch])?;
            if round >= options.warmup {
                timing.times.push(milliseconds_since(begin));
                timing.stages.push(stages);
            }
        }
    }
    let stages = StageTimes::new(decoding_ms, timings[0].batch, &timings[0].stages);
    let batches: Vec<Times> =
        timings.into_iter().map(|Timing { batch, times, .. }| Times::new(batch, times)).collect();
    let layers =
        if options.layers { detector.profile(options.runs as usize, batches[0].batch) } else { None };
    let report = Report {
        model: info.name.clone(),
        family: info.family.clone(),
        input_height: info.input_height,
        input_width: info.input_width,
        picture_height,
        picture_width,
        threads: options.model.run.is_on_processor().then(|| options.model.run.threads()),
        instruction_set: detector.instruction_set().map(InstructionSet::name),
        gpu: detector.gpu().map(str::to_owned),
        precision: detector.precision().name(),
        runs: options.runs,
        load_ms,
        times: batches[0],
        stages,
        batches: if batches.len() > 1 { batches } else { Vec::new() },
        layers: layers.map(Layers::from),
    };
    if options.json {
        Ok(writeln!(output, "{}", serde_json::to_string_pretty(&report)?)?)
    } else {
        write_text(&report, output)
    }
}

/// What the runs of a size of batch took.
struct Timing {
    batch: usize,
    times: Vec<f64>,
    stages: Vec<Stages>,
}

impl Timing {
    fn new(batch: usize) -> Self {
        Self { batch, times: Vec::new(), stages: Vec::new() }
    }
}

/// The picture of a file, and the median of the times that decoding it takes, in milliseconds.
fn decoded(options: &BenchOptions, path: &Path, interrupt: &Interrupt) -> Result<(RgbImage, f64)> {
    let file = picture_file::bytes(path)?;
    let decode = || picture_file::decode(path, &file, options.pixels.max_pixels);
    for _ in 0..options.warmup {
        interrupt.check()?;
        decode()?;
    }
    let mut times = Vec::new();
    for _ in 0..options.runs {
        interrupt.check()?;
        let begin = Instant::now();
        std::hint::black_box(decode()?);
        times.push(milliseconds_since(begin));
    }
    times.sort_by(f64::total_cmp);
    Ok((decode()?, quantile(&times, 0.5)))
}

/// A picture of gradients and edges, the same for the same size.
fn made_up(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]))
}
