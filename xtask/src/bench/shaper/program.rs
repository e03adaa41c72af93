//! How long a limit's kernel program takes for a packet.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::cell::{Cell, Finding};
use super::limit::Limit;
use super::pair::Pair;
use super::programs::Programs;

/// A rate that no test reaches, in bit/s, and the length of packets that shows what passing costs: a full frame each
/// 80 ns would exceed even this rate.
const FAST: (u64, u64) = (100_000_000_000, 256);
/// A rate at which all but the first packets exceed it, and a full frame.
const SLOW: (u64, u64) = (64_000, 1514);
/// The verdict by which a classifier drops: `TC_ACT_SHOT`.
const DROPPED: i64 = 2;

/// Nanoseconds a packet, the median of five runs of a million packets each.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Timing {
    /// Of packets within the rate.
    pub pass_ns: f64,
    /// Of packets beyond it.
    pub exceed_ns: f64,
}

/// Times the program, on a path that is otherwise idle.
///
/// # Errors
///
/// If the limit cannot be set or the kernel cannot run its program.
pub fn measure(cell: &Cell, programs: &Programs) -> Result<Finding> {
    let (pass_ns, verdict) = time(cell, FAST, programs)?;
    ensure!(verdict != DROPPED, "the kernel program drops packets within the rate");
    let (exceed_ns, verdict) = time(cell, SLOW, programs)?;
    ensure!(verdict == DROPPED, "the kernel program lets packets beyond the rate pass (verdict {verdict})");
    Ok(Finding::Program(Timing { pass_ns, exceed_ns }))
}

/// Nanoseconds a packet, and the last packet's verdict.
fn time(cell: &Cell, (rate, length): (u64, u64), programs: &Programs) -> Result<(f64, i64)> {
    let pair = Pair::create(cell.path())?;
    let limit = Limit::set(cell.limit, &pair, rate, programs)?;
    // The kernel's last neighbour messages would run the program at the same time.
    std::thread::sleep(Duration::from_millis(200));
    let output = pair
        .host
        .command(&programs.peer)?
        .args(["time", "--iface", &pair.link, "--length", &length.to_string()])
        .output()
        .context("cannot run bench-peer")?;
    limit.remove()?;
    if !output.status.success() {
        bail!("bench-peer failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let timing: serde_json::Value = serde_json::from_slice(&output.stdout).context("bench-peer's output")?;
    let figures = timing["ns_per_packet"].as_f64().zip(timing["verdict"].as_i64());
    figures.context("bench-peer gave no time or verdict")
}
