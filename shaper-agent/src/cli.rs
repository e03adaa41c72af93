//! The command line.

use std::{io::IsTerminal as _, time::Duration};

use clap::{Parser, ValueEnum};
use shaper_common::units::{Burst, Rate, UnitError, duration};
use tracing_subscriber::EnvFilter;

const AFTER_HELP: &str = "\
Exit codes:
  0   the limit was in force until SIGINT or SIGTERM, and is removed
  1   it could not be put in force; the message says why and what to do
  2   bad usage
  64  the interface went away while it was limited
  65  something else removed the limit while the agent was running

Needs Linux 5.12, CAP_NET_ADMIN and CAP_BPF (and CAP_SYS_ADMIN to cap the container's GSO packets).
RUST_LOG=info,shaper_ebpf=debug logs every dropped packet, at a cost.";

/// Limits what a container can send, with a token bucket on the host side of its veth.
///
/// The limit holds while the agent runs. Packets above the rate are dropped; the rate counts Ethernet frames as they
/// go on the wire.
#[derive(Debug, Parser)]
#[command(version, after_help = AFTER_HELP)]
pub struct Cli {
    /// The host side of the container's veth
    #[arg(long)]
    pub iface: String,

    /// What the container may send a second, as tc writes it: 64kbit, 1mbit, 8kbps (kilobytes)
    #[arg(long)]
    pub rate: Rate,

    /// What may leave at once after a pause: bytes (3028b, 32kb) or a time at the rate (250ms)
    ///
    /// [default: 250ms, but at least two full frames]
    #[arg(long)]
    pub burst: Option<Burst>,

    /// Bytes that the uplink adds to each frame (for instance 24 for preamble, FCS and gap); may be negative
    #[arg(long, default_value_t = 0, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-64..=256))]
    pub overhead: i32,

    /// How much deeper into debt than bulk packets of up to 128 bytes (ACK, SYN, DNS, ping) may go; they are charged all
    /// the same
    #[arg(long, default_value = "1s", value_parser = any_duration)]
    pub small_packet_reserve: Duration,

    /// Time between two reports
    #[arg(long, default_value = "1s", value_parser = interval)]
    pub interval: Duration,

    /// Print JSON lines: attached, counters at each interval, detached
    #[arg(long)]
    pub json: bool,

    /// The hook to use: tcx needs Linux 6.6; auto takes it if there
    #[arg(long, value_enum, default_value_t = Hook::Auto)]
    pub attach: Hook,

    /// Only say what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// How logs are written on stderr
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Where the kernel runs the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Hook {
    /// TCX on Linux 6.6 and later, clsact before.
    Auto,
    /// A TCX link: goes with the agent, however that ends.
    Tcx,
    /// A filter of the clsact qdisc.
    Clsact,
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

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text).map_err(|error| error.to_string())?;
    if interval < Duration::from_millis(10) {
        return Err("an interval of less than 10ms would only cost time".into());
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults() {
        let cli = Cli::try_parse_from(["shaper-agent", "--iface", "veth0", "--rate", "64kbit"]).unwrap();
        assert_eq!(cli.interval, Duration::from_secs(1));
        assert_eq!(cli.small_packet_reserve, Duration::from_secs(1));
        assert_eq!((cli.overhead, cli.burst, cli.attach), (0, None, Hook::Auto));
    }

    #[test]
    fn bad_values_are_bad_usage() {
        for arguments in [
            ["--rate", "fast"].as_slice(),
            &["--rate", "64kbit", "--burst", "soon"],
            &["--rate", "64kbit", "--interval", "1ms"],
            &["--rate", "64kbit", "--overhead", "9999"],
        ] {
            let all = ["shaper-agent", "--iface", "veth0"].iter().chain(arguments);
            assert_eq!(Cli::try_parse_from(all).unwrap_err().exit_code(), 2, "{arguments:?}");
        }
    }
}
