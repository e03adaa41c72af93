//! The report's plots.

use super::Run;
use super::plot::Plot;
use super::text::{escape, short, time};
use crate::run::samples::scale;
use crate::statistics::{per_second, percentile};

/// The full width of the page, and half of it.
const WIDE: (f64, f64) = (1040.0, 270.0);
const HALF: (f64, f64) = (510.0, 230.0);
/// Seconds of one point of the hard share.
const SHARE_STEP: f64 = 2.0;

/// The uplink in each second, with the limit.
pub fn uplink(run: &Run) -> String {
    let seconds = run.summary.duration_s;
    let bins: Vec<f64> = per_second(&run.packets, seconds).iter().map(|bytes| *bytes as f64 * 8.0).collect();
    let limit = run.summary.rate_bit_s.map(|rate| rate as f64);
    let burst = run.summary.burst_bytes.map_or(0.0, |bytes| bytes as f64 * 8.0);
    let most = bins.iter().copied().chain(limit.map(|limit| (limit + burst) * 1.12)).fold(0.0, f64::max);
    let (factor, unit) = scale(most);
    let points: Vec<(f64, f64)> =
        bins.iter().enumerate().map(|(i, bits)| (i as f64, bits / factor)).collect();
    let mut plot =
        Plot::new("Uplink over time", WIDE, seconds, most / factor).steps(&points, seconds, "uplink");
    if let Some(limit) = limit {
        if burst > 0.0 {
            let label = format!("limit + burst {} {unit}", short((limit + burst) / factor));
            plot = plot.rule((limit + burst) / factor, &label, "burst", false);
        }
        plot = plot.rule(
            limit / factor,
            &format!("limit {} {unit}", short(limit / factor)),
            "limit",
            burst > 0.0,
        );
    }
    plot.svg(unit)
}

/// Each frame's time to the edge result.
pub fn edge_latency(run: &Run) -> String {
    let times: Vec<f64> = run.records.iter().map(|(_, record)| record.timing.edge_ms).collect();
    let points: Vec<(f64, f64, String)> = run
        .records
        .iter()
        .map(|(t, record)| {
            let ms = record.timing.edge_ms;
            (*t, ms, format!("frame {} at {t:.1} s: {}", record.frame, time(ms)))
        })
        .collect();
    // A few stragglers must not press everything else onto the axis.
    let top = percentile(&times, 0.99).unwrap_or(1.0) * 1.3;
    let mut plot = Plot::new("Edge latency", HALF, run.summary.duration_s, top).dots(&points, 1.6, "edge");
    plot = rules(plot, &times, "edge", 1.0);
    plot.svg("ms")
}

/// Each answered frame's time to the cloud's answer.
pub fn cloud_latency(run: &Run) -> String {
    let answered =
        || run.records.iter().filter_map(|(t, record)| Some((*t, record, record.timing.cloud_ms?)));
    let times: Vec<f64> = answered().map(|(_, _, ms)| ms).collect();
    let most = times.iter().copied().fold(0.0, f64::max) * 1.15;
    let (factor, unit) = if most < 1000.0 { (1.0, "ms") } else { (1000.0, "s") };
    let points: Vec<(f64, f64, String)> = answered()
        .map(|(t, record, ms)| {
            (t, ms / factor, format!("frame {} at {t:.1} s: answered after {}", record.frame, time(ms)))
        })
        .collect();
    let radius = if points.len() > 200 { 1.6 } else { 3.0 };
    let plot = Plot::new("Cloud latency", HALF, run.summary.duration_s, most / factor)
        .dots(&points, radius, "cloud");
    rules(plot, &times, "cloud", factor).svg(unit)
}

/// Median and 95th percentile, labelled on the sides that face away from each other.
fn rules(mut plot: Plot, times: &[f64], class: &str, factor: f64) -> Plot {
    for (fraction, name, below) in [(0.95, "p95", false), (0.5, "p50", true)] {
        if let Some(ms) = percentile(times, fraction) {
            plot = plot.rule(ms / factor, &format!("{name} {}", time(ms)), class, below);
        }
    }
    plot
}

/// The share of hard frames.
pub fn hard_share(run: &Run) -> String {
    let seconds = run.summary.duration_s;
    let mut bins = vec![(0_u32, 0_u32); (seconds / SHARE_STEP).ceil().max(1.0) as usize];
    for (t, record) in &run.records {
        if let Some(bin) = bins.get_mut((t / SHARE_STEP).max(0.0) as usize) {
            bin.0 += u32::from(record.hard);
            bin.1 += 1;
        }
    }
    let points: Vec<(f64, f64)> = bins
        .iter()
        .enumerate()
        .filter(|(_, (_, all))| *all > 0)
        .map(|(i, (hard, all))| (i as f64 * SHARE_STEP, 100.0 * f64::from(*hard) / f64::from(*all)))
        .collect();
    let end = points.last().map_or(0.0, |point| (point.0 + SHARE_STEP).min(seconds));
    Plot::new("Share of hard frames", HALF, seconds, 100.0).steps(&points, end, "hard").svg("%")
}

/// Hard frames that wait.
pub fn queue(run: &Run) -> String {
    let points: Vec<(f64, f64)> =
        run.samples.iter().map(|sample| (sample.t, sample.status.queued as f64)).collect();
    let most = points.iter().map(|point| point.1).fold(1.0, f64::max);
    let seconds = run.summary.duration_s;
    let end = points.last().map_or(0.0, |point| point.0);
    Plot::new("Queue", HALF, seconds, most).steps(&points, end, "queue").svg("frames")
}

/// What became of the inferred frames: one bar, its parts named below.
pub fn outcomes(run: &Run) -> String {
    let frames = &run.summary.frames;
    let parts = [
        ("easy, settled at the edge", frames.inferred.saturating_sub(frames.hard), "edge"),
        ("answered by the cloud", frames.answered, "cloud"),
        ("gave way to newer ones", frames.displaced, "displaced"),
        ("too late", frames.expired, "expired"),
        ("failed", frames.failed, "failed"),
    ];
    let all = parts.iter().map(|part| part.1).sum::<u64>().max(1) as f64;
    let present = || parts.iter().filter(|part| part.1 > 0);
    let bar: String = present()
        .map(|(name, count, class)| {
            let share = 100.0 * *count as f64 / all;
            format!(r#"<span class="{class}" style="width:{share:.3}%" title="{name}: {count}"></span>"#)
        })
        .collect();
    let legend: String = present()
        .map(|(name, count, class)| {
            let share = 100.0 * *count as f64 / all;
            format!(r#"<li><i class="{class}"></i>{name} <b>{count}</b> <small>{share:.1} %</small></li>"#)
        })
        .collect();
    format!(r#"<div class="stack">{bar}</div><ul class="legend">{legend}</ul>"#)
}

/// Bars of the accuracy: all classes, then each. Empty without ground truth.
pub fn accuracy(run: &Run) -> String {
    let Some(accuracy) = &run.summary.accuracy else { return String::new() };
    let bar = |name: &str, value: f64, class: &str| {
        let width = (value * 100.0).clamp(0.0, 100.0);
        format!(
            r#"<div class="bar"><span>{name}</span><div><i class="{class}" style="width:{width:.2}%"></i></div><b>{value:.3}</b></div>"#
        )
    };
    let group = |title: &str, [edge, joint, cloud]: [f64; 3]| {
        format!(
            r#"<div class="group"><h3>{}</h3>{}{}{}</div>"#,
            escape(title),
            bar("edge", edge, "edge"),
            bar("joint", joint, "joint"),
            bar("cloud", cloud, "cloud")
        )
    };
    let mut groups = group("all classes", [accuracy.map50_edge, accuracy.map50_joint, accuracy.map50_cloud]);
    for (class, scores) in &accuracy.classes {
        let score = |of: &str| scores[format!("ap50_{of}")].as_f64();
        // A class without a single object in the ground truth has no score.
        if let (Some(edge), Some(joint), Some(cloud)) = (score("edge"), score("joint"), score("cloud")) {
            groups += &group(class, [edge, joint, cloud]);
        }
    }
    format!(r#"<div class="groups">{groups}</div>"#)
}
