//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::clock::parse_duration;
use crate::rate::Rate;

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
    /// Remove what a killed run-all left: processes, network links, namespace
    Clean,
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
