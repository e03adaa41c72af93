//! `detect bench`: how long a model takes on this machine.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use image::{Rgb, RgbImage};
use serde::Serialize;

use super::finding::milliseconds_since;
use super::options::BenchOptions;
use super::{Interrupt, picture_file};
use crate::{Detector, InstructionSet, LayerTime, Profile};

/// `docs/schema/detect-bench.schema.json`. Times are in milliseconds.
#[derive(Debug, Serialize)]
struct Report {
    model: String,
    family: String,
    input_height: u32,
    input_width: u32,
    picture_height: u32,
    picture_width: u32,
    /// Null on a GPU.
    threads: Option<usize>,
    /// The processor's vector instructions; null on a GPU.
    instruction_set: Option<&'static str>,
    precision: &'static str,
    runs: usize,
    /// Reading the model file and making it ready.
    load_ms: f64,
    /// Pixels to detections, decoding of the file not included.
    least_ms: f64,
    median_ms: f64,
    p90_ms: f64,
    most_ms: f64,
    /// Only with `--layers`, and not on a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    layers: Option<Layers>,
}

/// What each layer takes.
#[derive(Debug, Serialize)]
struct Layers {
    /// Of one thread, in 10⁹ multiplications and additions a second.
    peak_gflops: f64,
    /// The same in the network's precision; only where that is not single.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_lower_gops: Option<f64>,
    layers: Vec<Layer>,
}

/// A layer.
#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    method: &'static str,
    /// Multiplications and additions of its definition.
    flops: u64,
    median_ms: f64,
    /// The definition's multiplications and additions by time and peak of all threads; Winograd's form needs fewer, so that
    /// it may exceed 1.
    share_of_peak: f64,
}

impl From<Profile> for Layers {
    fn from(profile: Profile) -> Self {
        let threads = profile.threads as f64;
        let layer = |layer: LayerTime| Layer {
            name: layer.name,
            method: layer.method,
            flops: layer.flops,
            median_ms: layer.time.as_secs_f64() * 1e3,
            share_of_peak: layer.flops as f64
                / layer.time.as_secs_f64().max(1e-9)
                / (layer.peak_flops * threads),
        };
        Self {
            peak_gflops: profile.peak_flops / 1e9,
            peak_lower_gops: profile.peak_lower.map(|peak| peak / 1e9),
            layers: profile.layers.into_iter().map(layer).collect(),
        }
    }
}

pub(super) fn run(options: &BenchOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    let begin = Instant::now();
    let detector = Detector::load(&options.model.path, &options.model.run.load_options(None))?;
    let load_ms = milliseconds_since(begin);
    let info = detector.info();
    let picture = match &options.picture {
        Some(path) => picture_file::read(path, options.pixels.max_pixels)?,
        None => made_up(info.input_width, info.input_height),
    };
    let (picture_width, picture_height) = picture.dimensions();
    let batch = [picture];
    for _ in 0..options.warmup {
        interrupt.check()?;
        detector.detect(&batch)?;
    }
    let mut times = Vec::new();
    for _ in 0..options.runs {
        interrupt.check()?;
        let begin = Instant::now();
        detector.detect(&batch)?;
        times.push(milliseconds_since(begin));
    }
    times.sort_by(f64::total_cmp);
    let report = Report {
        model: info.name.clone(),
        family: info.family.clone(),
        input_height: info.input_height,
        input_width: info.input_width,
        picture_height,
        picture_width,
        threads: options.model.run.is_on_processor().then(|| options.model.run.threads()),
        instruction_set: detector.instruction_set().map(InstructionSet::name),
        precision: detector.precision().name(),
        runs: times.len(),
        load_ms,
        least_ms: quantile(&times, 0.0),
        median_ms: quantile(&times, 0.5),
        p90_ms: quantile(&times, 0.9),
        most_ms: quantile(&times, 1.0),
        layers: if options.layers { detector.profile(options.runs as usize).map(Layers::from) } else { None },
    };
    if options.json {
        Ok(writeln!(output, "{}", serde_json::to_string_pretty(&report)?)?)
    } else {
        write_text(&report, output)
    }
}

/// The value below which this share of `sorted`, which is not empty, lies; between two values, their mixture.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

/// A picture of gradients and edges, the same for the same size.
fn made_up(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x ^ y) as u8]))
}

fn write_text(report: &Report, output: &mut dyn Write) -> Result<()> {
    let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(output, "{name:9}{value}");
    line("model", &format_args!("{} ({})", report.model, report.family))?;
    line("input", &format_args!("{}x{} (height x width)", report.input_height, report.input_width))?;
    line("picture", &format_args!("{}x{}", report.picture_height, report.picture_width))?;
    match report.threads {
        Some(threads) => {
            let set = report.instruction_set.unwrap_or_default();
            line("threads", &format_args!("{threads}, {set}, {}", report.precision))?;
        }
        None => line("device", &"GPU")?,
    }
    line("load", &format_args!("{:.0} ms", report.load_ms))?;
    line(
        "detect",
        &format_args!(
            "median {:.1} ms, 90th percentile {:.1} ms, {:.1} to {:.1} ms, {} runs",
            report.median_ms, report.p90_ms, report.least_ms, report.most_ms, report.runs
        ),
    )?;
    let Some(layers) = &report.layers else { return Ok(()) };
    writeln!(output, "\n{:28}{:16}{:>9}{:>11}{:>9}", "layer", "method", "ms", "GFLOP/s", "of peak")?;
    for layer in &layers.layers {
        write!(output, "{:28}{:16}{:>9.3}", layer.name, layer.method, layer.median_ms)?;
        if layer.flops > 0 {
            let rate = layer.flops as f64 / 1e6 / layer.median_ms;
            write!(output, "{rate:>11.1}{:>8.0}%", 100.0 * layer.share_of_peak)?;
        }
        writeln!(output)?;
    }
    write!(output, "\nOne thread can do {:.1} GFLOP/s at most", layers.peak_gflops)?;
    if let Some(peak) = layers.peak_lower_gops {
        write!(output, ", and {peak:.1} in {}", report.precision)?;
    }
    writeln!(output, ".")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|share| quantile(&[7.0], share)), [7.0; 4]);
        let ten: Vec<f64> = (1..=11).map(f64::from).collect();
        assert_eq!([0.0, 0.5, 0.9, 1.0].map(|share| quantile(&ten, share)), [1.0, 6.0, 10.0, 11.0]);
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
    }
}
