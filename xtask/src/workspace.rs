//! The workspace on disk and the cargo that builds it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the sources are and where cargo puts what it builds.
#[derive(Debug, Clone)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: OsString,
}

impl Workspace {
    /// Finds the workspace that this program was started from, and asks cargo for its target directory (so
    /// that `CARGO_TARGET_DIR` and cargo's own configuration hold).
    ///
    /// # Errors
    ///
    /// If cargo cannot be run or does not know the workspace.
    pub fn locate() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // Set by `cargo run`; a binary that is started by hand belongs to the current directory's workspace.
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--no-deps", "--format-version", "1", "--quiet"]);
        if let Some(directory) = &manifest {
            command.arg("--manifest-path").arg(directory.join("Cargo.toml"));
        }
        let output = command.output().with_context(|| format!("cannot run {}", cargo.display()))?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let path = |key: &str| {
            metadata[key].as_str().map(PathBuf::from).with_context(|| format!("cargo metadata has no {key}"))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, cargo })
    }

    /// The directory that holds the workspace's `Cargo.toml`.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target directory.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// A release binary of the workspace, whether or not it is built.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// `cargo` in the workspace's root.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        command.current_dir(&self.root);
        // Variables of `cargo run xtask` that would leak into the builds it starts.
        for name in ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_NAME", "CARGO_PKG_VERSION"] {
            command.env_remove(name);
        }
        command
    }

    /// Builds the release binaries of `packages`; cargo's own progress goes to the terminal.
    ///
    /// # Errors
    ///
    /// If the build fails; cargo has said why by then.
    pub fn build_release(&self, packages: &[&str]) -> Result<()> {
        let mut command = self.cargo();
        command.args(["build", "--release"]);
        for package in packages {
            command.args(["--package", package]);
        }
        let status = command.status().context("cannot run cargo")?;
        if !status.success() {
            bail!("the release build failed: cargo's messages above say why");
        }
        Ok(())
    }
}
