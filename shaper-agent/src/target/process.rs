//! What `/proc` says of a container's first process.

use std::{fs, os::unix::fs::MetadataExt as _};

use super::cgroup;

/// The inode of the machine's own PID namespace (`PROC_PID_INIT_INO`):
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/proc_ns.h#L42>.
const MACHINES_OWN: u64 = 0xEFFF_FFFC;

/// Whether this process counts processes in its own way, as one in a container does.
pub(super) fn counts_otherwise() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != MACHINES_OWN)
}

/// Whether a process lives and is the container `id`'s: a number that an engine wrote down may have been given to
/// another process since.
pub(super) fn is_of(pid: u32, id: &str) -> bool {
    let Some(stat) = Stat::of(pid) else { return false };
    stat.lives && (cgroup::mentions(pid, id) || Stat::of(stat.parent).is_some_and(|parent| parent.is_shim()))
}

/// The start of `/proc/PID/stat`.
struct Stat {
    name: String,
    lives: bool,
    parent: u32,
}

impl Stat {
    fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The name is in parentheses and may hold anything.
        let (before, after) = text.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        let lives = !matches!(fields.next()?, "Z" | "X" | "x");
        Some(Self { name: before.split_once('(')?.1.to_owned(), lives, parent: fields.next()?.parse().ok()? })
    }

    /// The parent that Podman and containerd give a container.
    fn is_shim(&self) -> bool {
        self.name == "conmon" || self.name.starts_with("containerd-shim")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_parentheses() {
        let stat = Stat::parse("17 (a) (b) S 12 17 17 0").unwrap();
        assert_eq!((stat.name.as_str(), stat.lives, stat.parent), ("a) (b", true, 12));
        assert!(!Stat::parse("17 (x) Z 12 1").unwrap().lives);
        assert!(Stat::parse("17 (containerd-shim) S 1 1").unwrap().is_shim());
        assert!(Stat::parse("").is_none());
    }

    #[test]
    fn other_processes_are_no_containers() {
        assert!(!is_of(std::process::id(), &"1f".repeat(32)));
        assert!(!is_of(u32::MAX, "web"));
    }
}
