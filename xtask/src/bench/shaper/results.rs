//! The results as JSON: `docs/schema/bench-shaper.schema.json`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cell::Outcome;
use crate::machine::Machine;

/// The version of the form. It grows when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// The results of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Results {
    /// [`VERSION`].
    pub version: u32,
    /// When the run began, in UTC.
    pub started: String,
    /// The commit of the checkout, if it is one.
    pub commit: Option<String>,
    /// What was measured on each kernel.
    pub kernels: Vec<OnKernel>,
    /// Whether a signal ended the run early.
    pub interrupted: bool,
}

/// What was measured on one kernel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OnKernel {
    /// `host`, or the guest's name.
    pub place: String,
    /// The machine as programs on this kernel see it.
    pub machine: Machine,
    /// What could not be measured, and why.
    pub not_here: Vec<NotHere>,
    /// The measurements.
    pub outcomes: Vec<Outcome>,
}

/// Something that could not be measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotHere {
    /// A limit or a part of the table.
    pub what: String,
    /// What is lacking.
    pub why: String,
}

impl Results {
    /// Writes them to `path`.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads what [`Results::write`] wrote.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or has another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} has another form", path.display()))
    }
}
