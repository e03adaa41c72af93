//! Video in, little model, hard-example mining, uplink, results.
//!
//! ```text
//! source ─ mailbox ─▶ little ▸ mining ─ easy ────────────────▶ results
//!        (one frame)              └─ hard ─▶ uplink ▸ cloud ─▶ results
//! ```
//!
//! The source always reads and the newest frame wins; the little model works on a thread of its own; the uplink has
//! its own queue, so that neither ever waits for the network; results are written by threads of their own.
//!
//! # Layout
//!
//! - [`run`]: one run from its settings to its end: start here.
//! - [`cli`], [`settings`]: flags and environment, and what they resolve to.
//! - [`source`]: GStreamer pipelines, and opening them again; [`source::misp`] reads media times from H.264.
//! - [`frame`], [`mailbox`]: one picture, and the slot in which the newest waits.
//! - [`keeper`], [`little`], [`mining`]: the model and those that come after it, its thread, and the verdict.
//! - [`uplink`]: the queue of hard frames, its policy, and `POST /infer`.
//! - [`results`]: `results.jsonl` and the drawn pictures.
//! - [`status`], [`report`]: counters, and Sedna's local controller.
//! - [`server`], [`metrics`]: the same for Prometheus, and health checks.
//! - [`shell`]: the daemon under another name.
//! - [`score`]: results against ground truth.

mod backoff;
pub mod cli;
pub mod duration;
pub mod frame;
pub mod http_url;
pub mod keeper;
pub mod little;
mod lock;
pub mod logging;
pub mod mailbox;
pub mod metrics;
pub mod mining;
pub mod report;
pub mod results;
pub mod run;
pub mod score;
pub mod server;
pub mod settings;
pub mod shell;
pub mod source;
pub mod status;
pub mod uplink;
