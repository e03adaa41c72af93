//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Bench;
use crate::clock::parse_duration;
use crate::images::architecture::Architecture;
use crate::rate::Rate;
use crate::vm::guest::MEMORY_MIB;
use crate::vm::kernel::Kernel;

/// Every chore of Sluice.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version, about, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub chore: Chore,
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 ended by Ctrl-C or SIGTERM";

/// One chore.
#[derive(Debug, Subcommand)]
pub enum Chore {
    /// Run camera, edge, limited uplink and cloud on this machine, and report what happened
    RunAll(RunAll),
    /// Check everything that CI checks
    Test {
        /// Leave out the documentation build and the end-to-end run
        #[arg(long)]
        quick: bool,
    },
    /// Install what is missing: system packages and the eBPF toolchain
    Setup,
    /// Build the kernel programs
    BuildEbpf,
    /// Render the demo clip and its ground truth into demo/
    RenderDemo,
    /// Train the demo pair into models/
    TrainDemo {
        /// How long the training of both networks takes in all
        #[arg(long, value_name = "N", default_value_t = 80)]
        minutes: u32,
    },
    /// Write report.html again from the files of a run
    Report {
        /// The directory of the run
        directory: PathBuf,
    },
    /// Measure Sluice beside its peers
    Bench {
        /// What is measured
        #[command(subcommand)]
        what: Bench,
    },
    /// Feed the parsers of what users write and fetch with strange input
    Fuzz {
        /// The parser, such as config [default: all, one after the other]
        target: Option<String>,
        /// How long each is fed
        #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Make container images, and load them into the engine that answers here
    Images(Images),
    /// Build shaper, detector and edge daemon for 64-bit Arm, and try them here by qemu-user
    Arm64,
    /// Remove what a killed run-all left: processes, network links, namespace
    Clean,
    /// Run a command under another kernel, with this machine's files
    #[command(subcommand)]
    Vm(Vm),
}

/// A chore of guest kernels.
#[derive(Debug, Subcommand)]
pub enum Vm {
    /// Fetch and unpack guest kernels and what they run on, into /var/cache/sluice-vm or $SLUICE_VM
    Setup {
        /// The kernel to set up; may be given several times [default: all]
        #[arg(long, value_enum)]
        kernel: Vec<Kernel>,
    },
    /// Run a command as root in a throw-away guest
    ///
    /// The guest's / is this machine's, read-only under a layer in memory: the guest may write anywhere, and it is
    /// lost when the command ends, but for the folders given with --write. Standard input is empty, the environment
    /// is PATH, HOME, LANG, CARGO_HOME, RUSTUP_HOME, RUST_BACKTRACE and what --env names, the network is the guest's
    /// own loopback. What a kernel needs is fetched if it is not there yet.
    #[command(after_help = VM_EXIT_CODES)]
    Run(VmRun),
}

const VM_EXIT_CODES: &str = "Exit codes: the command's own, 124 it took too long, 125 the guest did not boot or died, \
                             1 the guest could not be started, 130 ended by Ctrl-C or SIGTERM";

/// What `vm run` runs, and how.
#[derive(Debug, Args)]
pub struct VmRun {
    /// The guest's kernel
    #[arg(long, value_enum, default_value_t = Kernel::Uml612)]
    pub kernel: Kernel,
    /// The guest's memory in MiB
    #[arg(long, value_name = "MB", default_value_t = MEMORY_MIB, value_parser = clap::value_parser!(u32).range(256..))]
    pub memory: u32,
    /// The guest's processors [default: 2, uml612 has 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub cpus: Option<u32>,
    /// A folder of this machine that the guest may write into; may be given several times
    #[arg(long, value_name = "DIR")]
    pub write: Vec<PathBuf>,
    /// A variable of this environment that the command gets; may be given several times
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// How long the guest may take, boot included (500ms, 60s, 5m)
    #[arg(long, value_parser = parse_duration, default_value = "5m")]
    pub timeout: Duration,
    /// Show the guest's console on standard error
    #[arg(long)]
    pub console: bool,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What `images` makes.
#[derive(Debug, Args)]
pub struct Images {
    /// The processor that they are for [default: this machine's]
    #[arg(long, value_enum)]
    pub arch: Option<Architecture>,
    /// The image to make: cloud, edge, camera or shaper; may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Where the files go [default: target/images]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The images' tag, in place of both `latest` and the version
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Take the programs from this folder instead of building them
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
    /// Whether to load them into a container engine
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Load::Auto, default_missing_value = "always", num_args = 0..=1)]
    pub load: Load,
    /// Only write the files of each image below this folder, for a Dockerfile to copy
    #[arg(long, value_name = "DIR")]
    pub tree: Option<PathBuf>,
    /// Only write deploy/Dockerfile
    #[arg(long)]
    pub dockerfile: bool,
}

/// When images are loaded into a container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Load {
    /// If one answers
    Auto,
    /// Always; it is an error if none answers
    Always,
    /// Never
    Never,
}

/// What `run-all` runs.
#[derive(Debug, Clone, Args)]
pub struct RunAll {
    /// The uplink's limit as tc writes rates (64kbit, 1.5mbit, 8kbps = kilobytes), or `unlimited`
    #[arg(long, default_value = "64kbit")]
    pub rate: Rate,
    /// How long the edge runs (500ms, 60s, 2m)
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    pub duration: Duration,
    /// A video file, played in a loop as a camera, or the rtsp:// address of a real camera [default: demo/site.mp4]
    #[arg(long, value_name = "FILE|URL")]
    pub video: Option<String>,
    /// Ground truth of the video file as COCO JSON [default: STEM.coco.json beside the file, if it is there]
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,
    /// The edge's model [default: models/demo-little.safetensors]
    #[arg(long, value_name = "PATH")]
    pub little: Option<PathBuf>,
    /// The cloud's model [default: models/demo-big.safetensors]
    #[arg(long, value_name = "PATH")]
    pub big: Option<PathBuf>,
    /// The hard-example mining: the edge daemon's --hem-name
    #[arg(long, value_name = "NAME", default_value = "IBT")]
    pub hem: String,
    /// Its parameters: the edge daemon's --hem-parameters. By default a frame is hard if three boxes in ten have a
    /// score of 0.5 or less, which tells the demo clip's easy, medium and hard part apart
    #[arg(
        long,
        value_name = "JSON",
        default_value = r#"[{"key":"threshold_img","value":"0.7"},{"key":"threshold_box","value":"0.5"}]"#
    )]
    pub hem_parameters: String,
    /// How the edge fetches the camera's stream
    #[arg(long, value_enum, default_value_t = Transport::Auto)]
    pub rtsp_transport: Transport,
    /// How the programs are kept apart
    #[arg(long, value_enum, default_value_t = Runtime::Namespace)]
    pub runtime: Runtime,
    /// Where everything of the run goes; must be empty or not exist [default: runs/TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// After the report, leave the cloud, the camera, the limit and the namespace up until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Do not score the results against the ground truth
    #[arg(long)]
    pub no_score: bool,
}

/// How a run's programs are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// The edge in a network namespace of its own
    Namespace,
    /// Cloud, camera and edge in containers of the Docker engine that answers here
    Docker,
}

/// How RTP travels.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Transport {
    /// UDP first, TCP if nothing arrives
    Auto,
    /// Inside the RTSP connection
    Tcp,
    /// In datagrams
    Udp,
}

impl Transport {
    /// The word that the edge daemon takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
