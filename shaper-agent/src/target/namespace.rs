//! The network namespace that a target names.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::error::{Reason, TargetError};

/// Where `ip netns` keeps namespaces by name.
const NAMED: &str = "/run/netns";
/// What reading another user's process takes.
pub(super) const READ_PROCESSES: &str = "CAP_SYS_PTRACE and CAP_SYS_ADMIN";

/// A network namespace, kept open.
#[derive(Debug)]
pub(super) struct Namespace {
    pub(super) file: File,
    /// What it is called in messages.
    pub(super) object: String,
}

impl Namespace {
    /// The namespace of a process; `object` is what the process is in messages.
    pub(super) fn of_process(pid: u32, object: String) -> Result<Self, TargetError> {
        match open(Path::new(&format!("/proc/{pid}/ns/net"))) {
            Ok(file) => Ok(Self { file, object }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(TargetError::new(Reason::NotFound, object, "there is no such process, or it has ended")
                    .next("`ps -e` lists the processes"))
            }
            Err(error) => {
                Err(TargetError::system(object, "read its network namespace", &error, READ_PROCESSES))
            }
        }
    }

    /// A namespace by its name under `/run/netns`, or by its path.
    pub(super) fn named(name: &str) -> Result<Self, TargetError> {
        let path = if name.starts_with('/') { PathBuf::from(name) } else { Path::new(NAMED).join(name) };
        let object = format!("network namespace `{name}`");
        let file = open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                TargetError::new(Reason::NotFound, &object, format!("there is no {}", path.display()))
                    .next("`ip netns list` lists the named ones")
            }
            _ => TargetError::system(&object, &format!("open {}", path.display()), &error, "CAP_SYS_ADMIN"),
        })?;
        // Every namespace is a file on nsfs; whether it is one of networks shows when it is entered.
        let kind = nix::sys::statfs::fstatfs(&file).map_err(io::Error::from);
        if !kind.is_ok_and(|kind| kind.filesystem_type() == nix::sys::statfs::NSFS_MAGIC) {
            let cause = format!("{} is no network namespace", path.display());
            return Err(TargetError::new(Reason::WrongKind, object, cause)
                .next("give what `ip netns list` lists, or a path such as /proc/PID/ns/net"));
        }
        Ok(Self { file, object })
    }

    /// Whether this is the namespace that the agent itself is in.
    pub(super) fn is_own(&self) -> Result<bool, TargetError> {
        let same = || -> io::Result<bool> {
            let (own, this) = (fs::metadata("/proc/self/ns/net")?, self.file.metadata()?);
            Ok((own.dev(), own.ino()) == (this.dev(), this.ino()))
        };
        same().map_err(|error| {
            TargetError::system(
                &self.object,
                "compare it with the agent's own namespace",
                &error,
                READ_PROCESSES,
            )
        })
    }
}

/// Opens a file that may be anything: a pipe in its place must not block.
fn open(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_is_in_own_namespace() {
        let own = Namespace::of_process(std::process::id(), "this process".to_owned()).unwrap();
        assert!(own.is_own().unwrap());
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        let reason = |name: &str| Namespace::named(name).unwrap_err().reason();
        assert_eq!(reason("/dev/null"), Reason::WrongKind);
        assert_eq!(reason("/proc/self/status"), Reason::WrongKind);
        assert_eq!(reason("there-is-none-of-this-name"), Reason::NotFound);
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(reason(pipe.to_str().unwrap()), Reason::WrongKind);
        let gone = Namespace::of_process(u32::MAX, "process".to_owned()).unwrap_err();
        assert_eq!(gone.reason(), Reason::NotFound);
    }
}
