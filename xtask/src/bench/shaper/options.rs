//! The command line of `cargo xtask bench shaper`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::contender::Contender;
use super::pair::Family;
use super::part::Part;
use crate::rate::Rate;
use crate::vm::kernel::Kernel;

/// What `bench shaper` measures.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Only these: shape, police, tbf, htb-fq-codel, cni, cilium, wondershaper, unlimited
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub only: Vec<Contender>,
    /// Only these parts of the table [default: all that belong to a kernel]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_enum)]
    pub parts: Vec<Part>,
    /// The rates [default: 64kbit,1mbit,10mbit,100mbit,1gbit, in guests up to 100mbit]
    #[arg(long, value_name = "RATES", value_delimiter = ',', value_parser = limited)]
    pub rates: Vec<Rate>,
    /// The senders' congestion controls [default: cubic,bbr]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub cc: Vec<String>,
    /// How long each upload of a part runs, in seconds [default: 60 at 64kbit, less at higher rates]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub seconds: Option<u64>,
    /// Versions of the Internet Protocol
    #[arg(long, value_enum, value_delimiter = ',', default_value = "4")]
    pub family: Vec<Family>,
    /// The kernels: `host` for the machine's own, or guests such as uml612 [default: host, and uml612 if the machine's
    /// own lacks something]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub kernel: Vec<Where>,
    /// Fewer rates, shorter uploads and cubic only: about four minutes in all
    #[arg(long)]
    pub quick: bool,
    /// Write the results as JSON too (docs/schema/bench-shaper.schema.json)
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// The `wondershaper` script (github.com/magnific0/wondershaper); without it wondershaper is left out
    #[arg(long, value_name = "PATH")]
    pub wondershaper: Option<PathBuf>,
    /// Take shaper-agent and bench-peer from this directory instead of building them
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
}

/// The kernel that measurements run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// The machine's own.
    Host,
    /// A guest's.
    Guest(Kernel),
}

impl FromStr for Where {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "host" {
            return Ok(Self::Host);
        }
        Kernel::from_str(text, false).map(Self::Guest).map_err(|_| {
            let guests: Vec<&str> = Kernel::ALL.iter().map(|kernel| kernel.name()).collect();
            format!("no kernel is called `{text}`: there are host, {}", guests.join(", "))
        })
    }
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Guest(kernel) => kernel.fmt(f),
        }
    }
}

fn limited(text: &str) -> Result<Rate, String> {
    match text.parse()? {
        Rate::Unlimited => Err("a limit needs a rate; `--only unlimited` measures without one".into()),
        rate => Ok(rate),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    impl Options {
        /// What a command line asks for, `bench shaper` left out.
        pub(in super::super) fn of_line(line: &str) -> Self {
            let words = ["bench"].into_iter().chain(line.split_whitespace());
            Line::try_parse_from(words).unwrap().options
        }
    }

    #[test]
    fn kernels_by_name() {
        assert_eq!("host".parse(), Ok(Where::Host));
        assert_eq!("uml612".parse(), Ok(Where::Guest(Kernel::Uml612)));
        assert!("vm".parse::<Where>().unwrap_err().contains("uml612"));
        assert!(limited("unlimited").is_err());
    }
}
