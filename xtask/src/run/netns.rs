//! A named network namespace, as `ip netns` sees it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

/// Where `ip netns` looks for names.
const DIRECTORY: &str = "/run/netns";

/// The file that stands for the namespace `name`.
pub fn path(name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(name)
}

/// Makes the namespace `name`. Unlike `ip netns add` this leaves no mount on `/run/netns` itself behind.
///
/// # Errors
///
/// If the name is taken or a system call fails.
pub fn create(name: &str) -> Result<()> {
    let path = path(name);
    if path.exists() {
        bail!(
            "the network namespace {name} exists and is not from run-all: `ip netns delete {name}` removes it"
        );
    }
    fs::create_dir_all(DIRECTORY).with_context(|| format!("cannot make {DIRECTORY}"))?;
    File::create_new(&path).with_context(|| format!("cannot make {}", path.display()))?;
    // A namespace belongs to the thread that unshares it; the mount keeps it once the thread has ended.
    let made = on_a_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace")?;
        mount(Some("/proc/thread-self/ns/net"), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("cannot mount the namespace on {}", path.display()))
    });
    if made.is_err() {
        fs::remove_file(&path).ok();
    }
    made
}

/// Removes the namespace `name`; processes inside keep it alive for themselves. `false` if there was none.
///
/// # Errors
///
/// If its name cannot be removed.
pub fn remove(name: &str) -> Result<bool> {
    let path = path(name);
    if !path.exists() {
        return Ok(false);
    }
    // Not mounted is what a run that was killed halfway through `create` leaves.
    umount2(&path, MntFlags::MNT_DETACH).ok();
    fs::remove_file(&path).with_context(|| format!("cannot remove the namespace {}", path.display()))?;
    // Fails, as it should, while other namespaces are there.
    fs::remove_dir(DIRECTORY).ok();
    Ok(true)
}

/// Runs `work` on a thread inside the namespace `name`.
///
/// # Errors
///
/// If the namespace cannot be entered, or what `work` returns.
pub fn inside<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let path = path(name);
    let file = File::open(&path).with_context(|| format!("cannot open the namespace {}", path.display()))?;
    on_a_thread(|| {
        setns(&file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter the namespace {name}"))?;
        work()
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))))
}
