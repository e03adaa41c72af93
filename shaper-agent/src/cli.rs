//! The command line.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use shaper_common::units::{Burst, Rate, UnitError, duration};
use tracing_subscriber::EnvFilter;

use crate::spec::{self, Hook, Mode, OVERHEADS, Pacing, Settings, SpecError, Target};

const AFTER_HELP: &str = "\
Exit codes:
  0   done; the limit was in force until SIGINT or SIGTERM, and is removed
  1   something failed; the message says what and what to do
  2   bad usage, or a configuration file that cannot be used
  3   there is no such interface, container, process, namespace or cgroup, or no such limit
  4   a privilege is missing
  5   this kernel lacks something
  6   the BPF file system cannot be used
  7   another agent holds the limit, or the place is taken
  8   `status`: a limit is not in force as it should be
  64  with --exit-when-gone: the target went away
  65  something else removed the limit while the agent was running

Needs Linux 5.12 (6.6 for TCX and mode shape, 5.18 to shape downloads), CAP_NET_ADMIN, CAP_BPF and CAP_PERFMON;
CAP_SYS_ADMIN to enter containers (--container, --pid, --netns; the first two also CAP_SYS_PTRACE), to cap their GSO
packets and to mount the BPF file system.
RUST_LOG=info,shaper_ebpf=debug logs every dropped packet, at a cost.";

/// Limits what a container can send and receive, with a token bucket on the host side of its veth.
///
/// The limit is in the kernel and stays if this program is killed; the next one takes it over. It counts Ethernet
/// frames as they go on the wire.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// What to do instead of holding one limit.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The limit to hold.
    #[command(flatten)]
    pub hold: Hold,

    /// Where the BPF file system is, or is to be mounted
    #[arg(long, global = true, env = "SLUICE_BPFFS", default_value = "/sys/fs/bpf", value_name = "DIR")]
    pub bpffs: PathBuf,

    /// How logs are written on stderr
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Change limits that are in force: no packet is lost, and it counts at once
    Set(Set),
    /// Show the limits that are in force, and check that they are
    Status(Status),
    /// Remove limits
    Clear(Clear),
    /// Hold the limits of a configuration file; SIGHUP reads it again
    Run(Run),
    /// Say what this kernel and this machine can do, and why not
    Check(Check),
    /// Ask the agent that runs with the same --listen whether its limits are in force: exit code 0 if they are, 1 if not.
    /// For health checks of containers
    Health(Health),
    /// Print the completions of a shell
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

/// Whose traffic.
#[derive(Debug, Clone, Args)]
#[group(id = "target", required = true, multiple = false)]
pub struct TargetArgs {
    /// The host side of the container's veth
    #[arg(long, value_name = "NAME")]
    pub iface: Option<String>,

    /// A container of Docker, Podman or containerd, by name or id; it is followed when it restarts
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,

    /// The container of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<String>,

    /// A network namespace, by its name (`ip netns`) or path
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,

    /// The processes of a version 2 cgroup, by its directory: also for containers on the host's network
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,
}

impl TargetArgs {
    /// The target that is named; none if none is.
    ///
    /// # Errors
    ///
    /// The name cannot be one.
    pub fn target(&self) -> Result<Option<Target>, SpecError> {
        let Self { iface, container, pid, netns, cgroup } = self;
        let given =
            [("iface", iface), ("container", container), ("pid", pid), ("netns", netns), ("cgroup", cgroup)];
        given
            .into_iter()
            .find_map(|(kind, name)| name.as_ref().map(|name| Target::new(kind, name)))
            .transpose()
    }
}

/// One limit, held in the foreground.
#[derive(Debug, Clone, Args)]
pub struct Hold {
    /// Whose traffic.
    #[command(flatten)]
    pub target: TargetArgs,

    /// How it is limited.
    #[command(flatten)]
    pub settings: SettingsArgs,

    /// How it is reported.
    #[command(flatten)]
    pub reporting: Reporting,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// Wait for a target that is not there yet, such as a container that is started next: it is limited as soon as it is
    #[arg(long)]
    pub wait: bool,

    /// End (with 64) when the target goes away, instead of waiting for it to come back
    #[arg(long)]
    pub exit_when_gone: bool,

    /// Leave the limit in force on SIGINT and SIGTERM, too
    #[arg(long)]
    pub keep: bool,
}

/// How traffic is limited.
#[derive(Debug, Clone, Args)]
pub struct SettingsArgs {
    /// What the container may send a second, as tc writes it: 64kbit, 1mbit, 8kbps (kilobytes)
    #[arg(long, required_unless_present = "download")]
    pub rate: Option<Rate>,

    /// What it may receive a second
    #[arg(long, value_name = "RATE")]
    pub download: Option<Rate>,

    /// What may leave at once after a pause: bytes (3028b, 32kb) or a time at the rate (250ms)
    ///
    /// [default: by rate and mode; --dry-run tells]
    #[arg(long)]
    pub burst: Option<Burst>,

    /// How long packets may wait in mode shape, at most 4s; those of TCP always for 20 frames, all others for two packets
    ///
    /// [default: 50ms]
    #[arg(long, value_name = "TIME", value_parser = latency)]
    pub latency: Option<Duration>,

    /// Bytes that the uplink adds to each frame (for instance 24 for preamble, FCS and gap); may be negative
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = overhead)]
    pub overhead: i32,

    /// How much deeper into debt than bulk packets of up to 128 bytes (ACK, SYN, DNS, ping) may go; they are charged all
    /// the same
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = any_duration)]
    pub small_packet_reserve: Duration,

    /// What becomes of a packet that may not go yet
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    pub mode: Mode,

    /// Whether TCP senders are told how fast they may go, so that police has next to nothing to drop
    #[arg(long, value_enum, default_value_t = Pacing::Auto)]
    pub pacing: Pacing,

    /// The hook to use: tcx needs Linux 6.6; auto takes it if there
    #[arg(long, value_enum, default_value_t = Hook::Auto)]
    pub attach: Hook,
}

impl SettingsArgs {
    /// The settings that these come to.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            upload: self.rate,
            download: self.download,
            burst: self.burst,
            latency: self.latency,
            overhead: self.overhead,
            reserve: self.small_packet_reserve,
            mode: self.mode,
            pacing: self.pacing,
            hook: self.attach,
        }
    }
}

/// How limits are reported while they are held.
#[derive(Debug, Clone, Args)]
pub struct Reporting {
    /// Time between two reports
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// Print JSON lines: attached, counters at each interval, detached
    #[arg(long)]
    pub json: bool,

    /// Serve /metrics (Prometheus) and /healthz on this address
    #[arg(long, value_name = "ADDRESS:PORT", env = "SLUICE_LISTEN", value_parser = address)]
    pub listen: Option<SocketAddr>,
}

/// `set`
#[derive(Debug, Args)]
pub struct Set {
    /// Whose traffic.
    #[command(flatten)]
    pub target: TargetArgs,

    /// What the container may send a second
    #[arg(long)]
    pub rate: Option<Rate>,

    /// What it may receive a second
    #[arg(long, value_name = "RATE")]
    pub download: Option<Rate>,

    /// What may leave at once after a pause
    #[arg(long)]
    pub burst: Option<Burst>,

    /// How long packets may wait in mode shape
    #[arg(long, value_name = "TIME", value_parser = latency)]
    pub latency: Option<Duration>,

    /// Bytes that the uplink adds to each frame
    #[arg(long, allow_negative_numbers = true, value_parser = overhead)]
    pub overhead: Option<i32>,

    /// How much deeper into debt small packets may go
    #[arg(long, value_name = "TIME", value_parser = any_duration)]
    pub small_packet_reserve: Option<Duration>,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Whose limit; all by default
    #[arg(value_name = "KIND:NAME")]
    pub targets: Vec<Target>,

    /// Print one JSON object
    #[arg(long)]
    pub json: bool,

    /// Again and again, until Ctrl-C
    #[arg(long)]
    pub watch: bool,

    /// How long counters are watched to tell rates and whether they move
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,
}

/// `clear`
#[derive(Debug, Args)]
pub struct Clear {
    /// Whose limit.
    #[command(flatten)]
    pub target: OptionalTarget,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,
}

/// Whose limit, or all.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct OptionalTarget {
    /// The host side of a veth
    #[arg(long, value_name = "NAME")]
    pub iface: Option<String>,

    /// A container
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,

    /// The container of this process
    #[arg(long, value_name = "PID")]
    pub pid: Option<String>,

    /// A network namespace
    #[arg(long, value_name = "NAME")]
    pub netns: Option<String>,

    /// A cgroup
    #[arg(long, value_name = "PATH")]
    pub cgroup: Option<String>,

    /// Every limit of this network namespace, and everything that a killed agent left
    #[arg(long)]
    pub all: bool,
}

/// `run`
#[derive(Debug, Args)]
pub struct Run {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// How limits are reported.
    #[command(flatten)]
    pub reporting: Reporting,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// Leave the limits in force on SIGINT and SIGTERM, too: for a restart without a gap
    #[arg(long)]
    pub keep: bool,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `health`
#[derive(Debug, Args)]
pub struct Health {
    /// Where the agent serves /healthz
    #[arg(long, value_name = "ADDRESS:PORT", env = "SLUICE_LISTEN", value_parser = address)]
    pub listen: SocketAddr,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Installs the program's one log subscriber: to standard error, by `RUST_LOG` (warnings by default).
    pub fn install(self) {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self {
            Self::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).init(),
            Self::Json => builder.json().init(),
        }
    }
}

fn any_duration(text: &str) -> Result<Duration, UnitError> {
    duration(text)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is no address with a port; write them like `127.0.0.1:9100` or `[::1]:9100`")
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(10) {
        return Err("an interval of less than 10ms would only cost time".into());
    }
    Ok(interval)
}

fn latency(text: &str) -> Result<Duration, String> {
    spec::latency(text).map_err(|expected| format!("`{text}` is not {expected}"))
}

fn overhead(text: &str) -> Result<i32, String> {
    let (least, most) = (OVERHEADS.start(), OVERHEADS.end());
    text.parse()
        .ok()
        .filter(|overhead| OVERHEADS.contains(overhead))
        .ok_or_else(|| format!("an overhead is a whole number of bytes from {least} to {most}"))
}
