//! The command `detect`, run as its users run it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod evaluate;
mod image;
mod model;
mod support;
mod video;
