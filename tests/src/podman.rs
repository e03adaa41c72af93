//! Podman with a storage of the test's own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{busybox, cgroups};

/// The only image: busybox with all its applets.
pub const IMAGE: &str = "localhost/busybox";

/// The cgroup above those of the containers.
const CGROUP: &str = "/sluice-tp";

/// A storage of containers. When it is dropped they are removed, and it with them.
pub struct Podman {
    directory: TempDir,
}

impl Podman {
    /// What this machine lacks; none if it has everything.
    #[must_use]
    pub fn missing() -> Option<&'static str> {
        if !nix::unistd::geteuid().is_root() {
            return Some("needs root");
        }
        let there =
            Command::new("podman").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if there.is_err() {
            return Some("needs podman");
        }
        busybox::missing()
    }

    /// Makes the storage and the image.
    ///
    /// # Errors
    ///
    /// Podman's words.
    pub fn new() -> Result<Self> {
        let podman = Self { directory: tempfile::Builder::new().prefix("sluice-podman-").tempdir()? };
        let archive = busybox::archive(podman.directory.path())?;
        podman.client(&["import", &archive.to_string_lossy(), IMAGE])?;
        Ok(podman)
    }

    /// What lasts: `--root`.
    #[must_use]
    pub fn graph(&self) -> PathBuf {
        self.directory.path().join("graph")
    }

    /// What lasts until the next start of the machine: `--runroot`.
    #[must_use]
    pub fn run_root(&self) -> PathBuf {
        self.directory.path().join("run")
    }

    /// Where the ends of containers are noted.
    #[must_use]
    pub fn exits(&self) -> PathBuf {
        self.directory.path().join("tmp/exits")
    }

    /// Starts the container `name` with a command that may be an applet of busybox, on the network `host`, `none` or
    /// `ns:PATH`, with further options of `podman run`; returns its id.
    ///
    /// # Errors
    ///
    /// Podman's words.
    pub fn run(&self, name: &str, network: &str, options: &[&str], command: &[&str]) -> Result<String> {
        let fixed = ["run", "--detach", "--name", name, "--network", network, "--cgroup-parent", CGROUP];
        // The default limits are higher than some machines permit.
        let limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];
        let output = self.client(&[&fixed[..], &limits, options, &[IMAGE], command].concat())?;
        Ok(output.lines().next_back().unwrap_or_default().to_owned())
    }

    /// Runs `podman` with these arguments and returns what it prints.
    ///
    /// # Errors
    ///
    /// Its words.
    pub fn client(&self, arguments: &[&str]) -> Result<String> {
        let path = self.directory.path();
        let option = |name: &str, directory: &Path| format!("--{name}={}", directory.display());
        let output = Command::new("podman")
            .args([option("root", &self.graph()), option("runroot", &self.run_root())])
            .args([option("tmpdir", &path.join("tmp")), option("network-config-dir", &path.join("net"))])
            // What works without systemd and on every file system.
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--events-backend=file"])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .context("run podman")?;
        if !output.status.success() {
            bail!("podman {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Nothing here can be told to anyone any more.
        let _ = self.client(&["rm", "--all", "--force", "--time", "0"]);
        let _ = self.client(&["rmi", "--all", "--force"]);
        cgroups::remove(CGROUP.trim_start_matches('/'));
    }
}
