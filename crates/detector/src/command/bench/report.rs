//! What `detect bench` says.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::{LayerTime, Profile, Stages};

/// `docs/schema/detect-bench.schema.json`. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) model: String,
    pub(super) family: String,
    pub(super) input_height: u32,
    pub(super) input_width: u32,
    pub(super) picture_height: u32,
    pub(super) picture_width: u32,
    /// Null on a GPU.
    pub(super) threads: Option<usize>,
    /// The processor's vector instructions; null on a GPU.
    pub(super) instruction_set: Option<&'static str>,
    /// Its model; absent on the processor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gpu: Option<String>,
    pub(super) precision: &'static str,
    pub(super) runs: u32,
    /// Reading the model file and making it ready.
    pub(super) load_ms: f64,
    /// Of the first size of batch.
    #[serde(flatten)]
    pub(super) times: Times,
    pub(super) stages: StageTimes,
    /// Of every size of batch, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) batches: Vec<Times>,
    /// Only with `--layers`, and not on a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) layers: Option<Layers>,
}

/// What a batch takes, from pixels to detections; decoding of the file is not included.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Times {
    /// Pictures.
    pub(super) batch: usize,
    pub(super) least_ms: f64,
    pub(super) median_ms: f64,
    pub(super) p90_ms: f64,
    pub(super) most_ms: f64,
}

impl Times {
    /// Of the runs of a batch of so many pictures, which took these milliseconds.
    pub(super) fn new(batch: usize, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let [least_ms, median_ms, p90_ms, most_ms] =
            [0.0, 0.5, 0.9, 1.0].map(|share| quantile(&times, share));
        Self { batch, least_ms, median_ms, p90_ms, most_ms }
    }
}

/// The median of each stage, for a picture.
#[derive(Debug, Serialize)]
pub(super) struct StageTimes {
    /// The file to pixels; null without one.
    decoding_ms: Option<f64>,
    scaling_ms: f64,
    network_ms: f64,
    boxes_ms: f64,
    /// Boxes of a picture that reached the score threshold.
    candidates: usize,
}

impl StageTimes {
    /// Of runs of batches of so many pictures each, and what decoding the file took.
    pub(super) fn new(decoding_ms: Option<f64>, batch: usize, runs: &[Stages]) -> Self {
        let median = |stage: fn(&Stages) -> Duration| {
            let mut times: Vec<f64> = runs.iter().map(|run| stage(run).as_secs_f64() * 1e3).collect();
            times.sort_by(f64::total_cmp);
            quantile(&times, 0.5) / batch as f64
        };
        Self {
            decoding_ms,
            scaling_ms: median(|run| run.scaling),
            network_ms: median(|run| run.network),
            boxes_ms: median(|run| run.boxes),
            // The picture is always the same.
            candidates: runs.first().map_or(0, |run| run.candidates / batch),
        }
    }
}

/// What each layer takes.
#[derive(Debug, Serialize)]
pub(super) struct Layers {
    /// Of one thread, in 10⁹ multiplications and additions a second.
    peak_gflops: f64,
    /// The same in the network's precision; only where that is not single.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_lower_gops: Option<f64>,
    /// What all threads together read from memory, in 10⁹ bytes a second.
    reading_gb_s: f64,
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
    /// Its packed weights once, its inputs and its output.
    bytes: u64,
    /// Those bytes by time and what is read from memory at most; above 1 where they are in a cache.
    share_of_reading: f64,
}

impl From<Profile> for Layers {
    fn from(profile: Profile) -> Self {
        let threads = profile.threads as f64;
        let layer = |layer: LayerTime| {
            let seconds = layer.time.as_secs_f64().max(1e-9);
            Layer {
                name: layer.name,
                method: layer.method,
                flops: layer.flops,
                median_ms: layer.time.as_secs_f64() * 1e3,
                share_of_peak: layer.flops as f64 / seconds / (layer.peak_flops * threads),
                bytes: layer.bytes,
                share_of_reading: layer.bytes as f64 / seconds / profile.reading,
            }
        };
        Self {
            peak_gflops: profile.peak_flops / 1e9,
            peak_lower_gops: profile.peak_lower.map(|peak| peak / 1e9),
            reading_gb_s: profile.reading / 1e9,
            layers: profile.layers.into_iter().map(layer).collect(),
        }
    }
}

/// The value below which this share of `sorted`, which is not empty, lies; between two values, their mixture.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

pub(super) fn write_text(report: &Report, output: &mut dyn Write) -> Result<()> {
    let mut line = |name: &str, value: &dyn std::fmt::Display| writeln!(output, "{name:10}{value}");
    line("model", &format_args!("{} ({})", report.model, report.family))?;
    line("input", &format_args!("{}x{} (height x width)", report.input_height, report.input_width))?;
    line("picture", &format_args!("{}x{}", report.picture_height, report.picture_width))?;
    match report.threads {
        Some(threads) => {
            let set = report.instruction_set.unwrap_or_default();
            line("threads", &format_args!("{threads}, {set}, {}", report.precision))?;
        }
        None => {
            let gpu = report.gpu.as_deref().unwrap_or("unknown");
            line("GPU", &format_args!("{gpu}, {}", report.precision))?;
        }
    }
    line("load", &format_args!("{:.0} ms", report.load_ms))?;
    let times = &report.times;
    let detect = if times.batch == 1 { "detect".into() } else { format!("{} at once", times.batch) };
    line(
        &detect,
        &format_args!(
            "median {:.1} ms, 90th percentile {:.1} ms, {:.1} to {:.1} ms, {} runs",
            times.median_ms, times.p90_ms, times.least_ms, times.most_ms, report.runs
        ),
    )?;
    let StageTimes { decoding_ms, scaling_ms, network_ms, boxes_ms, candidates } = &report.stages;
    line(
        "of which",
        &format_args!(
            "scaling {scaling_ms:.2} ms, network {network_ms:.1} ms, boxes {boxes_ms:.2} ms ({candidates} above the threshold)"
        ),
    )?;
    if let Some(decoding_ms) = decoding_ms {
        line("before it", &format_args!("decoding the file {decoding_ms:.2} ms"))?;
    }
    if let Some(single) = report.batches.first() {
        writeln!(output, "\n{:>8}{:>12}{:>14}{:>9}", "batch", "ms", "ms a picture", "ratio")?;
        for times in &report.batches {
            let each = |times: &Times| times.median_ms / times.batch as f64;
            let ratio = each(times) / each(single);
            writeln!(
                output,
                "{:>8}{:>12.1}{:>14.2}{:>9.2}",
                times.batch,
                times.median_ms,
                each(times),
                ratio
            )?;
        }
    }
    let Some(layers) = &report.layers else { return Ok(()) };
    writeln!(
        output,
        "\n{:28}{:16}{:>9}{:>11}{:>9}{:>8}{:>11}",
        "layer", "method", "ms", "GFLOP/s", "of peak", "GB/s", "of memory"
    )?;
    for layer in &layers.layers {
        let rate = |what: u64| what as f64 / 1e6 / layer.median_ms;
        write!(output, "{:28}{:16}{:>9.3}", layer.name, layer.method, layer.median_ms)?;
        if layer.flops > 0 {
            write!(output, "{:>11.1}{:>8.0}%", rate(layer.flops), 100.0 * layer.share_of_peak)?;
        } else {
            write!(output, "{:20}", "")?;
        }
        writeln!(output, "{:>8.1}{:>10.0}%", rate(layer.bytes), 100.0 * layer.share_of_reading)?;
    }
    write!(output, "\nOne thread can do {:.1} GFLOP/s at most", layers.peak_gflops)?;
    if let Some(peak) = layers.peak_lower_gops {
        write!(output, ", and {peak:.1} in {}", report.precision)?;
    }
    writeln!(output, "; all together read {:.1} GB/s from memory.", layers.reading_gb_s)?;
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
