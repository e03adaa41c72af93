//! What comes out behind a limit: a trace of every packet that the host's bridge receives.
//!
//! A time stamp is the kernel's own, taken where the bridge receives the packet. A packet with segmentation offload
//! counts as the segments it will be, each with its headers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};

use super::coverage::Coverage;
use super::pair::{BRIDGE, Pair};
use crate::packet_socket::{PacketSocket, Received};
use crate::wire::{Headers, wire_bytes};

/// How often the socket is emptied; its buffer holds far more.
const STEP: Duration = Duration::from_millis(20);

/// One packet behind the limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packet {
    /// Seconds from the trace's begin.
    pub at: f64,
    /// Bytes on the wire.
    pub wire: u32,
    /// Payload bytes of TCP that had not passed before.
    pub fresh: u32,
    /// The sender's port; 0 if it is neither TCP nor UDP.
    pub port: u16,
}

/// A finished trace.
#[derive(Debug, Default)]
pub struct Trace {
    /// When it began, since 1970.
    pub begin: Duration,
    /// The packets in order of time.
    pub packets: Vec<Packet>,
    /// Packets that the trace missed.
    pub lost: u64,
}

/// A trace being taken. Dropping it ends the taking.
#[derive(Debug)]
pub struct Tracer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Trace>>>,
}

impl Trace {
    /// Where the moment `at` (since 1970) lies in the trace, in seconds from its begin.
    pub fn second(&self, at: Duration) -> f64 {
        seconds_between(self.begin, at)
    }
}

impl Tracer {
    /// Begins a trace of what passes from the container to the host.
    ///
    /// # Errors
    ///
    /// If the socket cannot be opened.
    pub fn start(pair: &Pair) -> Result<Self> {
        let socket = pair.host.run(|| {
            let index = nix::net::if_::if_nametoindex(BRIDGE).with_context(|| format!("no link {BRIDGE}"))?;
            PacketSocket::open(index).with_context(|| format!("cannot trace the packets of {BRIDGE}"))
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || take(&socket, &stop).context("the packet trace failed")
        });
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends the trace.
    ///
    /// # Errors
    ///
    /// If the socket failed.
    pub fn finish(mut self) -> Result<Trace> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("the trace has ended before")?;
        thread.join().unwrap_or_else(|_| Err(anyhow!("the packet trace panicked")))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn take(socket: &PacketSocket, stop: &AtomicBool) -> Result<Trace> {
    let (mut buffer, mut trace) = (PacketSocket::buffer(), Trace { begin: now(), ..Trace::default() });
    let mut streams: HashMap<u16, Coverage> = HashMap::new();
    loop {
        // Read before the socket: what came in before the order to stop is still taken.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some(packet) = socket.receive(&mut buffer)? {
            trace.packets.push(read(&packet, trace.begin, &mut streams));
        }
        trace.lost += u64::from(socket.lost());
        if stopping {
            // Packets of two processors can arrive a little out of order.
            trace.packets.sort_by(|a, b| a.at.total_cmp(&b.at));
            return Ok(trace);
        }
        std::thread::sleep(STEP);
    }
}

fn read(packet: &Received<'_>, begin: Duration, streams: &mut HashMap<u16, Coverage>) -> Packet {
    let headers = Headers::read(packet.headers);
    let port = headers.map_or(0, |headers| headers.source_port);
    let fresh = match headers {
        Some(Headers { length, sequence: Some(sequence), .. }) => {
            let payload = packet.length.saturating_sub(length) as u32;
            streams.entry(port).or_default().add(sequence, payload)
        }
        _ => 0,
    };
    Packet {
        at: seconds_between(begin, packet.at.unwrap_or_else(now)),
        wire: u32::try_from(wire_bytes(packet)).unwrap_or(u32::MAX),
        fresh,
        port,
    }
}

/// Seconds from `begin` to `end`, negative if `end` is earlier.
fn seconds_between(begin: Duration, end: Duration) -> f64 {
    // Subtracted before they become floating-point numbers, which hold the time since 1970 only to 0.2 us.
    end.checked_sub(begin)
        .map_or_else(|| -(begin.saturating_sub(end).as_secs_f64()), |after| after.as_secs_f64())
}

/// Now, since 1970.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
