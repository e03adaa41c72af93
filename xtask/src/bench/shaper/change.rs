//! How soon a change of the rate bites.
//!
//! A flood keeps the limit busy. After the order to go down, the change has bitten from the first packet on after
//! which no window exceeds the new rate and burst. After the order to go up again, it has bitten with the first
//! packet that the lower limit would not have let through.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::cell::{Cell, Finding};
use super::flood::Flood;
use super::limit::Limit;
use super::pair::Pair;
use super::programs::Programs;
use super::trace::{Trace, Tracer, now};
use crate::interrupt::Interrupt;
use crate::statistics::conforms_from;

/// The higher and the lower rate, and what is sent, in bit/s.
pub const HIGH: u64 = 10_000_000;
const LOW: u64 = 1_000_000;
const SENT: u64 = 14_000_000;
/// How long each rate is in force.
const HOLD: Duration = Duration::from_millis(1500);
/// How often an interruption is looked for.
const STEP: Duration = Duration::from_millis(100);
/// What time stamps may be wrong by, and a packet more than its limit's burst: a full frame.
const SLACK: f64 = 1514.0;

/// How soon a limit followed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Change {
    /// The higher rate in bit/s.
    pub high_bit_s: u64,
    /// The lower rate in bit/s.
    pub low_bit_s: u64,
    /// From the order to go down until the lower rate held, in milliseconds; null if it never did.
    pub down_ms: Option<f64>,
    /// From the order to go up until more than the lower rate passed, in milliseconds; null if it never did.
    pub up_ms: Option<f64>,
    /// How long the order to go down took to be carried out, in milliseconds.
    pub order_ms: f64,
}

/// Measures it on a path of its own.
///
/// # Errors
///
/// If the path or the limit cannot be made, or an order fails.
pub fn measure(cell: &Cell, programs: &Programs, interrupt: &Interrupt) -> Result<Finding> {
    if let Some(why) = Limit::fixed(cell.limit, programs) {
        return Ok(Finding::NotHere(why.into()));
    }
    let pair = Pair::create(cell.path())?;
    // What the limit allows at once at the lower rate: it says so when it is set.
    let lower = Limit::set(cell.limit, &pair, LOW, programs)?;
    let burst = lower.burst;
    lower.remove()?;
    drop(pair);
    let Some(burst) = burst else {
        return Ok(Finding::NotHere("it does not say what it allows at once".into()));
    };

    let pair = Pair::create(cell.path())?;
    let mut limit = Limit::set(cell.limit, &pair, HIGH, programs)?;
    let tracer = Tracer::start(&pair)?;
    let flood = Flood::start(&pair, SENT)?;
    hold(interrupt)?;
    let down = now();
    limit.change(cell.limit, &pair, LOW, programs)?;
    let order = now().saturating_sub(down);
    hold(interrupt)?;
    let up = now();
    limit.change(cell.limit, &pair, HIGH, programs)?;
    hold(interrupt)?;
    flood.finish()?;
    let trace = tracer.finish()?;
    limit.remove()?;
    let (down_s, up_s) = bites(&trace, trace.second(down), trace.second(up), burst as f64 + SLACK);
    Ok(Finding::Change(Change {
        high_bit_s: HIGH,
        low_bit_s: LOW,
        down_ms: down_s.map(|seconds| seconds * 1e3),
        up_ms: up_s.map(|seconds| seconds * 1e3),
        order_ms: order.as_secs_f64() * 1e3,
    }))
}

fn hold(interrupt: &Interrupt) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < HOLD {
        interrupt.check()?;
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Seconds after `down` and `up` until the change bit, for a lower limit that allows `burst` bytes at once.
fn bites(trace: &Trace, down: f64, up: f64, burst: f64) -> (Option<f64>, Option<f64>) {
    let rate = LOW as f64 / 8.0;
    let packets: Vec<(f64, u64)> =
        trace.packets.iter().map(|packet| (packet.at, packet.wire.into())).collect();
    let [begin, middle] = [down, up].map(|at| packets.partition_point(|packet| packet.0 < at));
    let lower = conforms_from(&packets[begin..middle], rate, burst);
    // The level of the lower limit's bucket, from the time on when it held.
    let (mut level, mut last) = (0.0_f64, f64::NEG_INFINITY);
    let held = lower.map_or(middle, |at| packets.partition_point(|packet| packet.0 < at));
    let higher = packets[held..].iter().find(|&&(at, bytes)| {
        level = (level - rate * (at - last)).max(0.0) + bytes as f64;
        last = at;
        at >= up && level > burst
    });
    (lower.map(|at| at - down), higher.map(|packet| packet.0 - up))
}

#[cfg(test)]
mod tests {
    use super::super::trace::Packet;
    use super::*;

    #[test]
    fn a_change_bites_where_the_trace_changes() {
        // Full frames at 10 Mbit/s, at 1 Mbit/s from 1.1 s on, and at 10 Mbit/s again from 2.05 s on.
        let mut packets = Vec::new();
        let mut at = 0.0;
        while at < 3.0 {
            packets.push(Packet { at, wire: 1514, fresh: 0, port: 1 });
            at += if (1.1..2.05).contains(&at) { 0.012112 } else { 0.001_211_2 };
        }
        let trace = Trace { packets, ..Trace::default() };
        let (down, up) = bites(&trace, 1.0, 2.0, 4000.0);
        assert!((0.09..0.11).contains(&down.unwrap()), "{down:?}");
        assert!((0.05..0.06).contains(&up.unwrap()), "{up:?}");
    }

    #[test]
    fn a_change_that_never_bites() {
        let packets =
            (0..3000).map(|i| Packet { at: f64::from(i) * 1e-3, wire: 1514, fresh: 0, port: 1 }).collect();
        let trace = Trace { packets, ..Trace::default() };
        assert_eq!(bites(&trace, 1.0, 2.0, 1000.0).0, None);
    }
}
