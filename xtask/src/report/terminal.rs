//! The run in a few lines, for the terminal.

use std::path::Path;

use super::text::{bytes, rate, time, use_of_limit};
use crate::summary::Summary;

/// The lines, without a newline at the end.
pub fn render(summary: &Summary, directory: &Path) -> String {
    let (frames, uplink, latency) = (&summary.frames, &summary.uplink, &summary.latency_ms);
    let seconds = summary.duration_s.max(1e-3);
    let per_second = |count: u64| count as f64 / seconds;
    let share = 100.0 * frames.hard as f64 / frames.inferred.max(1) as f64;
    let times = |p50: Option<f64>, p95: Option<f64>| match (p50, p95) {
        (Some(p50), Some(p95)) => format!("{} median, {} 95th percentile", time(p50), time(p95)),
        _ => "none".into(),
    };
    let limit = use_of_limit(summary).unwrap_or_else(|| "unlimited".to_owned());
    let mut rows = vec![
        ("camera", format!("{} frames, {:.1}/s", frames.captured, per_second(frames.captured))),
        (
            "edge",
            format!(
                "{} frames, {:.1}/s, {} of them hard ({share:.0} %)",
                frames.inferred,
                per_second(frames.inferred),
                frames.hard
            ),
        ),
        (
            "cloud",
            format!(
                "{} answered of {} uploaded; {} gave way to newer ones, {} too late, {} failed",
                frames.answered, frames.uploaded, frames.displaced, frames.expired, frames.failed
            ),
        ),
        (
            "uplink",
            format!(
                "{} in {seconds:.1} s: {} ({limit}), peak {} in a second, {} packets dropped",
                bytes(uplink.bytes),
                rate(uplink.mean_bit_s),
                rate(uplink.peak_1s_bit_s),
                uplink.dropped_packets
            ),
        ),
        ("edge time", times(latency.edge_p50, latency.edge_p95)),
        ("cloud time", times(latency.cloud_p50, latency.cloud_p95)),
    ];
    if let Some(first) = summary.first_result_s {
        rows.push(("first result", format!("after {first:.1} s")));
    }
    if let Some(accuracy) = &summary.accuracy {
        rows.push((
            "accuracy",
            format!(
                "mAP@0.5 {:.3} edge, {:.3} joint, {:.3} cloud, over {} frames",
                accuracy.map50_edge, accuracy.map50_joint, accuracy.map50_cloud, accuracy.frames_scored
            ),
        ));
    }
    rows.push(("report", directory.join(super::FILE).display().to_string()));
    rows.push(("pictures", directory.join("hard_example_cloud_inference_output").display().to_string()));
    rows.iter().map(|(name, text)| format!("{name:13} {text}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_happened() {
        let summary = crate::summary::tests::example();
        let text = render(&summary, Path::new("/runs/1"));
        for part in
            ["24.8/s", "40 %", "99.3 % of 64 kbit/s", "800 packets", "0.740 joint", "/runs/1/report.html"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
