//! What the tests across processes share: Sluice's own programs as child processes that never outlive a test,
//! network namespaces and container engines that are removed whatever happens, and clips made on the spot.
//!
//! The tests run the programs as a user would, so these must have been built in the same profile before:
//! `cargo xtask test` does that; by hand, `cargo build --release && cargo test --release -p sluice-tests`.

mod busybox;
mod cgroups;
pub mod clip;
pub mod docker;
pub mod hosted;
pub mod models;
pub mod net;
pub mod podman;
mod processes;
pub mod program;
pub mod promise;
pub mod sink;
pub mod trace;
pub mod vm;

use std::time::{Duration, Instant};

/// Polls `condition` every 20 ms until it holds, or until `limit` has passed; says whether it held.
pub fn eventually(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if condition() {
            return true;
        }
        if start.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Prints why a test cannot run here, in the form that `cargo xtask test` counts.
pub fn skipped(why: &str) {
    println!("SKIPPED: {why}");
}
