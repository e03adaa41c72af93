//! What a finished part of the home holds, so that a half-finished or damaged one is told from it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::modules::files;
use crate::debian::apt::Package;

/// Grows when the parts are laid out anew: older ones are then built again.
const FORMAT: u32 = 1;
/// The manifest's name in its part.
const FILE: &str = "manifest.json";

/// The list that lies in a part.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// Where the part is: its programs name their loader by its whole path.
    folder: PathBuf,
    /// Debian's packages that it was made of, as `NAME VERSION`.
    packages: Vec<String>,
    /// Each file, by its path in the part, with its size in bytes.
    files: BTreeMap<PathBuf, u64>,
}

impl Manifest {
    /// Writes the manifest of the part in `built`, which will be moved to `folder`.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or the manifest not be written.
    pub(super) fn write(built: &Path, folder: &Path, packages: &[Package]) -> Result<()> {
        let mut sizes = BTreeMap::new();
        for file in files(built, true)? {
            let size = fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
            sizes.insert(file.strip_prefix(built).context("a file lies in its part")?.to_owned(), size);
        }
        let packages =
            packages.iter().map(|package| format!("{} {}", package.name, package.version)).collect();
        let manifest = Self { format: FORMAT, folder: folder.into(), packages, files: sizes };
        let path = built.join(FILE);
        fs::write(&path, serde_json::to_vec_pretty(&manifest)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether the part in `folder` is finished, in its place, and has all its files in their sizes.
    pub(super) fn holds(folder: &Path) -> bool {
        let read = || serde_json::from_slice::<Self>(&fs::read(folder.join(FILE)).ok()?).ok();
        let Some(manifest) = read() else { return false };
        let whole = |(file, size): (&PathBuf, &u64)| {
            fs::metadata(folder.join(file)).is_ok_and(|facts| facts.len() == *size)
        };
        manifest.format == FORMAT && manifest.folder == folder && manifest.files.iter().all(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let (built, part) = (directory.path().join("part.partial"), directory.path().join("part"));
        fs::create_dir_all(built.join("lib")).unwrap();
        fs::write(built.join("lib/file"), "content").unwrap();
        assert!(!Manifest::holds(&built), "no manifest yet");
        Manifest::write(&built, &part, &[]).unwrap();
        assert!(!Manifest::holds(&built), "not in its place yet");
        fs::rename(&built, &part).unwrap();
        assert!(Manifest::holds(&part));
        fs::write(part.join("lib/file"), "cut").unwrap();
        assert!(!Manifest::holds(&part), "a file was cut");
        fs::write(part.join("lib/file"), "content").unwrap();
        assert!(Manifest::holds(&part));
        fs::remove_file(part.join("lib/file")).unwrap();
        assert!(!Manifest::holds(&part), "a file is missing");
    }
}
