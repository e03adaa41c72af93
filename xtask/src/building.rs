//! A folder that is there whole or not at all: it is built under another name and then renamed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The ending of a folder that is being built.
const PARTIAL: &str = "partial";

/// A folder in which something is built; removed on drop unless it has been moved away.
#[derive(Debug)]
pub(crate) struct Building {
    /// Where to build.
    pub(crate) folder: PathBuf,
}

impl Building {
    /// An empty folder beside the one that will be made of it.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn new(target: &Path) -> Result<Self> {
        let folder = target.with_added_extension(PARTIAL);
        remove(&folder)?;
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Puts what was built in the place of `target`.
    ///
    /// # Errors
    ///
    /// If what was there cannot be removed, or this not be renamed.
    pub(crate) fn finish(self, target: &Path) -> Result<()> {
        remove(target)?;
        fs::rename(&self.folder, target).with_context(|| format!("cannot make {}", target.display()))
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next one that builds here.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Removes what was left in `parent` when something was killed that built there.
///
/// # Errors
///
/// If it cannot be removed.
pub(crate) fn sweep(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).with_context(|| format!("cannot read {}", parent.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == PARTIAL) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes `folder`, if it is there.
///
/// # Errors
///
/// If it cannot be removed.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("part-1.0");
        let building = Building::new(&target).unwrap();
        fs::write(building.folder.join("file"), "half").unwrap();
        drop(building);
        assert!(fs::read_dir(directory.path()).unwrap().next().is_none());

        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let building = Building::new(&target).unwrap();
        fs::write(building.folder.join("file"), "whole").unwrap();
        building.finish(&target).unwrap();
        assert_eq!(fs::read(target.join("file")).unwrap(), b"whole");
        assert!(!target.join("old").exists());

        fs::create_dir(directory.path().join("killed.partial")).unwrap();
        sweep(directory.path()).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
