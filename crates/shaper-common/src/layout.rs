//! What the maps hold that the kernel program and the agent share.

use crate::bucket::Bucket;

/// The kernel program's name, as the kernel shows it.
pub const PROGRAM: &str = "sluice_upload";
/// Array of one [`Config`].
pub const CONFIG_MAP: &str = "CONFIG";
/// Array of one `u64`: the bucket's theoretical arrival time, in ticks.
pub const STATE_MAP: &str = "STATE";
/// Per-CPU array of one [`Counters`].
pub const COUNTERS_MAP: &str = "COUNTERS";

/// What the agent tells the kernel program. All zero, as before the agent has spoken, lets everything pass.
///
/// The kernel copies it word by word: a packet that comes while it is being changed may see old and new fields mixed.
/// Each is valid with any other, so that at worst one packet is judged by a mixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Config {
    /// The bucket.
    pub bucket: Bucket,
    /// Bytes that the uplink adds to each frame (negative: that it saves).
    pub overhead: i32,
    /// Keeps the size a multiple of eight.
    pub reserved: u32,
}

/// What one CPU has counted. Bytes are wire bytes, overhead included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Counters {
    /// Packets let through (a GSO packet is one).
    pub passed_packets: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// Packets dropped, contended ones included.
    pub dropped_packets: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
    /// Packets of those passed that are small.
    pub small_packets: u64,
    /// Packets of those passed that only the reserve let through.
    pub reserve_packets: u64,
    /// Packets of those passed that are ARP or neighbour discovery.
    pub neighbour_packets: u64,
    /// Packets of those passed that hold several segments.
    pub gso_packets: u64,
    /// Times that another CPU changed the bucket first.
    pub retries: u64,
    /// Packets of those dropped that gave up on the bucket.
    pub contended_packets: u64,
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
            small_packets: sum.small_packets + cpu.small_packets,
            reserve_packets: sum.reserve_packets + cpu.reserve_packets,
            neighbour_packets: sum.neighbour_packets + cpu.neighbour_packets,
            gso_packets: sum.gso_packets + cpu.gso_packets,
            retries: sum.retries + cpu.retries,
            contended_packets: sum.contended_packets + cpu.contended_packets,
        })
    }
}
