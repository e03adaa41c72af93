//! Commands under other kernels than the machine's, as `cargo xtask vm run` runs them.

use std::process::{Command, Output};

use anyhow::{Context, Result};

use crate::program;

/// Why no guest kernel can run here; none if one can.
pub fn missing() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Some("guest kernels need root");
    }
    if std::env::consts::ARCH != "x86_64" {
        return Some("guest kernels need an x86-64 machine");
    }
    None
}

/// Runs `command` in a guest with `options` of `vm run`. Its exit code is the command's own, 124 after a time-out,
/// 125 if the guest died, and 1 if it could not be started.
///
/// # Errors
///
/// `xtask` has not been built, or cannot be started.
pub fn run(options: &[&str], command: &[&str]) -> Result<Output> {
    Command::new(program::path("xtask")?)
        .args(["vm", "run"])
        .args(options)
        .arg("--")
        .args(command)
        .output()
        .context("start xtask")
}
