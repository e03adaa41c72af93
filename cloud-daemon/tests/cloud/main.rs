//! The daemon as its callers see it: a process that is spoken to over HTTP.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod infer;
mod process;
mod source;
mod support;
mod swap;
