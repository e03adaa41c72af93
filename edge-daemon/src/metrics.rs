//! What `/metrics` shows, in the OpenMetrics text format that Prometheus reads.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use protocol::status::EdgeStatus;

use crate::status::Counters;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters as text, as they are now.
///
/// # Errors
///
/// A value cannot be written as text, which would be a fault of this program.
pub fn text(counters: &Arc<Counters>) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("sluice_edge");
    registry.register_collector(Box::new(Snapshot(counters.snapshot())));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Snapshot(EdgeStatus);

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let status = &self.0;
        for (name, help, value) in [
            ("frames_captured", "Frames that the source delivered", status.captured),
            ("frames_judged", "Frames that the little model judged", status.inferred),
            ("frames_hard", "Judged frames that the mining found hard", status.hard),
            ("uploads", "Hard frames whose upload was begun", status.uploaded),
            ("source_reopened", "Times that the source had to be opened again", status.reconnects),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(metric)?;
        }
        labelled(
            &mut encoder,
            ("hard_frames_ended", "What became of hard frames"),
            [
                ("answered", status.answered),
                ("expired", status.expired),
                ("displaced", status.displaced),
                ("failed", status.failed),
            ],
        )?;
        labelled(
            &mut encoder,
            ("model_swaps", "Models that came to take another's place"),
            [("taken", status.model_swaps), ("refused", status.model_refusals)],
        )?;
        let queued = i64::try_from(status.queued).unwrap_or(i64::MAX);
        let metric = encoder.encode_descriptor(
            "hard_frames_waiting",
            "Hard frames that wait for the uplink, the one on the wire included",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(queued).encode(metric)?;
        for (name, help, milliseconds) in [
            ("judge_seconds", "From capture to the edge's result, median of the last second", status.edge_ms),
            (
                "answer_seconds",
                "From capture to the cloud's answer, of the last answered frame",
                status.last_cloud_ms,
            ),
        ] {
            // Before the first there is nothing to tell, and 0 would be a lie.
            if let Some(milliseconds) = milliseconds {
                let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
                ConstGauge::new(milliseconds / 1e3).encode(metric)?;
            }
        }
        Ok(())
    }
}

/// One counter for each value of the label `outcome`.
fn labelled<const N: usize>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    values: [(&str, u64); N],
) -> Result<(), fmt::Error> {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (outcome, value) in values {
        let labels = [("outcome", outcome)];
        ConstCounter::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_as_prometheus_reads_them() {
        let counters = Arc::new(Counters::default());
        let before = text(&counters).unwrap();
        assert!(!before.contains("judge_seconds"), "{before}");
        counters.captured();
        counters.judged(true, 250.0);
        let text = text(&counters).unwrap();
        for line in [
            "# TYPE sluice_edge_frames_captured counter",
            "sluice_edge_frames_captured_total 1",
            "sluice_edge_frames_hard_total 1",
            "sluice_edge_hard_frames_ended_total{outcome=\"displaced\"} 0",
            "sluice_edge_hard_frames_waiting 1",
            "sluice_edge_judge_seconds 0.25",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "no `{line}` in:\n{text}");
        }
    }
}
