//! Names under the BPF file system: what stays when the agent ends.
//!
//! ```text
//! <bpffs>/sluice/<network namespace>/maps/LIMITS, STATES, COUNTERS, RECORDS
//!                                    programs/<name>.<build>
//!                                    links/<slot>, pacing-<build>
//! ```
//!
//! Interfaces are numbered per network namespace, so each namespace has a folder, named by its inode number. No name
//! that a user gives becomes part of a path.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

use crate::{bpffs, error::AgentError};

/// The folder of all agents under the BPF file system.
const FOLDER: &str = "sluice";
const MAPS: &str = "maps";
const PROGRAMS: &str = "programs";
const LINKS: &str = "links";
const PACING: &str = "pacing";

/// The pins of this network namespace.
#[derive(Debug, Clone)]
pub(crate) struct Pins {
    bpffs: PathBuf,
    folder: PathBuf,
}

/// Held while limits are made or removed: one agent at a time in a network namespace.
#[derive(Debug)]
pub(crate) struct Lock {
    _folder: Flock<File>,
}

impl Pins {
    /// The pins of the calling thread's network namespace; nothing is made yet.
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted.
    pub(crate) fn locate(bpffs: &Path) -> Result<Self, AgentError> {
        let namespace = fs::metadata("/proc/thread-self/ns/net")
            .map_err(|error| AgentError::System("read the network namespace's number from /proc", error))?;
        let folder = bpffs.join(FOLDER).join(namespace.ino().to_string());
        Ok(Self { bpffs: bpffs.to_owned(), folder })
    }

    /// Whether an agent has left anything in this network namespace.
    pub(crate) fn exist(&self) -> bool {
        self.folder.is_dir()
    }

    /// Mounts the file system if need be, makes the folders and takes the lock.
    ///
    /// # Errors
    ///
    /// The file system cannot be mounted or written.
    pub(crate) fn create(&self) -> Result<Lock, AgentError> {
        bpffs::ensure(&self.bpffs)?;
        loop {
            for name in [MAPS, PROGRAMS, LINKS] {
                fs::create_dir_all(self.folder.join(name)).map_err(|cause| self.failed(cause))?;
            }
            match self.lock() {
                // Another agent may have removed the folders before this one had the lock.
                Ok(lock) if self.folder.join(LINKS).is_dir() => return Ok(lock),
                Ok(_) => {}
                Err(AgentError::Bpffs { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes the lock, waiting for whoever has it.
    ///
    /// # Errors
    ///
    /// There is no folder, or it cannot be opened.
    pub(crate) fn lock(&self) -> Result<Lock, AgentError> {
        let folder = File::open(&self.folder).map_err(|cause| self.failed(cause))?;
        match Flock::lock(folder, FlockArg::LockExclusive) {
            Ok(folder) => Ok(Lock { _folder: folder }),
            Err((_, errno)) => Err(self.failed(errno.into())),
        }
    }

    /// Where a map is pinned.
    pub(crate) fn map(&self, name: &str) -> PathBuf {
        self.folder.join(MAPS).join(name)
    }

    /// Where a build of a program is pinned. (The file system allows no dot in a name.)
    pub(crate) fn program(&self, name: &str, build: &str) -> PathBuf {
        self.folder.join(PROGRAMS).join(format!("{name}-{build}"))
    }

    /// All builds of a program that are pinned.
    pub(crate) fn programs(&self, name: &str) -> Vec<PathBuf> {
        named(&self.folder.join(PROGRAMS), name)
    }

    /// Where the link of a limit is pinned.
    pub(crate) fn link(&self, slot: u32) -> PathBuf {
        self.folder.join(LINKS).join(slot.to_string())
    }

    /// Where the link of a build's program that paces senders is pinned.
    pub(crate) fn pacing(&self, build: &str) -> PathBuf {
        self.folder.join(LINKS).join(format!("{PACING}-{build}"))
    }

    /// The links of all builds that pace senders.
    pub(crate) fn pacings(&self) -> Vec<PathBuf> {
        named(&self.folder.join(LINKS), PACING)
    }

    /// The slots whose links are pinned.
    pub(crate) fn links(&self) -> Vec<u32> {
        entries(&self.folder.join(LINKS))
            .filter_map(|path| path.file_name()?.to_str()?.parse().ok())
            .collect()
    }

    /// Removes the folder and what is in it. The lock is held by the caller.
    ///
    /// # Errors
    ///
    /// The file system refuses.
    pub(crate) fn remove(&self) -> Result<(), AgentError> {
        for name in [LINKS, PROGRAMS, MAPS] {
            let folder = self.folder.join(name);
            for pin in entries(&folder) {
                fs::remove_file(pin).map_err(|cause| self.failed(cause))?;
            }
            ignore_missing(fs::remove_dir(folder)).map_err(|cause| self.failed(cause))?;
        }
        ignore_missing(fs::remove_dir(&self.folder)).map_err(|cause| self.failed(cause))?;
        // Other network namespaces may still have folders.
        if let Some(parent) = self.folder.parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Unmounts the file system if an agent has mounted it and nothing is left in it.
    pub(crate) fn release(&self) {
        bpffs::release(&self.bpffs);
    }

    fn failed(&self, cause: io::Error) -> AgentError {
        AgentError::Bpffs { directory: self.folder.clone(), cause }
    }
}

/// All builds of what has a name in a folder.
fn named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let prefix = format!("{name}-");
    let ours = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
    };
    entries(folder).filter(ours).collect()
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
