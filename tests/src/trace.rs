//! What a link receives, packet by packet, with the kernel's own time stamps.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use nix::{
    net::if_::if_nametoindex,
    sched::{CloneFlags, setns},
};
use xtask::{
    packet_socket::PacketSocket,
    statistics::window_excess,
    wire::{Headers, wire_bytes},
};

/// How often the socket is emptied; its buffer holds far more.
const STEP: Duration = Duration::from_millis(20);
/// The longest packet that a limit lets go before bulk, in bytes on the wire.
const SMALL: u64 = 128;

/// One packet as the link received it: with segmentation offload several on a wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Packet {
    /// Seconds since 1970.
    pub at: f64,
    /// The sender's Ethernet address.
    pub source: [u8; 6],
    /// The port that it is for; none if it is neither TCP nor UDP.
    pub port: Option<u16>,
    /// Bytes on the wire, each segment with headers of its own.
    pub bytes: u64,
}

/// Packets in order of time.
#[derive(Debug, Default)]
pub struct Trace {
    packets: Vec<Packet>,
}

/// A trace being taken. Dropping it ends the taking.
pub struct Tracer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Trace>>>,
}

impl Tracer {
    /// Begins a trace of all that the link `name` receives: of a bridge, what its ports have for this machine.
    ///
    /// # Errors
    ///
    /// There is no such link, or the kernel gives no packet socket.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_at(Path::new("/proc/self/ns/net"), name)
    }

    /// As [`Tracer::start`], of a link of the network namespace at `namespace`.
    ///
    /// # Errors
    ///
    /// As [`Tracer::start`], or the namespace cannot be entered.
    pub fn start_at(namespace: &Path, name: &str) -> Result<Self> {
        let file = File::open(namespace).with_context(|| namespace.display().to_string())?;
        let link = name.to_owned();
        // A thread stays where it has entered; the socket remains in there.
        let opening = thread::spawn(move || -> Result<PacketSocket> {
            setns(file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            let index = if_nametoindex(link.as_str()).with_context(|| format!("no link {link}"))?;
            PacketSocket::open(index).with_context(|| format!("cannot trace the packets of {link}"))
        });
        let socket = opening.join().unwrap_or_else(|_| bail!("the thread in the namespace failed"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || take(&socket, &stopped));
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Ends the trace.
    ///
    /// # Errors
    ///
    /// The socket failed, or lost packets.
    pub fn finish(mut self) -> Result<Trace> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("it has been ended before")?;
        thread.join().unwrap_or_else(|_| bail!("the thread of the trace failed"))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn take(socket: &PacketSocket, stop: &AtomicBool) -> Result<Trace> {
    let (mut buffer, mut packets, mut lost) = (PacketSocket::buffer(), Vec::new(), 0);
    loop {
        // Read before the socket: what came in before the order to stop is still taken.
        let stopping = stop.load(Ordering::Relaxed);
        while let Some(packet) = socket.receive(&mut buffer)? {
            let Some(source) = packet.headers.get(6..12).and_then(|bytes| bytes.try_into().ok()) else {
                continue;
            };
            packets.push(Packet {
                at: packet.at.unwrap_or_else(since_1970).as_secs_f64(),
                source,
                port: Headers::read(packet.headers).map(|headers| headers.destination_port),
                bytes: wire_bytes(&packet),
            });
        }
        lost += socket.lost();
        if stopping {
            ensure!(lost == 0, "the trace lost {lost} packets");
            // Packets of two processors can arrive a little out of order.
            packets.sort_by(|a, b| a.at.total_cmp(&b.at));
            return Ok(Trace { packets });
        }
        thread::sleep(STEP);
    }
}

impl Trace {
    /// The packets that `wanted` takes.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&Packet) -> bool) -> Self {
        Self { packets: self.packets.iter().filter(|packet| wanted(packet)).copied().collect() }
    }

    /// Their bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.packets.iter().map(|packet| packet.bytes).sum()
    }

    /// Those of the packets that a limit lets go before others.
    #[must_use]
    pub fn small_bytes(&self) -> u64 {
        self.only(|packet| packet.bytes <= SMALL).bytes()
    }

    /// Those of the packets between two times, in seconds since 1970.
    #[must_use]
    pub fn bytes_between(&self, from: f64, to: f64) -> u64 {
        self.only(|packet| (from..to).contains(&packet.at)).bytes()
    }

    /// The most bytes by which any window of the trace, however long, exceeds `rate` (bytes a second) times its length.
    #[must_use]
    pub fn excess(&self, rate: f64) -> f64 {
        let packets: Vec<_> = self.packets.iter().map(|packet| (packet.at, packet.bytes)).collect();
        window_excess(&packets, rate)
    }
}

/// Now, in seconds since 1970.
#[must_use]
pub fn now() -> f64 {
    since_1970().as_secs_f64()
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
