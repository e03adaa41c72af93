//! The four programs of a run: how each is started and how one knows that it is ready.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::docker::{self, Container};
use super::netns;
use super::network::{HOST_LINK, NAMESPACE};
use super::part::Part;
use super::plan::Plan;
use super::rest::Lock;
use crate::cli::Runtime;
use crate::interrupt::Interrupt;
use crate::workspace::Workspace;

/// The cloud daemon's port.
pub const CLOUD_PORT: u16 = 5000;
/// Where the shaper pins the limit of a run: a file system of its own, so that it goes with the run.
const BPFFS: &str = "/run/sluice/bpf";
/// The relay's port, RTSP's own, and another one for those who may not take that.
const RTSP_PORT: u16 = 554;
const UNPRIVILEGED_RTSP_PORT: u16 = 8554;
/// How long a program may take to be ready: reading a model from a slow disk is the longest.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the edge's first connection to the cloud may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Environment variables that the programs read as Sedna's do, in either case; what the caller's shell has set
/// must not leak in.
const SEDNA: [&str; 18] = [
    "all_examples_inference_output",
    "big_model_bind_ip",
    "big_model_bind_port",
    "big_model_ip",
    "big_model_port",
    "hard_example_cloud_inference_output",
    "hard_example_edge_inference_output",
    "hem_name",
    "hem_parameters",
    "inference_timeout",
    "input_shape",
    "lc_period",
    "lc_server",
    "model_url",
    "sluice_listen",
    "super_big_model_ip",
    "video_url",
    "worker_name",
];
/// How often readiness is asked for.
const STEP: Duration = Duration::from_millis(50);

/// What starting a program needs.
#[derive(Debug)]
pub struct Starter<'a> {
    /// Where the binaries are.
    pub workspace: &'a Workspace,
    /// What the run does.
    pub plan: &'a Plan,
    /// Where processes are written down.
    pub lock: &'a mut Lock,
    /// Ends the waiting.
    pub interrupt: &'a Interrupt,
}

impl Starter<'_> {
    /// Starts the cloud daemon and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub fn cloud(&mut self) -> Result<Part> {
        let listen = format!("0.0.0.0:{CLOUD_PORT}");
        let command = match self.plan.runtime {
            Runtime::Namespace => {
                let mut command = self.command("cloud-daemon");
                command.arg("--model").arg(&self.plan.big).args(["--listen", &listen]);
                command
            }
            Runtime::Docker => {
                let mut container = Container::new(docker::CLOUD, "host", "sluice-cloud");
                container.argument("--model").file("", &self.plan.big).argument("--listen").argument(listen);
                container.create()?
            }
        };
        let mut part = self.start("cloud-daemon", command, None)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, CLOUD_PORT));
        self.wait(&mut part, "is ready", |_| Ok(is_ready(address)))?;
        Ok(part)
    }

    /// Starts the relay that plays `video` on the bridge's `address`, waits until clients may connect, and
    /// gives the stream's URL too.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub fn relay(&mut self, video: &Path, address: Ipv4Addr) -> Result<(Part, String)> {
        let (listen, command) = match self.plan.runtime {
            Runtime::Namespace => {
                let listen = format!("{address}:{RTSP_PORT}");
                let mut play = std::ffi::OsString::from("/video1=");
                play.push(video);
                let mut command = self.command("rtsp-relay");
                command.args(["--listen", &listen, "--play"]).arg(play);
                (listen, command)
            }
            Runtime::Docker => {
                let listen = format!("{address}:{UNPRIVILEGED_RTSP_PORT}");
                let mut container = Container::new(docker::CAMERA, "host", "sluice-camera");
                container.argument("--listen").argument(&listen).argument("--play").file("/video1=", video);
                (listen, container.create()?)
            }
        };
        let mut part = self.start("rtsp-relay", command, None)?;
        self.wait(&mut part, "is ready", |part| Ok(part.lines().any(|line| line.starts_with("ready "))))?;
        Ok((part, format!("rtsp://{listen}/video1")))
    }

    /// Starts the shaper for the veth's host end, and waits until its limit is in force; for that of a container, which
    /// comes later, until it waits for it. Gives what it says that it allows beyond rate × time.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub fn shaper(&mut self, rate: &str) -> Result<(Part, Allowance)> {
        self.lock.record(|rest| rest.bpffs = Some(BPFFS.into()))?;
        let mut command = self.command("shaper-agent");
        let ready = match self.plan.runtime {
            Runtime::Namespace => {
                command.args(["--iface", HOST_LINK]);
                "attached"
            }
            Runtime::Docker => {
                command.args(["--wait", "--container", docker::EDGE]);
                "gone"
            }
        };
        command.args(["--rate", rate, "--bpffs", BPFFS, "--json"]);
        let mut part = self.start("shaper-agent", command, None)?;
        let mut allowance = None;
        self.wait(&mut part, "is ready", |part| {
            allowance = event(part, ready).as_ref().map(Allowance::of);
            Ok(allowance.is_some())
        })?;
        Ok((part, allowance.unwrap_or_default()))
    }

    /// Waits until the shaper has found the edge's container and holds its limit.
    ///
    /// # Errors
    ///
    /// If one of the two ends, or it is not found in time.
    pub fn wait_for_limit(&self, shaper: &mut Part, edge: &mut Part) -> Result<Allowance> {
        let mut allowance = None;
        self.wait(shaper, "holds the limit", |shaper| {
            allowance = event(shaper, "attached").as_ref().map(Allowance::of);
            edge.check().map(|()| allowance.is_some())
        })?;
        Ok(allowance.unwrap_or_default())
    }

    /// Starts the edge daemon inside the namespace.
    ///
    /// # Errors
    ///
    /// If the cloud cannot be reached from there, or the program not be started.
    pub fn edge(&mut self, video: &str, cloud: Ipv4Addr) -> Result<Part> {
        let address = SocketAddr::from((cloud, CLOUD_PORT));
        if self.plan.runtime == Runtime::Docker {
            return self.edge_container(video, address);
        }
        netns::inside(NAMESPACE, || {
            TcpStream::connect_timeout(&address, CONNECT_PATIENCE).with_context(|| {
                format!("{address} cannot be reached from the edge's namespace: a firewall on this machine may drop it")
            })
        })?;
        let mut command = self.command("edge-daemon");
        command
            .args(["--video-url", video, "--rtsp-transport", self.plan.rtsp_transport, "--model"])
            .arg(&self.plan.little)
            .args(["--cloud-url", &format!("http://{address}")])
            .args(["--hem-name", &self.plan.hem.name, "--hem-parameters", &self.plan.hem.parameters])
            .arg("--status-json")
            .arg("--out")
            .arg(&self.plan.out);
        let path = netns::path(NAMESPACE);
        let namespace = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        self.start("edge-daemon", command, Some(namespace))
    }

    fn edge_container(&mut self, video: &str, cloud: SocketAddr) -> Result<Part> {
        let mut container = Container::new(docker::EDGE, docker::NETWORK, "sluice-edge");
        let hem = &self.plan.hem;
        for argument in ["--video-url", video, "--rtsp-transport", self.plan.rtsp_transport] {
            container.argument(argument);
        }
        container.argument("--model").file("", &self.plan.little);
        container.argument("--cloud-url").argument(format!("http://{cloud}"));
        container.argument("--hem-name").argument(&hem.name);
        container.argument("--hem-parameters").argument(&hem.parameters).argument("--status-json");
        container.argument("--out").results(&self.plan.out)?;
        self.start("edge-daemon", container.create()?, None)
    }

    fn command(&self, binary: &str) -> Command {
        let mut command = Command::new(self.workspace.binary(binary));
        for name in SEDNA {
            command.env_remove(name).env_remove(name.to_uppercase()).env_remove(name.to_lowercase());
        }
        command
    }

    fn start(&mut self, name: &'static str, command: Command, namespace: Option<File>) -> Result<Part> {
        self.interrupt.check()?;
        Part::start(name, command, namespace, &self.plan.logs(), self.lock)
    }

    /// Waits until `ready` says so, and prints `what` the part then does.
    fn wait(&self, part: &mut Part, what: &str, mut ready: impl FnMut(&Part) -> Result<bool>) -> Result<()> {
        let begin = Instant::now();
        loop {
            if ready(part)? {
                println!(
                    "   {} {what} after {:.1} s (pid {})",
                    part.name(),
                    begin.elapsed().as_secs_f64(),
                    part.pid()
                );
                return Ok(());
            }
            part.check()?;
            self.interrupt.check()?;
            if begin.elapsed() > PATIENCE {
                bail!(part.failure(&format!("was not ready within {} s", PATIENCE.as_secs())));
            }
            std::thread::sleep(STEP);
        }
    }
}

/// The next event of this kind among the JSON lines that the shaper has printed.
fn event(shaper: &Part, kind: &str) -> Option<serde_json::Value> {
    let mut events = shaper.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(&line).ok());
    events.find(|event| event["event"] == kind)
}

/// What a limit lets through beyond rate × time, as far as it says so.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowance {
    /// At once after a pause.
    pub burst_bytes: Option<u64>,
    /// What small packets may go beyond that.
    pub small_packet_bytes: Option<u64>,
}

impl Allowance {
    /// As the shaper's events tell it.
    fn of(event: &serde_json::Value) -> Self {
        let number = |name: &str| event[name].as_u64();
        let earned = |rate: u64, ms: u64| rate.saturating_mul(ms).div_ceil(8000);
        Self {
            burst_bytes: number("burst_bytes"),
            small_packet_bytes: number("rate_bit_s")
                .zip(number("small_packet_reserve_ms"))
                .map(|(rate, ms)| earned(rate, ms)),
        }
    }
}

/// Whether `GET /readyz` is answered with 200.
fn is_ready(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(
            format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").as_bytes(),
        )?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(&status == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
