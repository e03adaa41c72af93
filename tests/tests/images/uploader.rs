//! A container that uploads as an edge does that has more to send than it may.

use std::{
    net::TcpListener,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sluice_tests::{
    docker::{Docker, NETWORK},
    eventually,
    promise::Promise,
    sink::Sink,
    trace::Packet,
};
use xtask::clock::parse_rfc3339;

use crate::support::{LONG, logs, promise};

/// The limit, as the agent takes it: a quarter of what a container uploads, 20 pictures of 25 kB a second. That is a load
/// which no machine is too slow for.
pub(crate) const RATE: &str = "1mbit";
const PICTURES: &str = "while head -c 25000 /dev/zero; do usleep 50000; done";
/// For how long it is looked at.
pub(crate) const TIME: Duration = Duration::from_secs(3);
/// In a second, more than may pass under the limit, and less than is uploaded.
const FREE: u64 = 250_000;
/// How soon a container that has started is limited, in seconds.
const SOON: f64 = 1.0;

/// The container, and who receives what it uploads.
pub(crate) struct Uploader<'a> {
    docker: &'a Docker,
    name: &'static str,
    sink: Sink,
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(docker: &'a Docker, name: &'static str) -> Result<Self> {
        Ok(Self { docker, name, sink: Sink::new(TcpListener::bind((docker.gateway(), 0))?)? })
    }

    /// Starts the container, with further options of `docker run`.
    pub(crate) fn run(&self, options: &[&str]) -> Result<()> {
        let (host, port) = (self.docker.gateway(), self.sink.port());
        let upload = format!("while true; do {{ {PICTURES}; }} | nc {host} {port}; usleep 100000; done");
        self.docker.run(self.name, NETWORK, options, &["sh", "-c", &upload])?;
        Ok(())
    }

    /// Checks that the container uploads more than the limit lets through.
    pub(crate) fn is_free(&self) -> Result<()> {
        let in_a_second = || {
            let (start, before) = (Instant::now(), self.sink.bytes());
            sleep(Duration::from_secs(1));
            (self.sink.bytes() - before) as f64 / start.elapsed().as_secs_f64()
        };
        let mut last = 0.0;
        let free = eventually(LONG, || {
            last = in_a_second();
            last > FREE as f64
        });
        ensure!(free, "{} uploads {last:.0} bytes a second", self.name);
        Ok(())
    }

    /// Waits until the container is limited as it runs now, whatever it is called, and checks that this was soon. Gives what
    /// the limit says.
    pub(crate) fn is_limited(&self, name: &str) -> Result<Promise> {
        let started = self.docker.client(&["inspect", "--format", "{{.State.StartedAt}}", name])?;
        let started = parse_rfc3339(started.trim()).with_context(|| format!("started {started}"))?;
        let mut limit = promise(self.docker);
        eventually(LONG, || {
            limit = promise(self.docker);
            limit.is_ok()
        });
        let limit = limit?;
        println!("limited {:.3} s after its start", limit.since - started);
        ensure!(limit.since - started <= SOON, "limited {:.3} s after the start", limit.since - started);
        Ok(limit)
    }

    /// Checks that the limit lets the container's upload pass and holds some of it back; gives what it says before and after.
    /// A connection takes its time to go on when its interface was down.
    pub(crate) fn is_held(&self, what: &str) -> Result<[Promise; 2]> {
        let start = Instant::now();
        loop {
            let (before, received) = (promise(self.docker)?, self.sink.bytes());
            sleep(TIME);
            let after = promise(self.docker)?;
            let (arrives, held) = (self.sink.bytes() > received, after.held > before.held);
            if arrives && held {
                return Ok([before, after]);
            }
            let log = || logs(self.docker, &["agent", self.name]);
            ensure!(start.elapsed() < LONG, "{what}: it arrives: {arrives}, it is held: {held}\n{}", log());
        }
    }

    /// Whether a packet is for the container's receiver.
    pub(crate) fn is_uploaded(&self, packet: &Packet) -> bool {
        packet.port == Some(self.sink.port())
    }

    /// Its own end of the veth's Ethernet address.
    pub(crate) fn address(&self) -> Result<[u8; 6]> {
        let format = format!("{{{{.NetworkSettings.Networks.{NETWORK}.MacAddress}}}}");
        let text = self.docker.client(&["inspect", "--format", &format, self.name])?;
        let bytes: Vec<u8> =
            text.trim().split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>()?;
        bytes.try_into().ok().with_context(|| format!("{text} is no Ethernet address"))
    }

    /// Its network namespace.
    pub(crate) fn namespace(&self) -> Result<PathBuf> {
        Ok(format!("/proc/{}/ns/net", self.docker.pid(self.name)?).into())
    }
}
