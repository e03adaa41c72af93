//! The programs that hold limits, and what they can do.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

/// The programs that hold limits.
#[derive(Debug, Clone)]
pub struct Programs {
    /// Sluice's agent.
    pub agent: PathBuf,
    /// Whether it takes `--mode`.
    pub has_modes: bool,
    /// Whether it takes the command `set`.
    pub has_set: bool,
    /// Cilium's rule, and the timing of programs.
    pub peer: PathBuf,
    /// magnific0's script, if the user has named it.
    pub wondershaper: Option<PathBuf>,
}

impl Programs {
    /// Looks what the agent can do.
    ///
    /// # Errors
    ///
    /// If it cannot be run.
    pub fn new(agent: PathBuf, peer: PathBuf, wondershaper: Option<PathBuf>) -> Result<Self> {
        let output = Command::new(&agent)
            .arg("--help")
            .output()
            .with_context(|| format!("cannot run {}", agent.display()))?;
        let help = String::from_utf8_lossy(&output.stdout);
        let has_modes = help.contains("--mode");
        let has_set = help.lines().any(|line| line.split_whitespace().next() == Some("set"));
        Ok(Self { agent, has_modes, has_set, peer, wondershaper })
    }
}
