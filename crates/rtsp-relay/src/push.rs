//! Streams that a publisher pushes (ANNOUNCE, RECORD) and viewers play under the same URL.
//!
//! - `registry`: who publishes under which path; begins and ends streams.
//! - `publisher`: takes the H.264 pictures out of what a publisher sends.
//! - `stream`: one stream: the pictures since the last key frame, and the viewers.
//! - `viewer`: one viewer's media.
//! - `pace`: when a picture leaves for a viewer.

mod pace;
mod publisher;
mod registry;
mod stream;
mod viewer;

pub(crate) use publisher::{RECEIVE_LATENCY_MS, receive};
pub(crate) use registry::{Refusal, Registry};
pub(crate) use stream::Stream;

use std::time::Duration;

/// How long after its ANNOUNCE a publisher may take to send a picture. An encoder looks ahead, and on a loaded
/// machine for many seconds.
const FIRST_PICTURE: Duration = Duration::from_secs(20);

/// What pushes are bounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushLimits {
    /// The most streams at a time.
    pub streams: usize,
    /// A publisher that sends no picture for this long has gone.
    pub silence: Duration,
}
