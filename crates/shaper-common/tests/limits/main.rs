//! The limiter on the host: its theorem, and its words under contention.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod concurrency;
mod dropper;
mod pacing;
mod support;
mod theorem;
mod waiting;
