//! The BPF file system, where limits outlive the agent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount, umount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

use crate::error::AgentError;

/// The source that `/proc/self/mounts` shows for a file system that an agent has mounted: only such a one is
/// unmounted again.
const SOURCE: &str = "sluice";

/// What the kernel itself puts into a new file system (`kernel/bpf/preload`).
const KERNELS_OWN: [&str; 2] = ["maps.debug", "progs.debug"];

/// Whether the BPF file system is mounted at `directory`.
pub(crate) fn is_mounted(directory: &Path) -> bool {
    statfs(directory).is_ok_and(|facts| facts.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts the BPF file system at `directory` if it is not there yet.
///
/// # Errors
///
/// The directory is not there and cannot be made, or the kernel refuses the mount.
pub(crate) fn ensure(directory: &Path) -> Result<(), AgentError> {
    if is_mounted(directory) {
        return Ok(());
    }
    let failed = |cause: io::Error| AgentError::Bpffs { directory: directory.to_owned(), cause };
    if !directory.is_dir() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
    mount(Some(SOURCE), directory, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|errno| failed(errno.into()))
}

/// Unmounts what an agent has mounted at `directory`, if nothing is left in it.
pub(crate) fn release(directory: &Path) {
    let ours = fs::read_to_string("/proc/self/mounts").is_ok_and(|mounts| {
        mounts.lines().any(|line| {
            let mut fields = line.split(' ');
            fields.next() == Some(SOURCE) && fields.next().is_some_and(|path| unescaped(path) == directory)
        })
    });
    let empty = fs::read_dir(directory).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| KERNELS_OWN.iter().any(|own| entry.file_name() == *own)))
    });
    if ours && empty {
        match umount(directory) {
            // Somebody has opened it since: it is still of use.
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(errno) => tracing::warn!("cannot unmount {}: {errno}", directory.display()),
        }
    }
}

/// A path of `/proc/self/mounts`, which writes white space in octal.
fn unescaped(path: &str) -> PathBuf {
    path.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\").into()
}
