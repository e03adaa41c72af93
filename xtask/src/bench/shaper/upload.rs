//! Bulk uploads from the container to the host: as much as TCP can send, for a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::socket::{getsockopt, setsockopt, sockopt};

use super::pair::Pair;
use super::tcp_info::TcpInfo;

/// How long an end of a connection waits before it looks whether it shall stop.
const STEP: Duration = Duration::from_millis(100);
/// Bytes handed to the kernel at once.
const CHUNK: usize = 128 << 10;
/// How long a connection may take to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// Several uploads at once.
#[derive(Debug)]
pub struct Upload {
    /// Ends the sending.
    stop: Arc<AtomicBool>,
    /// Ends the receiving, later: a receiver that closes first would break its sender's connection.
    over: Arc<AtomicBool>,
    senders: Vec<JoinHandle<Result<Sent>>>,
    receivers: Vec<JoinHandle<Result<u64>>>,
}

/// What became of one upload.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The congestion control that the sender used.
    pub congestion: String,
    /// The sender's port, by which a trace tells the flows apart.
    pub port: u16,
    /// The connection's counters at its end.
    pub info: TcpInfo,
    /// Payload bytes that the receiving program got.
    pub received: u64,
}

impl Upload {
    /// Connects one upload for each of the congestion controls and lets all of them send.
    ///
    /// # Errors
    ///
    /// If one cannot connect, or the kernel has no such congestion control.
    pub fn start(pair: &Pair, congestion: &[String]) -> Result<Self> {
        let listener = pair.host.run(|| Ok(TcpListener::bind(pair.host_address(0))?))?;
        let address = listener.local_addr()?;
        let (stop, over) = (Arc::default(), Arc::default());
        let mut upload = Self { stop, over, senders: Vec::new(), receivers: Vec::new() };
        let mut ready = Vec::new();
        // All connections first, so that they begin to send together.
        for control in congestion {
            let sender = pair
                .container
                .run(|| Ok(TcpStream::connect_timeout(&address, PATIENCE)?))
                .context("no connection")?;
            setsockopt(&sender, sockopt::TcpCongestion, &control.into())
                .with_context(|| format!("this kernel has no congestion control {control}"))?;
            let used = getsockopt(&sender, sockopt::TcpCongestion)?;
            if used.to_string_lossy().trim_end_matches('\0') != control {
                bail!("the kernel took {} for the congestion control {control}", used.display());
            }
            let (receiver, _) = listener.accept()?;
            ready.push((control.clone(), sender, receiver));
        }
        for (control, sender, receiver) in ready {
            let over = Arc::clone(&upload.over);
            upload.receivers.push(std::thread::spawn(move || receive(receiver, &over)));
            let stop = Arc::clone(&upload.stop);
            upload.senders.push(std::thread::spawn(move || send(sender, control, &stop)));
        }
        Ok(upload)
    }

    /// Ends the uploads; what lies in queues is given up.
    ///
    /// # Errors
    ///
    /// If a connection broke before.
    pub fn finish(mut self) -> Result<Vec<Sent>> {
        self.stop.store(true, Ordering::Relaxed);
        let sent: Vec<_> = self.senders.drain(..).map(joined).collect();
        self.over.store(true, Ordering::Relaxed);
        let received: Vec<_> = self.receivers.drain(..).map(joined).collect();
        sent.into_iter()
            .zip(received)
            .map(|(sent, received)| Ok(Sent { received: received?, ..sent? }))
            .collect()
    }
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.over.store(true, Ordering::Relaxed);
    }
}

fn send(mut stream: TcpStream, congestion: String, stop: &AtomicBool) -> Result<Sent> {
    let chunk = vec![0; CHUNK];
    stream.set_write_timeout(Some(STEP))?;
    while !stop.load(Ordering::Relaxed) {
        match stream.write(&chunk) {
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("an upload broke"),
        }
    }
    let info = TcpInfo::read(&stream).context("no counters of an upload")?;
    let port = stream.local_addr()?.port();
    // Closing must not leave the kernel to send the rest of the queue, at a low rate for minutes.
    setsockopt(&stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?;
    Ok(Sent { congestion, port, info, received: 0 })
}

fn receive(mut stream: TcpStream, over: &AtomicBool) -> Result<u64> {
    let (mut buffer, mut received) = (vec![0; 2 * CHUNK], 0);
    stream.set_read_timeout(Some(STEP))?;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(received),
            Ok(count) => received += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The sender's reset may never come through the limit.
                if over.load(Ordering::Relaxed) {
                    return Ok(received);
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(received),
            Err(error) => return Err(error).context("receiving an upload failed"),
        }
    }
}
