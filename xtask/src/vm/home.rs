//! Where the unpacked kernels are: a folder outside the checkout, so that clean clones share it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::Flock;

use crate::interrupt::Interrupt;
use crate::lock;

/// The environment variable that names another folder.
pub const VARIABLE: &str = "SLUICE_VM";
const DEFAULT: &str = "/var/cache/sluice-vm";
/// What a guest covers with file systems of its own: it could not see the folder there.
const COVERED: [&str; 4] = ["/dev", "/proc", "/run", "/sys"];

/// The folder of the guests' kernels and programs.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

impl Home {
    /// The folder that `SLUICE_VM` names, or `/var/cache/sluice-vm`; made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be made, or lies where a guest cannot see it.
    pub fn locate() -> Result<Self> {
        let path = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self::at(&path.unwrap_or_else(|| DEFAULT.into()))
    }

    /// The folder `path`; made if it is not there.
    ///
    /// # Errors
    ///
    /// As [`Home::locate`].
    pub fn at(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).context("the current directory is gone")?;
        check(&path)?;
        fs::create_dir_all(path.join("run")).with_context(|| {
            format!(
                "cannot make {} for the guest kernels: {VARIABLE}=DIR chooses another folder",
                path.display()
            )
        })?;
        let path = path.canonicalize().with_context(|| format!("cannot resolve {}", path.display()))?;
        check(&path)?;
        Ok(Self(path))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// An empty folder, over which each guest's process mounts a file system that only it sees.
    pub(super) fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    /// Waits for the right to change the folder; others may read it meanwhile.
    ///
    /// # Errors
    ///
    /// If the lock cannot be had, or the wait was interrupted.
    pub(super) fn lock(&self, interrupt: &Interrupt) -> Result<Flock<File>> {
        lock::wait(&self.0, interrupt)
    }
}

/// Refuses a folder that a guest cannot see or whose name cannot be passed on.
fn check(path: &Path) -> Result<()> {
    if COVERED.iter().any(|covered| path.starts_with(covered)) {
        bail!(
            "{} cannot hold the guest kernels, because a guest has its own {}. Set {VARIABLE} to another folder",
            path.display(),
            COVERED.join(", ")
        );
    }
    // The guests' command lines and the emulator's options are split at these.
    if path.to_str().is_none_or(|text| text.contains(|c: char| !c.is_ascii_graphic() || ",'\"".contains(c))) {
        bail!(
            "{} cannot hold the guest kernels: its name must be ASCII without spaces, commas and quotes. \
             Set {VARIABLE} to another folder",
            path.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_guests_cannot_see_is_refused() {
        let error = Home::at(Path::new("/run/sluice-vm-test")).unwrap_err().to_string();
        assert!(!Path::new("/run/sluice-vm-test").exists());
        assert!(error.contains(VARIABLE), "{error}");
        let directory = tempfile::tempdir().unwrap();
        let error = Home::at(&directory.path().join("a b")).unwrap_err().to_string();
        assert!(error.contains("spaces"), "{error}");
        let home = Home::at(&directory.path().join("new/folder")).unwrap();
        assert!(home.run().is_dir());
    }
}
