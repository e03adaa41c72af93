//! What a run has made and must not leave behind: written down before it is made, so that the next run can
//! remove the rest of one that was killed.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::umount;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::forwarding::Forwarding;
use super::{docker, netns, network};

/// Where the lock and the list are; a temporary file system, so that a reboot clears it.
const DIRECTORY: &str = "/run/sluice";

/// The things of one run.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Rest {
    /// The boot in which they were made; after another boot none of them exists.
    boot: String,
    /// The run itself.
    pub run: Option<Process>,
    /// The network namespace.
    pub namespace: Option<String>,
    /// Network links on the host.
    pub links: Vec<String>,
    /// Where the shaper's BPF file system is mounted: what is pinned there goes with it.
    #[serde(default)]
    pub bpffs: Option<PathBuf>,
    /// Containers and their network.
    #[serde(default)]
    pub docker: Option<docker::Made>,
    /// The programs.
    pub processes: Vec<Process>,
    /// Forwarding for a camera outside this machine.
    pub forwarding: Option<Forwarding>,
}

/// A process, told from a later one with the same number by its start time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The process identifier.
    pub pid: i32,
    /// Clock ticks from boot to its start, from `/proc/PID/stat`.
    pub started: u64,
}

impl Process {
    /// The process `pid`; `None` if there is none, or if it has ended and only waits to be collected.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may itself hold spaces and parentheses.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let started = fields.get(19)?.parse().ok()?;
        (!matches!(fields[0], "Z" | "X")).then_some(Self { pid, started })
    }

    fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// The right to be the only run on this machine, and the list of what it made.
#[derive(Debug)]
pub struct Lock {
    // Held while the value lives; the kernel lets go of it if the process is killed.
    _lock: Flock<File>,
    list: PathBuf,
    rest: Rest,
}

impl Lock {
    /// Takes the lock and removes what an earlier, killed run left.
    ///
    /// # Errors
    ///
    /// If another run is on, or a rest cannot be removed.
    pub fn take() -> Result<Self> {
        Self::take_in(Path::new(DIRECTORY))
    }

    fn take_in(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let (path, list) = (directory.join("run-all.lock"), directory.join("run-all.json"));
        let file = File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        let earlier = || fs::read(&list).ok().and_then(|text| serde_json::from_slice::<Rest>(&text).ok());
        let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
            let pid = earlier()
                .and_then(|rest| rest.run)
                .map_or(String::new(), |run| format!(" (pid {})", run.pid));
            bail!(
                "another `cargo xtask run-all`{pid} is on; one runs at a time: wait for it or stop it with Ctrl-C"
            );
        };
        let boot =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        if let Some(rest) = earlier().filter(|rest| rest.boot == boot) {
            remove(&rest).context("cannot remove the rest of an earlier run")?;
        }
        fs::remove_file(&list).ok();
        let run = Process::of(std::process::id().cast_signed());
        let mut lock = Self { _lock: lock, list, rest: Rest { boot, run, ..Rest::default() } };
        lock.record(|_| {})?;
        Ok(lock)
    }

    /// Changes the list, on disk when this returns.
    ///
    /// # Errors
    ///
    /// If the list cannot be written.
    pub fn record(&mut self, change: impl FnOnce(&mut Rest)) -> Result<()> {
        change(&mut self.rest);
        let write = || -> Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(self.list.parent().unwrap_or(Path::new("/")))?;
            file.write_all(&serde_json::to_vec_pretty(&self.rest)?)?;
            file.persist(&self.list)?;
            Ok(())
        };
        write().with_context(|| format!("cannot write {}", self.list.display()))
    }

    /// Removes everything on the list.
    ///
    /// # Errors
    ///
    /// Names what stays.
    pub fn clear(&mut self) -> Result<()> {
        remove(&self.rest)?;
        self.rest = Rest { boot: std::mem::take(&mut self.rest.boot), ..Rest::default() };
        fs::remove_file(&self.list).ok();
        Ok(())
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("warning: {error:#}; `cargo xtask clean` tries again");
        }
    }
}

/// Removes `rest`, and says what there was.
fn remove(rest: &Rest) -> Result<()> {
    let own = Process::of(std::process::id().cast_signed());
    let foreign = rest.run != own;
    for process in rest.processes.iter().filter(|process| process.is_alive()) {
        if foreign {
            println!("removing the process {} of a killed run", process.pid);
        }
        kill(Pid::from_raw(process.pid), Signal::SIGKILL).ok();
    }
    if let Some(made) = &rest.docker {
        // Before the links: the bridge is the engine's to remove.
        made.remove()?;
    }
    if let Some(forwarding) = &rest.forwarding {
        forwarding.undo();
    }
    for link in rest.links.iter().filter(|link| network::exists(link)) {
        if foreign {
            println!("removing the network link {link} of a killed run");
        }
        let removed = network::ip(&["link", "delete", "dev", link]);
        // The veth's host end goes by itself when its namespace has gone first.
        if network::exists(link) {
            removed.with_context(|| format!("the network link {link} stays"))?;
        }
    }
    if let Some(bpffs) = &rest.bpffs {
        unmount(bpffs, foreign)?;
    }
    if let Some(namespace) = &rest.namespace
        && netns::remove(namespace)?
        && foreign
    {
        println!("removing the network namespace {namespace} of a killed run");
    }
    Ok(())
}

/// Unmounts the file system at `path`, if one is mounted there, and removes the directory.
fn unmount(path: &Path, foreign: bool) -> Result<()> {
    match umount(path) {
        Ok(()) if foreign => println!("removing the limit of a killed run"),
        // Not mounted, or never made: the shaper unmounts it itself when it ends in order.
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => {}
        Err(errno) => bail!("{} stays mounted: {errno}", path.display()),
    }
    match fs::remove_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} stays", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn one_run_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let first = Lock::take_in(directory.path()).unwrap();
        let error = Lock::take_in(directory.path()).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(!directory.path().join("run-all.json").exists());
        Lock::take_in(directory.path()).unwrap();
    }

    #[test]
    fn the_rest_of_a_killed_run_goes_and_a_reused_number_stays() {
        let directory = tempfile::tempdir().unwrap();
        let sleep = || Command::new("sleep").arg("60").spawn().unwrap();
        let (mut ours, mut another) = (sleep(), sleep());
        let mut lock = Lock::take_in(directory.path()).unwrap();
        let process = |child: &std::process::Child| Process::of(child.id().cast_signed()).unwrap();
        let reused = Process { started: 1, ..process(&another) };
        lock.record(|rest| rest.processes = vec![process(&ours), reused]).unwrap();
        // As if killed: the list stays, the lock goes.
        let list = fs::read(directory.path().join("run-all.json")).unwrap();
        lock.record(|rest| rest.processes.clear()).unwrap();
        drop(lock);
        fs::write(directory.path().join("run-all.json"), list).unwrap();

        drop(Lock::take_in(directory.path()).unwrap());
        assert!(!ours.wait().unwrap().success());
        assert!(another.try_wait().unwrap().is_none());
        another.kill().unwrap();
        another.wait().unwrap();
    }
}
