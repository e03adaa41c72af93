//! The words that edge and cloud exchange: detections, the inference reply, problems, and the record of a
//! frame.
//!
//! This crate holds data only: it knows no model, no transport and no file.
//!
//! # Layout
//!
//! - [`Detection`], [`BoundingBox`]: one object found in one picture.
//! - [`infer`]: what `POST /infer` takes and answers.
//! - [`problem`]: error bodies (RFC 9457).
//! - [`record`]: one line of the edge's `results.jsonl`.
//! - [`status`]: the edge's running counters.
//! - [`time`]: RFC 3339 timestamps in UTC.

mod detection;
pub mod infer;
pub mod problem;
pub mod record;
pub mod status;
pub mod time;

pub use detection::{BoundingBox, Detection};
