//! What the maps hold that the kernel programs and the agent share.

use crate::{flow::FLOWS, limiter::Limiter};

/// The program at the TC ingress of a veth's host side: what the container sends.
pub const UPLOAD_PROGRAM: &str = "sluice_upload";
/// The program at its TC egress: what the container receives.
pub const DOWNLOAD_PROGRAM: &str = "sluice_download";
/// The program at a cgroup's egress.
pub const CGROUP_PROGRAM: &str = "sluice_cgroup";
/// The program that tells senders how fast they may go (see [`pacing`](crate::pacing)).
pub const PACE_PROGRAM: &str = "sluice_pace";
/// The program that lets them go as fast as they can again, once their limits are gone.
pub const RELEASE_PROGRAM: &str = "sluice_release";
/// Hash of [`Config`] by [`Key`].
pub const LIMITS_MAP: &str = "LIMITS";
/// Array of [`State`] by slot.
pub const STATES_MAP: &str = "STATES";
/// Per-CPU array of [`Counters`] by slot.
pub const COUNTERS_MAP: &str = "COUNTERS";
/// Hash of [`Paced`] by the cookies of the sockets whose packets are policed.
pub const PACED_MAP: &str = "PACED";
/// Array of one number, each cgroup program's own: its [`Key`]'s `id`.
pub const CGROUP_GLOBALS: &str = ".bss";

/// Limits that the maps have room for.
pub const SLOTS: u32 = 1024;

/// Where a packet was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(C)]
pub struct Key {
    /// The interface's number, or the number that the agent gave the cgroup.
    pub id: u32,
    /// [`UPLOAD`], [`DOWNLOAD`] or [`CGROUP`].
    pub hook: u32,
}

/// [`Key::hook`] of a TC ingress.
pub const UPLOAD: u32 = 0;
/// [`Key::hook`] of a TC egress.
pub const DOWNLOAD: u32 = 1;
/// [`Key::hook`] of a cgroup's egress.
pub const CGROUP: u32 = 2;

/// A sender that is told how fast it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Paced {
    /// The limit that its packets come through.
    pub key: Key,
    /// What it has been told, in bytes a second; 0 before the first time.
    pub told: u64,
}

/// What the agent tells the kernel program about one limit. It is replaced as a whole: a packet sees the old one or the
/// new one, never a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Config {
    /// The limit.
    pub limiter: Limiter,
    /// The place in the other maps.
    pub slot: u32,
    /// The interface that holds the packets that wait, by its number; 0 if the hook's own queue does.
    pub queue: u32,
    /// Not zero: senders are told how fast they may go.
    pub paced: u64,
}

/// What a limit remembers. The kernel program changes it by compare-and-swap only; the agent only reads it, but for the
/// limit's beginning: it clears it before, and charges what has passed unlimited just after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct State {
    /// The aggregate bucket's theoretical arrival time, in ticks.
    pub total: u64,
    /// The small-packet budget's.
    pub small: u64,
    /// The flow census.
    pub census: u64,
    /// Always zero (see [`Table::zero`](crate::flow::Table::zero)).
    pub zero: u64,
    /// The flow table.
    pub flows: [Place; FLOWS as usize],
}

/// A place in the flow table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Place {
    /// The flow's key in the upper half, the epoch in which it was last counted in the lower.
    pub key: u64,
    /// Its theoretical arrival time at its share, in ticks.
    pub arrival: u64,
    /// What the dropper remembers of it.
    pub dropper: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { total: 0, small: 0, census: 0, zero: 0, flows: [Place::default(); FLOWS as usize] }
    }
}

/// What one CPU has counted. Bytes are wire bytes, overhead included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Counters {
    /// Packets let through (a GSO packet is one), those that wait in the queue included.
    pub passed_packets: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// Packets dropped, whatever the cause.
    pub dropped_packets: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Packets of those dropped whose flow had had its share.
    pub share_drops: u64,
    /// Packets of those dropped so that their sender loses fewer afterwards.
    pub early_drops: u64,
    /// Packets of those dropped that gave up on the bucket, because other CPUs were faster too often.
    pub contended_drops: u64,
    /// Packets of those passed that got a congestion mark.
    pub marked_packets: u64,
    /// Packets of those passed that went through the queue.
    pub queued_packets: u64,
    /// Packets of those passed that are small.
    pub small_packets: u64,
    /// Packets of those passed that went before bulk.
    pub first_packets: u64,
    /// Packets of those passed that are ARP or neighbour discovery.
    pub neighbour_packets: u64,
    /// Packets of those passed that hold several segments.
    pub gso_packets: u64,
    /// Times that another CPU changed the bucket first.
    pub retries: u64,
}

impl Counters {
    /// The sum of what all CPUs have counted.
    #[must_use]
    pub fn sum<'a>(cpus: impl IntoIterator<Item = &'a Self>) -> Self {
        cpus.into_iter().fold(Self::default(), |sum, cpu| Self {
            passed_packets: sum.passed_packets + cpu.passed_packets,
            passed_bytes: sum.passed_bytes + cpu.passed_bytes,
            dropped_packets: sum.dropped_packets + cpu.dropped_packets,
            dropped_bytes: sum.dropped_bytes + cpu.dropped_bytes,
            share_drops: sum.share_drops + cpu.share_drops,
            early_drops: sum.early_drops + cpu.early_drops,
            contended_drops: sum.contended_drops + cpu.contended_drops,
            marked_packets: sum.marked_packets + cpu.marked_packets,
            queued_packets: sum.queued_packets + cpu.queued_packets,
            small_packets: sum.small_packets + cpu.small_packets,
            first_packets: sum.first_packets + cpu.first_packets,
            neighbour_packets: sum.neighbour_packets + cpu.neighbour_packets,
            gso_packets: sum.gso_packets + cpu.gso_packets,
            retries: sum.retries + cpu.retries,
        })
    }
}
