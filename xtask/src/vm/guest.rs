//! A throw-away guest that runs one command.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::unistd::Uid;

use super::end::{Captured, End};
use super::home::Home;
use super::kernel::{Kernel, Machine};
use super::streams::{self, Progress};
use super::{files, launch, process, setup};
use crate::interrupt::Interrupt;

/// The memory that a guest has unless told otherwise.
pub const MEMORY_MIB: u32 = 1536;
/// The processors that an emulated guest has unless told otherwise.
const CPUS: u32 = 2;
/// Variables of this process's environment that every guest gets.
const ENVIRONMENT: [&str; 6] = ["PATH", "HOME", "LANG", "CARGO_HOME", "RUSTUP_HOME", "RUST_BACKTRACE"];
/// How often a running guest is looked at.
const GLANCE: Duration = Duration::from_millis(10);
/// How long a guest may take to switch itself off once its command has ended.
const POWER_OFF: Duration = Duration::from_secs(2);

/// A guest to be: its kernel and what it is given.
///
/// It has the host's files, read-only under a layer that is thrown away, no network but its own loopback, and runs
/// its command as root. It is for trying things on other kernels and no barrier against a hostile command.
#[derive(Debug, Clone)]
pub struct Guest {
    pub(super) kernel: Kernel,
    pub(super) memory_mib: u32,
    cpus: Option<u32>,
    pub(super) writable: Vec<PathBuf>,
    pub(super) environment: Vec<(OsString, OsString)>,
    pub(super) directory: PathBuf,
    pub(super) console: bool,
    timeout: Option<Duration>,
}

impl Guest {
    /// A guest with `kernel`, in the current directory, with the usual variables of this process's environment.
    ///
    /// # Errors
    ///
    /// If the current directory is gone.
    pub fn new(kernel: Kernel) -> Result<Self> {
        let directory = std::env::current_dir().context("the current directory is gone")?;
        let environment = ENVIRONMENT.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        Ok(Self {
            kernel,
            memory_mib: MEMORY_MIB,
            cpus: None,
            writable: Vec::new(),
            environment: environment.collect(),
            directory,
            console: false,
            timeout: None,
        })
    }

    /// Gives it so much memory.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Gives it so many processors (user-mode guests have one).
    #[must_use]
    pub fn with_cpus(mut self, cpus: u32) -> Self {
        self.cpus = Some(cpus);
        self
    }

    /// Lets it write into the host's folder `folder`; what it writes elsewhere is lost with it.
    #[must_use]
    pub fn write(mut self, folder: impl Into<PathBuf>) -> Self {
        self.writable.push(folder.into());
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Shows the guest's console on standard error while it runs.
    #[must_use]
    pub fn show_console(mut self, show: bool) -> Self {
        self.console = show;
        self
    }

    /// Kills it after so long, from its start.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Processors.
    pub(super) fn cpus(&self) -> u32 {
        self.cpus.unwrap_or(match self.kernel.machine() {
            Machine::UserMode => 1,
            Machine::Emulated => CPUS,
        })
    }

    /// Boots the guest and runs `command` in it, whose output goes to this process's as it comes; its standard
    /// input is empty. Fetches what the guest runs on if it is not there.
    ///
    /// # Errors
    ///
    /// If the guest cannot be started, or the work is interrupted. How the command ended is no error.
    pub fn run(&self, command: &[impl AsRef<OsStr>], interrupt: &Interrupt) -> Result<End> {
        self.run_into(command, &mut io::stdout(), &mut io::stderr(), interrupt)
    }

    /// As [`Guest::run`], and collects the command's output.
    ///
    /// # Errors
    ///
    /// As [`Guest::run`].
    pub fn capture(&self, command: &[impl AsRef<OsStr>], interrupt: &Interrupt) -> Result<Captured> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let end = self.run_into(command, &mut stdout, &mut stderr, interrupt)?;
        Ok(Captured { end, stdout, stderr })
    }

    fn run_into(
        &self,
        command: &[impl AsRef<OsStr>],
        stdout: &mut (dyn Write + Send),
        stderr: &mut (dyn Write + Send),
        interrupt: &Interrupt,
    ) -> Result<End> {
        let guest = self.checked()?;
        let home = Home::locate()?;
        setup::setup(&home, &[self.kernel], interrupt)?;
        let words: Vec<Vec<u8>> =
            command.iter().map(|word| word.as_ref().as_encoded_bytes().to_vec()).collect();
        let (host, ends) = streams::pairs()?;
        let progress = Progress::default();
        let mut shown: Box<dyn Write + Send> =
            if self.console { Box::new(io::stderr()) } else { Box::new(io::sink()) };
        thread::scope(|scope| {
            let out = scope.spawn(|| streams::pass(host.out, stdout));
            let err = scope.spawn(|| streams::pass(host.err, stderr));
            let control = scope.spawn(|| progress.follow(host.control));
            let console = scope.spawn(|| streams::keep(host.console, &mut shown));
            // Namespaces belong to a thread, and the guest dies with the thread that started it.
            let watch = scope.spawn(|| guest.boot_and_watch(&home, &words, ends, &progress, interrupt));
            let watched = watch.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked")));
            // The guest's ends are closed by now, so these end too.
            out.join().and(err.join()).and(control.join()).map_err(|_| anyhow!("a thread panicked"))?;
            let console = console.join().map_err(|_| anyhow!("a thread panicked"))?;
            Ok(match (watched?, progress.code()) {
                (_, Some(code)) => End::Exited(code),
                (Watched::TimedOut, None) => End::TimedOut,
                (Watched::Ended, None) => End::Died { started: progress.started(), console },
            })
        })
    }

    /// The same guest with its folders' whole names, if all can be had.
    fn checked(&self) -> Result<Self> {
        if !Uid::effective().is_root() {
            bail!("a guest kernel sees the whole machine's files, so running one needs root");
        }
        ensure!(
            self.cpus() == 1 || self.kernel.machine() == Machine::Emulated,
            "{} is a user-mode kernel and has one processor: choose a tcg kernel for more",
            self.kernel
        );
        let mut guest = self.clone();
        for folder in &mut guest.writable {
            *folder = checked_folder(folder)?;
        }
        Ok(guest)
    }

    fn boot_and_watch(
        &self,
        home: &Home,
        words: &[Vec<u8>],
        ends: streams::Guest,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<Watched> {
        launch::isolate(&home.run())?;
        files::write(self, home, words)?;
        let mut command = process::command(self, home, ends.numbers());
        command.stdin(Stdio::null()).stdout(ends.log()?).stderr(ends.log()?);
        let child = launch::start(command, ends.into_descriptors()).context("cannot start the guest")?;
        self.watch(child, progress, interrupt)
    }

    fn watch(&self, mut child: Child, progress: &Progress, interrupt: &Interrupt) -> Result<Watched> {
        let begin = Instant::now();
        let mut ended: Option<Instant> = None;
        loop {
            if child.try_wait().context("cannot wait for the guest")?.is_some() {
                return Ok(Watched::Ended);
            }
            if ended.is_none() && progress.code().is_some() {
                ended = Some(Instant::now());
            }
            let stuck = ended.is_some_and(|at| at.elapsed() > POWER_OFF);
            let late = self.timeout.is_some_and(|limit| begin.elapsed() > limit);
            if stuck || late || interrupt.is_set() {
                // All processes of the guest's namespace die with its first.
                child.kill().ok();
                child.wait().context("cannot wait for the guest")?;
                interrupt.check()?;
                return Ok(if stuck { Watched::Ended } else { Watched::TimedOut });
            }
            thread::sleep(GLANCE);
        }
    }
}

/// How the watch over a guest's process ended.
#[derive(Debug, Clone, Copy)]
enum Watched {
    /// The process ended.
    Ended,
    /// It was killed because its time was up.
    TimedOut,
}

/// The whole name of a folder that a guest may write into.
fn checked_folder(folder: &Path) -> Result<PathBuf> {
    let path =
        folder.canonicalize().with_context(|| format!("cannot find the folder {}", folder.display()))?;
    ensure!(path.is_dir(), "{} is not a folder: a guest can be given folders to write into", path.display());
    ensure!(
        !path.as_os_str().as_encoded_bytes().contains(&b','),
        "a guest cannot be given {}: a comma in a folder's name cannot be passed to it",
        path.display()
    );
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_checked_before_anything_starts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(checked_folder(&file).unwrap_err().to_string().contains("not a folder"));
        let comma = directory.path().join("a,b");
        std::fs::create_dir(&comma).unwrap();
        assert!(checked_folder(&comma).unwrap_err().to_string().contains("comma"));
        assert!(checked_folder(&directory.path().join("none")).is_err());
        assert!(checked_folder(&directory.path().join(".")).unwrap().is_absolute());
    }

    #[test]
    fn user_mode_has_one_processor() {
        let guest = Guest::new(Kernel::Uml612).unwrap();
        assert_eq!(guest.cpus(), 1);
        let error = guest.with_cpus(2).checked().unwrap_err().to_string();
        assert!(error.contains("one processor"), "{error}");
        assert_eq!(Guest::new(Kernel::Tcg612).unwrap().cpus(), 2);
    }
}
