//! A container on the host's network that uploads as much as it can, beside the host that does, too.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::{
    docker::{Docker, Unified},
    net::Network,
    promise::Promise,
    sink::Sink,
    trace::Tracer,
};

/// The container's name.
pub const NAME: &str = "hosted";
/// The limit that [`Hosted::is_limited`] expects, as the agent takes it.
pub const RATE: &str = "1mbit";
/// More than may pass in half a second.
const FREE: u64 = 1_000_000;
/// How long it is looked at.
const TIME: Duration = Duration::from_secs(6);
const SETTLE: Duration = Duration::from_millis(100);
/// What the host sends, and how often: 8 Mbit/s, which any machine has left.
const PIECE: usize = 25_000;
const PACE: Duration = Duration::from_millis(25);
/// What the longest packet has beyond a frame: at a cgroup there is no interface whose packets could be capped.
const LONGEST: u64 = 65_536 - 1514;

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
        ensure!(bytes > FREE, "the container is limited: {bytes} bytes in half a second");
        Ok(())
    }

    /// Checks by a trace of what leaves this machine that the container is held to [`RATE`], and the host beside it is not.
    /// `status` gives what `shaper-agent status --json` prints.
    ///
    /// # Errors
    ///
    /// One of the two does not hold, or the trace does not agree with the limit's own counters.
    pub fn is_limited(&self, status: impl Fn() -> Result<String>) -> Result<()> {
        // A connection from before the limit was in force is ended first, and what it has under way is waited for.
        received(&self.listener, SETTLE)?;
        thread::sleep(SETTLE);
        let (limited, host) = (self.port()?, Sink::new(self.network.listen()?)?);
        let namespace = Path::new("/run/netns").join(self.network.namespace());
        let tracer = Tracer::start_at(&namespace, "eth0")?;
        let stop = Arc::new(AtomicBool::new(false));
        let sending = thread::spawn({
            let (stop, mut stream) =
                (Arc::clone(&stop), TcpStream::connect((self.network.inside(), host.port()))?);
            move || -> Result<()> {
                while !stop.load(Ordering::Relaxed) {
                    stream.write_all(&[0; PIECE])?;
                    thread::sleep(PACE);
                }
                Ok(())
            }
        });
        let before = Promise::read(&status()?)?;
        let received = received(&self.listener, TIME)?;
        let after = Promise::read(&status()?)?;
        stop.store(true, Ordering::Relaxed);
        sending.join().ok().context("the thread that sends from the host failed")??;
        let trace = tracer.finish()?;

        let container = trace.only(|packet| packet.port == Some(limited));
        after.check(&container, LONGEST)?;
        before.agrees(&after, &container)?;
        ensure!(received > 0 && after.held > before.held, "the limit held nothing back: {after:?}");
        let unlimited = trace.only(|packet| packet.port == Some(host.port())).bytes();
        ensure!(
            unlimited > 2 * container.bytes(),
            "the host itself sent only {unlimited} bytes, the container {}",
            container.bytes()
        );
        Ok(())
    }

    fn port(&self) -> Result<u16> {
        Ok(self.listener.local_addr()?.port())
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
