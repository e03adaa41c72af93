//! Files that are whole or not there.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;

use super::Interrupt;

/// A file being written under another name in the directory of its own. Dropped, it is gone.
#[derive(Debug)]
pub(super) struct OutputFile {
    part: NamedTempFile,
    path: PathBuf,
}

impl OutputFile {
    /// Begins a file that is to be at `path`.
    ///
    /// # Errors
    ///
    /// If something else than a file is at `path`, or nothing can be written beside it.
    pub(super) fn create(path: &Path) -> Result<Self> {
        if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
            bail!("{} is there and is no regular file; give the name of a file", path.display());
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let part = tempfile::Builder::new()
            .prefix(".detect-")
            .suffix(".part")
            // What the process's mask leaves of it, as for any new file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(directory)
            .with_context(|| {
                format!("cannot write {}: is its directory there, and may you write in it?", path.display())
            })?;
        Ok(Self { part, path: path.into() })
    }

    /// Where it is until it is finished.
    pub(super) fn part(&self) -> &Path {
        self.part.path()
    }

    /// Writes `content` behind what has been written.
    ///
    /// # Errors
    ///
    /// If the disk is full.
    pub(super) fn write(&mut self, content: &[u8]) -> Result<()> {
        self.part.write_all(content).with_context(|| cannot_write(&self.path))
    }

    /// Gives the file its name, in place of what may have had it.
    ///
    /// # Errors
    ///
    /// If it cannot be renamed, or a signal has come.
    pub(super) fn finish(self, interrupt: &Interrupt) -> Result<()> {
        interrupt.check()?;
        let Self { part, path } = self;
        part.persist(&path).map_err(|error| error.error).with_context(|| cannot_write(&path))?;
        Ok(())
    }
}

/// Writes `content` as the file at `path`.
///
/// # Errors
///
/// As [`OutputFile::create`], [`OutputFile::write`] and [`OutputFile::finish`].
pub(super) fn write(path: &Path, content: &[u8], interrupt: &Interrupt) -> Result<()> {
    let mut file = OutputFile::create(path)?;
    file.write(content)?;
    file.finish(interrupt)
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_whole_file_takes_the_place_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.txt");
        write(&path, b"old", &Interrupt::default()).unwrap();
        write(&path, b"new", &Interrupt::default()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["a.txt"]);
        // Others may read it as they may any other file.
        let plain = directory.path().join("plain");
        fs::write(&plain, "").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions(), fs::metadata(&plain).unwrap().permissions());
    }

    #[test]
    fn an_interrupted_file_is_not_there_and_the_old_one_is() {
        let directory = tempfile::tempdir().unwrap();
        let (old, new) = (directory.path().join("old"), directory.path().join("new"));
        fs::write(&old, "old").unwrap();
        let interrupt = Interrupt::default();
        interrupt.set();
        for path in [&old, &new] {
            assert!(write(path, b"new", &interrupt).unwrap_err().is::<super::super::Interrupted>());
        }
        assert_eq!(names(directory.path()), ["old"]);
        assert_eq!(fs::read(&old).unwrap(), b"old");
    }

    #[test]
    fn what_is_no_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        for path in [directory.path(), Path::new("/dev/null")] {
            let error = write(path, b"", &Interrupt::default()).unwrap_err().to_string();
            assert!(error.contains("is no regular file"), "{error}");
        }
        let nowhere = directory.path().join("no/file");
        let error = write(&nowhere, b"", &Interrupt::default()).unwrap_err().to_string();
        assert!(error.contains("is its directory there"), "{error}");
    }
}
