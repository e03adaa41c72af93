//! What is measured: the parts of the table.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::contender::Contender;

/// A part of the measurements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// One bulk upload: payload rate, segments sent again, bursts
    Rate,
    /// Small packets beside one bulk upload at the lowest rate
    Small,
    /// Four bulk uploads at once at 1 Mbit/s
    Fair,
    /// One bulk upload with ECN
    Ecn,
    /// One bulk upload over a path with a round trip of 50 and 200 ms (needs netem)
    Delay,
    /// How soon a change of the rate bites
    Change,
    /// The whole machine's processor time at 1 Gbit/s
    Cpu,
    /// A kernel program's time for a packet (BPF_PROG_TEST_RUN)
    Program,
}

impl Part {
    /// Whether the contender takes part in it.
    pub fn concerns(self, contender: Contender) -> bool {
        let has_program = matches!(contender, Contender::Police | Contender::Shape | Contender::Cilium);
        match self {
            Self::Rate | Self::Cpu => true,
            Self::Small | Self::Fair | Self::Delay | Self::Change => contender != Contender::Unlimited,
            Self::Ecn => has_program || contender == Contender::HtbFqCodel,
            Self::Program => has_program,
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
