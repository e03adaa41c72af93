//! Network namespaces without a name. Each belongs to a process that only sleeps, as a container's belongs to the
//! container's first process, so that all of it vanishes with the run, however that ends.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::confine::{Place, confine};

/// A network namespace; gone, with every link in it, when the value is dropped.
#[derive(Debug)]
pub struct Namespace {
    keeper: Child,
    file: File,
}

impl Namespace {
    /// Makes one. The calling thread must outlive it.
    ///
    /// # Errors
    ///
    /// If the kernel has no network namespaces or this program may not make one.
    pub fn create() -> Result<Self> {
        let mut command = Command::new("sleep");
        command.arg("infinity").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        confine(&mut command, Place::New);
        let mut keeper =
            command.spawn().context("cannot start a process in a network namespace of its own")?;
        let path = format!("/proc/{}/ns/net", keeper.id());
        match File::open(&path) {
            Ok(file) => Ok(Self { keeper, file }),
            Err(error) => {
                keeper.kill().ok();
                keeper.wait().ok();
                Err(error).with_context(|| format!("cannot open {path}"))
            }
        }
    }

    /// The process that the namespace belongs to.
    pub fn pid(&self) -> u32 {
        self.keeper.id()
    }

    /// Runs `work` inside, on a thread of its own. Sockets that it opens stay inside for their life.
    ///
    /// # Errors
    ///
    /// If the namespace cannot be entered, or what `work` returns.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).context("cannot enter a network namespace")?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        })
    }

    /// A command that runs inside with this program's privileges and dies with the thread that starts it.
    ///
    /// # Errors
    ///
    /// If no more files can be opened.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Result<Command> {
        let mut command = Command::new(program);
        command.stdin(Stdio::null());
        confine(&mut command, Place::Namespace(self.file.try_clone()?));
        Ok(command)
    }

    /// Runs `ip` or `tc` inside with the words of `line`.
    ///
    /// # Errors
    ///
    /// With the program's own message.
    pub fn call(&self, line: &str) -> Result<()> {
        let mut words = line.split_whitespace();
        let program = words.next().unwrap_or_default();
        let output = self
            .command(program)?
            .args(words)
            .output()
            .with_context(|| format!("cannot run `{program}` (package iproute2)"))?;
        if output.status.success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&output.stderr);
        let message: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        bail!("`{line}` failed: {}", message.join("; "));
    }

    /// Writes a switch under `/proc/sys/net` of this namespace.
    ///
    /// # Errors
    ///
    /// If the kernel has no such switch or does not take the value.
    pub fn sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| {
            let path = format!("/proc/sys/net/{name}");
            std::fs::write(&path, value).with_context(|| format!("cannot write {value} to {path}"))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Both fail if it has been killed from outside, which is as well.
        self.keeper.kill().ok();
        self.keeper.wait().ok();
    }
}
