//! Who receives what containers upload, and wants nothing of it.

use std::{
    io::{ErrorKind, Read as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

/// How long it rests when nothing has come.
const REST: Duration = Duration::from_millis(2);

/// Takes every connection and reads all that comes. Ends when it is dropped.
pub struct Sink {
    port: u16,
    bytes: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Sink {
    /// Receives at `listener`.
    ///
    /// # Errors
    ///
    /// It is no socket that listens.
    pub fn new(listener: TcpListener) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let (port, bytes, stop) =
            (listener.local_addr()?.port(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&bytes), Arc::clone(&stop));
        thread::spawn(move || receive(&listener, &counted, &stopped));
        Ok(Self { port, bytes, stop })
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What has come so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn receive(listener: &TcpListener, counted: &AtomicU64, stopped: &AtomicBool) {
    let (mut streams, mut buffer) = (Vec::<TcpStream>::new(), vec![0; 1 << 16]);
    while !stopped.load(Ordering::Relaxed) {
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                streams.push(stream);
            }
        }
        let before = counted.load(Ordering::Relaxed);
        streams.retain_mut(|stream| match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                counted.fetch_add(count as u64, Ordering::Relaxed);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        });
        if counted.load(Ordering::Relaxed) == before {
            thread::sleep(REST);
        }
    }
}
