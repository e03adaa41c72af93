//! The limit in a real kernel. Needs root and iproute2; prints `SKIPPED: why` where it cannot run.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod flood;
mod life;
mod lift;
mod pacing;
mod pod;
mod program;
mod support;
mod upload;
