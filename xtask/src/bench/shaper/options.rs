//! The command line of `cargo xtask bench shaper`.

use std::path::PathBuf;

use clap::Args;

use super::contender::Contender;
use super::pair::Family;
use crate::rate::Rate;

/// What `bench shaper` measures.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only these: shape, police, tbf, htb-fq-codel, cni, cilium, wondershaper, unlimited
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<Contender>,
    /// The rates
    #[arg(long, value_name = "RATES", value_delimiter = ',', default_value = "64kbit,1mbit,10mbit,100mbit,1gbit", value_parser = limited)]
    pub rates: Vec<Rate>,
    /// The congestion controls
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "cubic,bbr")]
    pub cc: Vec<String>,
    /// How long each upload of one flow runs
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub seconds: u64,
    /// The version of the Internet Protocol
    #[arg(long, value_enum, default_value = "4")]
    pub family: Family,
    /// Negotiate ECN on the measured connections
    #[arg(long)]
    pub ecn: bool,
    /// Write the results as JSON too
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The `wondershaper` script (github.com/magnific0/wondershaper); without it wondershaper is left out
    #[arg(long, value_name = "PATH")]
    pub wondershaper: Option<PathBuf>,
    /// Take shaper-agent and bench-peer from this directory instead of building them
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
}

fn limited(text: &str) -> Result<Rate, String> {
    match text.parse()? {
        Rate::Unlimited => Err("a limit needs a rate; `--only unlimited` measures without one".into()),
        rate => Ok(rate),
    }
}
