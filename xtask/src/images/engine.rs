//! A container engine: through its client, wherever that finds it.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The client.
pub const CLIENT: &str = "docker";

/// Whether an engine answers.
pub(super) fn answers() -> bool {
    client(&["version"]).is_ok()
}

/// Hands it the image in the file `path`.
///
/// # Errors
///
/// The client is not there, or the engine does not take the image.
pub(super) fn load(path: &Path) -> Result<()> {
    client(&[OsStr::new("load"), OsStr::new("--quiet"), OsStr::new("--input"), path.as_os_str()]).map(drop)
}

/// Runs the client with these arguments and gives what it printed.
///
/// # Errors
///
/// The client is not there, or the engine refuses: its words.
pub fn client(arguments: &[impl AsRef<OsStr>]) -> Result<String> {
    let output = Command::new(CLIENT)
        .args(arguments)
        .stdin(Stdio::null())
        // Out of the terminal's reach for Ctrl-C: what has been asked of the engine goes on there anyway, and would be
        // done after it has been undone here.
        .process_group(0)
        .output()
        .context("cannot run docker (package docker.io)")?;
    if !output.status.success() {
        let words: Vec<_> =
            arguments.iter().map(|argument| argument.as_ref().display().to_string()).collect();
        bail!("`{CLIENT} {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
