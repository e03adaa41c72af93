//! What `/proc` says of a container's first process.

use std::{collections::HashSet, fs, iter, os::unix::fs::MetadataExt as _};

use super::cgroup;

/// The inode of the machine's own PID namespace (`PROC_PID_INIT_INO`):
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/proc_ns.h#L42>.
const MACHINES_OWN: u64 = 0xEFFF_FFFC;
/// How far below its shim a container's first process may be: there are the runtime and its stages between them.
const DEPTH: usize = 8;

/// Whether this process counts processes in its own way, as one in a container does.
pub(super) fn counts_otherwise() -> bool {
    fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != MACHINES_OWN)
}

/// Whether a process lives and is the container `id`'s: a number that an engine wrote down may have been given to
/// another process since.
pub(super) fn is_of(pid: u32, id: &str) -> bool {
    let Some(stat) = Stat::of(pid) else { return false };
    stat.lives && (Stat::of(stat.parent).is_some_and(|parent| parent.is_shim()) || cgroup::mentions(pid, id))
}

/// The process that is to become the container `id`'s program, while its runtime sets it up; no engine tells of it yet.
///
/// The runtime, and the shim that starts it, have the id among their arguments; the process is below them, in a network
/// namespace of its own. (Its cgroup has the id, too, but the kernel lets nobody read that while it makes cgroups, which
/// is when it matters.)
pub(super) fn starting(id: &str) -> Option<u32> {
    let own = network_namespace("self")?;
    let network = |pid: u32| network_namespace(&pid.to_string());
    let starters: HashSet<u32> =
        all()?.filter(|pid| has_argument(*pid, id) && network(*pid) == Some(own)).collect();
    let is_below = |pid: u32| {
        let parent = |pid: &u32| Stat::of(*pid).map(|stat| stat.parent);
        iter::successors(parent(&pid), parent).take(DEPTH).any(|above| starters.contains(&above))
    };
    let is_apart = |pid: u32| network(pid).is_some_and(|network| network != own);
    (!starters.is_empty()).then(|| all()?.find(|pid| is_apart(*pid) && is_below(*pid))).flatten()
}

/// All processes.
fn all() -> Option<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// Whether a process of this process's user was started with `argument`.
fn has_argument(pid: u32, argument: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
        && fs::metadata(format!("/proc/{pid}"))
            .is_ok_and(|process| fs::metadata("/proc/self").is_ok_and(|own| own.uid() == process.uid()))
}

/// The inode of a process's network namespace; none if it has ended or may not be looked at.
fn network_namespace(pid: &str) -> Option<u64> {
    Some(fs::metadata(format!("/proc/{pid}/ns/net")).ok()?.ino())
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
    use std::{
        os::unix::process::CommandExt as _,
        process::{Command, Stdio},
        time::{Duration, Instant},
    };

    use nix::{
        sys::signal::{Signal, killpg},
        unistd::Pid,
    };

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
    fn what_a_runtime_sets_up_is_found_by_the_id() {
        let id = "5e".repeat(32);
        // As a shim and its container: the id is an argument of the outer one, the inner one has a network of its own.
        let spawned = Command::new("sh")
            .args(["-c", "unshare --user --net sleep 60; true", &id])
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        let mut outer = spawned.unwrap();
        let patience = Instant::now() + Duration::from_secs(20);
        let mut found = None;
        while found.is_none() && Instant::now() < patience && outer.try_wait().unwrap().is_none() {
            found = starting(&id);
        }
        let refused = outer.try_wait().unwrap().is_some();
        let _ = killpg(Pid::from_raw(outer.id().cast_signed()), Signal::SIGKILL);
        outer.wait().unwrap();
        if refused {
            println!("SKIPPED: may not make namespaces");
        } else {
            assert!(found.is_some_and(|pid| pid != outer.id()), "{found:?}");
        }
        assert_eq!(starting(&"e5".repeat(32)), None);
    }

    #[test]
    fn other_processes_are_no_containers() {
        assert!(!is_of(std::process::id(), &"1f".repeat(32)));
        assert!(!is_of(u32::MAX, "web"));
    }
}
