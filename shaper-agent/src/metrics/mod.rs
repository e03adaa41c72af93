//! What `--listen` serves: `/metrics` for Prometheus and `/healthz`.
//!
//! The agent puts a [`Snapshot`] into a [`watch`](tokio::sync::watch) channel whenever it has looked at its limits;
//! requests are answered from the latest one and never touch the kernel.
//!
//! # Layout
//!
//! - `snapshot`: what the agent tells
//! - `server`: listens, serves a bounded number of connections, stops in order
//! - `reply`: from a request to a reply; `text`: the metrics in Prometheus's text format; `health`: the health in JSON

mod health;
mod reply;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod text;

pub use self::{
    server::{ListenError, Server},
    snapshot::{LimitSnapshot, Snapshot},
};
