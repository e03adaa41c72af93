//! A container engine that images are handed to: through its client, wherever that finds it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The client.
const CLIENT: &str = "docker";

/// Whether an engine answers.
pub(super) fn answers() -> bool {
    let mut command = Command::new(CLIENT);
    command.args(["version", "--format", "{{.Server.Version}}"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Hands it the image in the file `path`.
///
/// # Errors
///
/// The client is not there, or the engine does not take the image.
pub(super) fn load(path: &Path) -> Result<()> {
    let mut command = Command::new(CLIENT);
    command.args(["load", "--quiet", "--input"]).arg(path).stdin(Stdio::null());
    let output = command.output().context("cannot run docker: its package is docker.io")?;
    if !output.status.success() {
        bail!("docker load {}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
