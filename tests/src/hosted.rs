//! A container on the host's network that uploads as much as it can, beside the host that does, too.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    docker::{Docker, Unified},
    net::Network,
};

/// The container's name.
pub const NAME: &str = "hosted";
/// The limit that [`Hosted::is_limited`] expects, as the agent takes it, and in bit/s.
pub const RATE: &str = "1mbit";
const BIT_S: f64 = 1e6;
/// 500 ms of the rate.
const BURST: f64 = 62_500.0;
const SECONDS: f64 = 6.0;

/// The container, its engine, and who receives what it sends.
pub struct Hosted {
    /// The engine.
    pub docker: Docker,
    network: Network,
    listener: TcpListener,
}

impl Hosted {
    /// Starts an engine with the container, which uploads to a namespace. The tag has at most 10 characters; the subnets
    /// are those of [`Network::new`] and of [`Docker::start`].
    ///
    /// # Errors
    ///
    /// One of them does not start.
    pub fn start(tag: &str, network: u8, engine: u8) -> Result<Self> {
        let network = Network::new(tag, network)?;
        let listener = network.listen()?;
        let port = listener.local_addr()?.port();
        let docker = Docker::start(tag, engine, Unified::AsIs)?;
        let upload = format!("while true; do nc {} {port} < /dev/zero; done", network.inside());
        docker.run(NAME, "host", &[], &["sh", "-c", &upload])?;
        Ok(Self { docker, network, listener })
    }

    /// Checks that the container is held to no rate.
    ///
    /// # Errors
    ///
    /// It is.
    pub fn is_free(&self) -> Result<()> {
        let bytes = received(&self.listener, Duration::from_millis(500))?;
        ensure!(bytes as f64 > BIT_S, "the container is limited: {bytes} bytes in half a second");
        Ok(())
    }

    /// Checks that the container is held to [`RATE`], and the host beside it is not.
    ///
    /// # Errors
    ///
    /// One of the two does not hold.
    pub fn is_limited(&self) -> Result<()> {
        // What came before the limit was in force is still in its buffers.
        received(&self.listener, Duration::from_millis(100))?;
        let target = self.network.listen()?;
        let address = target.local_addr()?;
        let host = thread::spawn(move || -> Result<()> {
            let mut stream = TcpStream::connect(address)?;
            // Ends when the receiver has had enough.
            while stream.write_all(&[0; 1 << 16]).is_ok() {}
            Ok(())
        });
        let unlimited = thread::spawn(move || received(&target, Duration::from_secs_f64(SECONDS)));
        let limited = received(&self.listener, Duration::from_secs_f64(SECONDS))? as f64;
        let unlimited =
            unlimited.join().ok().context("the thread that receives from the host failed")?? as f64;
        host.join().ok().context("the thread that sends from the host failed")??;

        let most = BIT_S / 8.0 * SECONDS + BURST;
        ensure!(limited <= most, "{limited} bytes in {SECONDS} s from the container, {most} may come");
        ensure!(limited > 0.8 * BIT_S / 8.0 * SECONDS, "{limited} bytes in {SECONDS} s from the container");
        ensure!(unlimited > 20.0 * most, "the host itself sent only {unlimited} bytes");
        Ok(())
    }
}

/// What the next connection brings in so long a time.
fn received(listener: &TcpListener, time: Duration) -> Result<u64> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    let (start, mut bytes, mut buffer) = (Instant::now(), 0, vec![0; 1 << 16]);
    while start.elapsed() < time {
        // Nothing for a while is no end.
        bytes += stream.read(&mut buffer).unwrap_or(0) as u64;
    }
    Ok(bytes)
}
