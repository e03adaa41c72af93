//! What the edge says of itself while it runs.

use serde::{Deserialize, Serialize};

/// The edge's counters since it started. `edge-daemon --status-json` prints one a second, and a last one when
/// it has stopped.
///
/// A captured frame is inferred unless a newer one arrived first; an inferred frame is hard or not; a hard
/// frame ends as exactly one of answered, expired, displaced and failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeStatus {
    /// Frames that the source delivered.
    pub captured: u64,
    /// Frames that the little model judged.
    pub inferred: u64,
    /// Frames that the mining found hard.
    pub hard: u64,
    /// Hard frames whose upload was begun.
    pub uploaded: u64,
    /// Hard frames that the cloud answered in time.
    pub answered: u64,
    /// Hard frames whose deadline passed.
    pub expired: u64,
    /// Hard frames that gave up their place in the queue to newer ones.
    pub displaced: u64,
    /// Hard frames whose upload failed.
    pub failed: u64,
    /// Hard frames waiting now, the one on the wire included.
    pub queued: u64,
    /// Times that the source had to be opened again.
    pub reconnects: u64,
    /// Models that took the place of the one before.
    #[serde(default)]
    pub model_swaps: u64,
    /// Models that were there to take its place, and were refused.
    #[serde(default)]
    pub model_refusals: u64,
    /// Median time from capture to edge result over the last second, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edge_ms: Option<f64>,
    /// Time from capture to answer of the last answered frame, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_cloud_ms: Option<f64>,
}
