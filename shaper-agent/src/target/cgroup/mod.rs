//! The version 2 cgroup whose processes' traffic is limited.
//!
//! A cgroup's limit counts what the cgroup's sockets send and receive. A socket belongs to the cgroup that its process
//! was in when it was *made*, and a connection that a listener accepts belongs to the listener's.
//!
//! Where version 2 is in charge, and where a runtime such as runc 1.1 finds a version 2 hierarchy mounted at
//! `/sys/fs/cgroup/unified` beside version 1, every container has a cgroup of its own from its first process on, and
//! the limit is complete.
//!
//! Elsewhere the agent makes one (`sluice/<id>`) and moves the container's processes into it. That has limits:
//!
//! - sockets that were made before the move are not counted, nor what a listener made before it accepts: start the
//!   container after the agent, or its program again after the container is limited;
//! - processes that come into the container later by themselves are children of moved ones and so are in it, but those
//!   that are put in from outside (`docker exec`) have to be moved, too: [`CgroupPlace::refill`], once a second;
//! - before Linux 5.15 a `net_cls` or `net_prio` cgroup that is in use takes the sockets out of version 2's sight.
//!
//! Mounting `cgroup2` at `/sys/fs/cgroup/unified` before the container starts avoids all three.

mod find;
mod membership;
mod mounts;

use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
};

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};

pub(super) use self::find::Scope;
use self::membership::Membership;
pub(crate) use self::mounts::unified;
use super::error::{Reason, TargetError};

/// The directory of the agent's own cgroups.
const OWN: &str = "sluice";
const PROCESSES: &str = "cgroup.procs";
/// How often emptying a cgroup is tried: a process can fork while the others are moved.
const TRIES: usize = 20;
const PRIVILEGE: &str = "leave to write below the cgroup2 mount";

/// A version 2 cgroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPlace {
    path: PathBuf,
    own: Option<Own>,
}

/// What the agent made itself.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Own {
    /// The version 1 cgroup of the processes that belong in it; none if that is not known.
    source: Option<PathBuf>,
}

impl CgroupPlace {
    /// The cgroup's directory, absolute and without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the agent made the cgroup itself. Then [`refill`](Self::refill) it every second, and
    /// [`remove`](Self::remove) it when the limit is removed.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// The cgroup at `path` if an agent made it, to remove it; none if it is another's or gone.
    #[must_use]
    pub fn left_behind(path: &Path) -> Option<Self> {
        let below_own = path.parent().and_then(Path::file_name).is_some_and(|name| name == OWN);
        (below_own && Self::check(path, "").is_ok())
            .then(|| Self { path: path.to_owned(), own: Some(Own { source: None }) })
    }

    /// The cgroup at `path`, whoever made it; none if it is gone. What an agent made itself is known to be so, but not
    /// where its processes come from: it cannot be refilled.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        Self::left_behind(path)
            .or_else(|| Self::check(path, "").is_ok().then(|| Self { path: path.to_owned(), own: None }))
    }

    /// The cgroup of a directory that a user names.
    pub(super) fn named(path: &Path) -> Result<Self, TargetError> {
        let object = format!("cgroup `{}`", path.display());
        let path = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                TargetError::new(Reason::NotFound, &object, "there is no such directory")
                    .next("`systemd-cgls` or `cat /proc/PID/cgroup` tells where the processes are")
            }
            _ => TargetError::system(&object, "reach it", &error, PRIVILEGE),
        })?;
        Self::check(&path, &object)?;
        Ok(Self { path, own: None })
    }

    /// Checks that a directory is a cgroup that can be limited.
    fn check(path: &Path, object: &str) -> Result<(), TargetError> {
        let wrong = |cause: &str| TargetError::new(Reason::WrongKind, object, cause);
        if !path.is_dir() {
            return Err(wrong("it is no directory").next("give the cgroup's directory"));
        }
        let system = statfs(path)
            .map_err(|error| TargetError::system(object, "find its file system", &error.into(), PRIVILEGE))?;
        if system.filesystem_type() != CGROUP2_SUPER_MAGIC {
            return Err(wrong("it is not on a cgroup2 file system")
                .next("`findmnt -t cgroup2` shows where one is; version 1 cgroups cannot be limited"));
        }
        // The root alone lacks this file.
        if !path.join("cgroup.type").exists() {
            return Err(wrong("it is the root of all cgroups, and its limit would be the whole machine's")
                .next("name the cgroup of one container or service"));
        }
        Ok(())
    }

    /// The cgroup of the container `id` that the process `pid` belongs to; made and filled if it has none of its own.
    pub(super) fn of_container(pid: u32, id: &str, scope: Scope, object: &str) -> Result<Self, TargetError> {
        let membership = Membership::of(pid).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => TargetError::new(Reason::NotRunning, object, "it has just ended"),
            _ => TargetError::system(object, "read its cgroups", &error, "CAP_SYS_PTRACE"),
        })?;
        let mounts = mounts::read().map_err(|error| {
            TargetError::system(object, "read /proc/self/mountinfo", &error, "CAP_SYS_PTRACE")
        })?;
        let place = find::find(&membership, &mounts, id, scope, object)?;
        if place.is_own() {
            fs::create_dir_all(&place.path).map_err(|error| {
                TargetError::system(
                    object,
                    &format!("make the cgroup {}", place.path.display()),
                    &error,
                    PRIVILEGE,
                )
            })?;
            if let Err(error) = place.refill() {
                // What is half done would stay; why it failed matters more than whether it can be undone.
                let _ = place.remove();
                return Err(error);
            }
        }
        Self::check(&place.path, object)?;
        Ok(place)
    }

    /// Moves what has come into the container since into the agent's own cgroup; returns how many processes. Does
    /// nothing for a cgroup that the agent did not make.
    ///
    /// # Errors
    ///
    /// The cgroup is gone or cannot be written.
    pub fn refill(&self) -> Result<usize, TargetError> {
        let Some(source) = self.own.as_ref().and_then(|own| own.source.as_ref()) else { return Ok(0) };
        let mut wanted = HashSet::new();
        processes_below(source, &mut wanted);
        let failed = |error| self.failed("read it", &error);
        for there in processes(&self.path).map_err(failed)? {
            wanted.remove(&there);
        }
        self.put(&self.path, &wanted)
    }

    /// Lets the processes back to where they came from and removes the agent's own cgroup. Does nothing for a cgroup
    /// that the agent did not make, or that is gone.
    ///
    /// # Errors
    ///
    /// The cgroup cannot be emptied or removed.
    pub fn remove(&self) -> Result<(), TargetError> {
        let Some(shelf) = self.path.parent().filter(|_| self.is_own()) else { return Ok(()) };
        let Some(origin) = shelf.parent() else { return Ok(()) };
        for tries_left in (0..TRIES).rev() {
            let inside = match processes(&self.path) {
                Ok(inside) => inside,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(self.failed("read it", &error)),
            };
            self.put(origin, &inside)?;
            match fs::remove_dir(&self.path) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy && tries_left > 0 => {
                    // A process that is ending still counts.
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("remove it", &error));
                }
                _ => break,
            }
        }
        // Others' cgroups may still be in it; the last one takes it along.
        let _ = fs::remove_dir(shelf);
        Ok(())
    }

    /// Moves processes into the cgroup at `directory`; how many.
    fn put(&self, directory: &Path, processes: &HashSet<u32>) -> Result<usize, TargetError> {
        let mut moved = 0;
        for process in processes {
            match fs::write(directory.join(PROCESSES), process.to_string()) {
                Ok(()) => moved += 1,
                // It has ended.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                Err(error) => {
                    let doing = format!("move process {process} to {}", directory.display());
                    return Err(self.failed(&doing, &error));
                }
            }
        }
        Ok(moved)
    }

    fn failed(&self, doing: &str, error: &io::Error) -> TargetError {
        TargetError::system(
            format!("the agent's own cgroup `{}`", self.path.display()),
            doing,
            error,
            PRIVILEGE,
        )
    }
}

/// Whether one of the process's cgroups is called by the container's id.
pub(super) fn mentions(pid: u32, id: &str) -> bool {
    Membership::of(pid).is_ok_and(|membership| {
        let unified = membership.unified().into_iter();
        unified
            .chain(membership.version_1().map(|(_, path)| path))
            .any(|path| find::part_of(path, id, Scope::Container).is_some())
    })
}

fn processes(directory: &Path) -> io::Result<HashSet<u32>> {
    let text = fs::read_to_string(directory.join(PROCESSES))?;
    // Processes of another PID namespace read as 0.
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect())
}

/// The processes of a cgroup and of those within it. One that is gone has none.
fn processes_below(directory: &Path, found: &mut HashSet<u32>) {
    found.extend(processes(directory).unwrap_or_default());
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            processes_below(&entry.path(), found);
        }
    }
}
