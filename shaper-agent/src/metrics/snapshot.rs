//! What the agent tells of its limits.

use shaper_common::layout::Counters;

use crate::spec::{Direction, Mode, Target};

/// All wanted limits, at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// One for each direction of each target.
    pub limits: Vec<LimitSnapshot>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSnapshot {
    /// Whose traffic.
    pub target: Target,
    /// The interface that it passes, by name; empty while the target is not there and for a cgroup.
    pub iface: String,
    /// Which way.
    pub direction: Direction,
    /// How it is limited: as wanted while it is not in force.
    pub mode: Mode,
    /// The rate, in bits per second.
    pub rate_bit_s: u64,
    /// What may leave at once after a pause, in bytes.
    pub burst_bytes: u64,
    /// Whether the kernel limits the traffic now.
    pub in_force: bool,
    /// How long the traffic would have to pause for the whole burst to be there again, in seconds.
    pub debt_seconds: f64,
    /// What all CPUs together have counted since the limit was put in force.
    pub counters: Counters,
}
