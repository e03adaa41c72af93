//! One cell of the table: what is measured, and what came out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::change::Change;
use super::contender::Contender;
use super::lane::Load;
use super::pair::{Family, Path};
use super::part::Part;
use super::program::Timing;
use super::traffic::Traffic;

/// One measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The part that it belongs to.
    pub part: Part,
    /// Whose limit.
    pub limit: Contender,
    /// The limit's rate in bit/s; 0 if there is none.
    pub rate_bit_s: u64,
    /// The version of the Internet Protocol.
    pub family: Family,
    /// The congestion control of each bulk upload.
    pub congestion: Vec<String>,
    /// Whether the connections may use ECN.
    pub ecn: bool,
    /// The path's round trip in milliseconds, beside what the limit adds.
    pub delay_ms: u64,
    /// For how long bulk is sent.
    pub seconds: u64,
}

/// A measurement and what came out of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    /// What was measured.
    #[serde(flatten)]
    pub cell: Cell,
    /// What came out.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What came out of a measurement.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Traffic through the limit.
    Traffic(Box<Traffic>),
    /// A change of rate.
    Change(Change),
    /// The time that a kernel program takes.
    Program(Timing),
    /// This limit has no such thing, or this machine cannot show it: why.
    NotHere(String),
    /// The measurement failed: why.
    Failed(String),
}

impl Cell {
    /// The path that it needs.
    pub fn path(&self) -> Path {
        Path { family: self.family, ecn: self.ecn, delay: Duration::from_millis(self.delay_ms) }
    }

    /// What it sends.
    pub fn load(&self) -> Load {
        Load {
            congestion: self.congestion.clone(),
            small_packets: self.part == Part::Small,
            duration: Duration::from_secs(self.seconds),
        }
    }

    /// Whether every packet behind the limit is looked at. Where the processor's time counts, or without a limit, that
    /// would only disturb.
    pub fn is_traced(&self) -> bool {
        self.part != Part::Cpu && self.limit != Contender::Unlimited
    }
}

impl Outcome {
    /// The traffic, if it is that.
    pub fn traffic(&self) -> Option<&Traffic> {
        match &self.finding {
            Finding::Traffic(traffic) => Some(traffic),
            _ => None,
        }
    }
}
