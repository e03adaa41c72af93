//! For `cargo xtask bench shaper`, which runs it as a process.
//!
//! # Layout
//!
//! - [`limit`]: an upload limit by Cilium's rule, to compare with
//! - [`timing`]: how long an interface's kernel program takes for a packet

mod limit;
mod timing;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Kernel programs for `cargo xtask bench shaper`.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Limit what an interface receives by Cilium's rule, until standard input ends; each line there is a new rate
    Limit {
        /// The interface
        #[arg(long)]
        iface: String,
        /// Bits a second
        #[arg(long)]
        rate: u64,
    },
    /// Time the classifier at an interface's TCX ingress with BPF_PROG_TEST_RUN
    Time {
        /// The interface
        #[arg(long)]
        iface: String,
        /// How many packets
        #[arg(long, default_value_t = 1_000_000)]
        repeat: u32,
        /// Bytes of the packet: Ethernet, IPv4 and TCP headers, then payload
        #[arg(long, default_value_t = 1514)]
        length: u16,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Limit { iface, rate } => limit::run(&iface, rate),
        Command::Time { iface, repeat, length } => timing::run(&iface, repeat, length.into()),
    }
}
