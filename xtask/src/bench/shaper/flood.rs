//! More than any limit lets through, whatever becomes of it: UDP at a steady rate from the container to the host.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::pair::Pair;

/// Bytes of Ethernet, IPv6 and UDP headers; with IPv4's a frame is a little shorter than full.
const HEADERS: usize = 14 + 40 + 8;
/// Bytes of a full frame.
const FRAME: usize = 1514;
/// How often packets are sent.
const STEP: Duration = Duration::from_millis(1);

/// A flood being sent. Dropping it ends it.
#[derive(Debug)]
pub struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Where the packets go; nobody reads them.
    _drain: UdpSocket,
}

impl Flood {
    /// Begins to send about `rate` bit/s.
    ///
    /// # Errors
    ///
    /// If a socket cannot be opened.
    pub fn start(pair: &Pair, rate: u64) -> Result<Self> {
        let drain = pair.host.run(|| Ok(UdpSocket::bind(pair.host_address(0))?))?;
        let address = drain.local_addr()?;
        let socket = pair.container.run(|| {
            let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(socket)
        })?;
        // Where the limit is a queue inside the container, sending waits for it.
        socket.set_write_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::<AtomicBool>::default();
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || send(&socket, rate, &stop)
        });
        Ok(Self { stop, thread: Some(thread), _drain: drain })
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// If its thread failed.
    pub fn finish(mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| anyhow!("the flood's thread panicked"))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn send(socket: &UdpSocket, rate: u64, stop: &AtomicBool) {
    let payload = [0; FRAME - HEADERS];
    let (begin, mut sent) = (Instant::now(), 0);
    while !stop.load(Ordering::Relaxed) {
        let due = (begin.elapsed().as_secs_f64() * rate as f64 / 8.0 / FRAME as f64) as u64;
        while sent < due {
            // A full queue drops: that is what a flood is for.
            socket.send(&payload).ok();
            sent += 1;
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
        std::thread::sleep(STEP);
    }
}
