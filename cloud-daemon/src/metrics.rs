//! What `/metrics` shows, in the OpenMetrics text format that Prometheus reads.

use std::fmt;
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the time buckets, in seconds.
const BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reply {
    path: String,
    status: u16,
}

/// What became of a model that was there to take another's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swap {
    /// It serves.
    Taken,
    /// It does not load or compute; the one before goes on.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SwapLabels {
    outcome: &'static str,
}

/// The server's counters.
pub struct Metrics {
    registry: Registry,
    requests: Family<Reply, Counter>,
    total: Histogram,
    queue: Histogram,
    infer: Histogram,
    waiting: Gauge,
    swaps: Family<SwapLabels, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sluice_cloud");
        let histogram = || Histogram::new(BUCKETS);
        let (requests, waiting, swaps) = (Family::default(), Gauge::default(), Family::default());
        let (total, queue, infer) = (histogram(), histogram(), histogram());
        registry.register("requests", "Requests by path and status of the reply", requests.clone());
        registry.register("waiting", "Pictures that wait for the model", waiting.clone());
        registry.register("model_swaps", "Models that came to take another's place", swaps.clone());
        for (name, help, histogram) in [
            ("infer_seconds", "From the last byte of an answered body to the reply", &total),
            ("queue_seconds", "Waiting for the model, of answered pictures", &queue),
            ("model_seconds", "The model, for the batch of an answered picture", &infer),
        ] {
            registry.register(name, help, histogram.clone());
        }
        Self { registry, requests, total, queue, infer, waiting, swaps }
    }
}

impl Metrics {
    /// Counts a reply. `path` must be one of few: each value becomes a time series.
    pub fn reply(&self, path: &str, status: StatusCode) {
        self.requests.get_or_create(&Reply { path: path.into(), status: status.as_u16() }).inc();
    }

    /// Counts a model that came to take another's place.
    pub fn swap(&self, outcome: Swap) {
        let outcome = match outcome {
            Swap::Taken => "taken",
            Swap::Refused => "refused",
        };
        self.swaps.get_or_create(&SwapLabels { outcome }).inc();
    }

    /// Counts an answered picture's times.
    pub fn answered(&self, total: Duration, queue: Duration, infer: Duration) {
        self.total.observe(total.as_secs_f64());
        self.queue.observe(queue.as_secs_f64());
        self.infer.observe(infer.as_secs_f64());
    }

    /// The text, while `waiting` pictures wait.
    ///
    /// # Errors
    ///
    /// If a value cannot be written as text, which would be a fault of this program.
    pub fn text(&self, waiting: usize) -> Result<String, fmt::Error> {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
