//! A started program of the run: its process, its log file, and the lines it prints.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::rest::{Lock, Process};
use crate::confine::{Place, confine};
use crate::machine::free_space;

/// How many lines of a log an error shows.
const TAIL: usize = 12;
/// How long the last lines of an ended program may take to come through its pipe.
const LAST_LINES: Duration = Duration::from_millis(500);

/// A running program. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Part {
    name: &'static str,
    child: Child,
    log: PathBuf,
    lines: Receiver<String>,
}

impl Part {
    /// Starts `command`, inside `namespace` if given. Its log (standard error) goes to `logs/NAME.log`, the lines
    /// that it prints to `logs/NAME.out`.
    ///
    /// # Errors
    ///
    /// If a file cannot be made or the program not be started.
    pub fn start(
        name: &'static str,
        mut command: Command,
        namespace: Option<File>,
        logs: &Path,
        lock: &mut Lock,
    ) -> Result<Self> {
        let make = |kind: &str| {
            let path = logs.join(format!("{name}.{kind}"));
            let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
            anyhow::Ok((path, file))
        };
        let ((log, errors), (_, mut printed)) = (make("log")?, make("out")?);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        confine(&mut command, namespace.map_or(Place::Here, Place::Container));
        let program = PathBuf::from(command.get_program());
        let mut child =
            command.spawn().with_context(|| format!("cannot start {name} ({})", program.display()))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // A full disk must not stop the reading: the program would block on its pipe.
                    writeln!(printed, "{line}").ok();
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let part = Self { name, child, log, lines };
        if let Some(process) = Process::of(part.child.id().cast_signed()) {
            lock.record(|rest| rest.processes.push(process))?;
        }
        Ok(part)
    }

    /// The program's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its process identifier.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it has printed on its standard output since the last call.
    pub fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.try_iter()
    }

    /// The next line it prints within `patience`; `None` too if it prints no more.
    fn next_line(&self, patience: Duration) -> Option<String> {
        self.lines.recv_timeout(patience).ok()
    }

    /// Checks that it still runs.
    ///
    /// # Errors
    ///
    /// If it has ended: how, and the end of its log.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait().with_context(|| format!("cannot ask for {}", self.name))? {
            None => Ok(()),
            Some(status) => bail!(self.failure(&format!("ended by itself: {}", how(status)))),
        }
    }

    /// `what` happened to this part: with its log file, that file's last lines, and a full disk if it is one.
    pub fn failure(&self, what: &str) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail: String =
            lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("\n    {line}")).collect();
        let tail = if tail.is_empty() { "\n    (empty)".to_owned() } else { tail };
        let full = free_space(&self.log).is_some_and(|bytes| bytes < 1 << 20);
        let disk = if full { "; the disk is full" } else { "" };
        format!("{} {what}{disk}. The end of {}:{tail}", self.name, self.log.display())
    }

    /// Asks it to end (SIGTERM) and waits; kills it after `patience`.
    ///
    /// # Errors
    ///
    /// If it had to be killed or ended with an error.
    pub fn stop(self, patience: Duration) -> Result<()> {
        self.stop_reading(patience, |_| {})
    }

    /// As [`Part::stop`], handing the last lines that it prints to `take`.
    ///
    /// # Errors
    ///
    /// As [`Part::stop`].
    pub fn stop_reading(mut self, patience: Duration, mut take: impl FnMut(&str)) -> Result<()> {
        let ended = self.end(patience);
        // The channel closes when the program's standard output has.
        while let Some(line) = self.next_line(LAST_LINES) {
            take(&line);
        }
        ended
    }

    fn end(&mut self, patience: Duration) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(self.failure(&format!("had ended by itself: {}", how(status))));
        }
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)
            .with_context(|| format!("cannot stop {}", self.name))?;
        let asked = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                // It was asked before it could listen to signals, so it had nothing to lose yet.
                Some(status) if status.signal() == Some(Signal::SIGTERM as i32) => return Ok(()),
                Some(status) => bail!(self.failure(&format!("did not end well: {}", how(status)))),
                None if asked.elapsed() > patience => {
                    self.child.kill().ok();
                    self.child.wait().ok();
                    bail!(
                        self.failure(&format!("did not end within {} s and was killed", patience.as_secs()))
                    );
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // Both fail if the child has been waited for, which is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An exit status in words.
fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("killed by {signal}"),
            Err(_) => format!("killed by signal {number}"),
        },
        (None, None) => "unknown status".into(),
    }
}
