//! What went over the uplink, seen from the host's side of the limit: the links' own counters, and a trace of
//! the packets that reached the bridge.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};

use super::network::BRIDGE;
use crate::packet_socket::PacketSocket;
use crate::wire::{ETHERNET, wire_bytes};

/// Counters of both ends of the limit at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// Packets that the edge sent, before the limit.
    sent: u64,
    /// Packets that passed it.
    passed: u64,
    /// Bytes that passed it, Ethernet headers left out.
    bytes: u64,
}

impl Counters {
    /// Reads them from sysfs; an edge that has no link yet has sent nothing.
    ///
    /// # Errors
    ///
    /// If a link has gone.
    pub fn read(edge_link: Option<&str>) -> Result<Self> {
        let counter = |link: &str, name: &str| -> Result<u64> {
            let path = format!("/sys/class/net/{link}/statistics/{name}");
            let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
            text.trim().parse().with_context(|| format!("{path} is not a number"))
        };
        Ok(Self {
            passed: counter(BRIDGE, "rx_packets")?,
            bytes: counter(BRIDGE, "rx_bytes")?,
            sent: edge_link.map_or(Ok(0), |link| counter(link, "rx_packets"))?,
        })
    }

    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            sent: self.sent.saturating_sub(earlier.sent),
            passed: self.passed.saturating_sub(earlier.passed),
            bytes: self.bytes.saturating_sub(earlier.bytes),
        }
    }

    /// These counters when the edge's link has gone, and `last` was read when it was still there: what passed since then
    /// had been sent, too.
    pub fn without_link(self, last: &Self) -> Self {
        Self { sent: last.sent + self.passed.saturating_sub(last.passed), ..self }
    }

    /// Bytes that passed with one Ethernet header for each packet (a bridge counts what it receives without it); of
    /// a segmented packet the kernel counts one set of headers only.
    pub fn frame_bytes(&self) -> u64 {
        self.bytes + ETHERNET as u64 * self.passed
    }

    /// Packets that the limit took.
    pub fn dropped(&self) -> u64 {
        self.sent.saturating_sub(self.passed)
    }
}

/// A trace being taken.
#[derive(Debug)]
pub struct Tracer {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<Result<Trace>>,
}

/// A finished trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// Seconds from the start, and bytes on the wire, of each packet.
    pub packets: Vec<(f64, u64)>,
    /// Bytes as the links count them: a segmented packet with one set of headers.
    pub frame_bytes: u64,
    /// Packets that the trace missed.
    pub lost: u64,
}

impl Trace {
    /// Bytes on the wire: every segment with headers of its own.
    pub fn wire_bytes(&self) -> u64 {
        self.packets.iter().map(|(_, bytes)| bytes).sum()
    }
}

impl Tracer {
    /// Starts a thread that writes what the bridge receives to `path`, times counted from `start`.
    ///
    /// # Errors
    ///
    /// If the socket or the file cannot be opened.
    pub fn start(path: &Path, start: SystemTime) -> Result<Self> {
        let index = nix::net::if_::if_nametoindex(BRIDGE).with_context(|| format!("no link {BRIDGE}"))?;
        let socket =
            PacketSocket::open(index).with_context(|| format!("cannot trace the packets of {BRIDGE}"))?;
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let thread = std::thread::spawn({
            let (stop, bytes, path) = (Arc::clone(&stop), Arc::clone(&bytes), path.to_owned());
            move || {
                trace(&socket, file, start, &stop, &bytes)
                    .with_context(|| format!("the packet trace {} failed", path.display()))
            }
        });
        Ok(Self { stop, bytes, thread })
    }

    /// Bytes on the wire so far.
    pub fn wire_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the trace has ended before it was asked to: it has failed.
    pub fn has_failed(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the trace.
    ///
    /// # Errors
    ///
    /// If it could not be written or the socket failed.
    pub fn finish(self) -> Result<Trace> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("the packet trace panicked")))
    }
}

fn trace(
    socket: &PacketSocket,
    file: File,
    start: SystemTime,
    stop: &AtomicBool,
    bytes: &AtomicU64,
) -> Result<Trace> {
    let mut csv = BufWriter::new(file);
    writeln!(csv, "t,bytes")?;
    let start = start.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let (mut buffer, mut trace) = (PacketSocket::buffer(), Trace::default());
    loop {
        // Read before the socket: what came in before the order to stop is still taken.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some(packet) = socket.receive(&mut buffer)? {
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let at = packet.at.unwrap_or_else(now).as_secs_f64() - start;
            let on_wire = wire_bytes(&packet);
            trace.frame_bytes += packet.length as u64;
            trace.packets.push((at, on_wire));
            bytes.fetch_add(on_wire, Ordering::Relaxed);
            writeln!(csv, "{at:.6},{on_wire}")?;
        }
        csv.flush()?;
        trace.lost += u64::from(socket.lost());
        if stopping {
            // Packets of two processors can arrive a little out of order.
            trace.packets.sort_by(|a, b| a.0.total_cmp(&b.0));
            return Ok(trace);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_subtract() {
        let earlier = Counters { sent: 10, passed: 8, bytes: 1000 };
        let later = Counters { sent: 30, passed: 20, bytes: 3000 };
        let run = later.since(&earlier);
        assert_eq!((run.dropped(), run.frame_bytes()), (8, 2000 + 12 * 14));
        let end = Counters { sent: 0, passed: 22, bytes: 3100 }.without_link(&later);
        assert_eq!((end.since(&earlier).dropped(), end.sent), (8, 32));
    }
}
