//! A program that holds a limit while it runs and says in JSON lines what it does.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long it may take to put a limit in force or to remove it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often its end is looked for.
const STEP: Duration = Duration::from_millis(10);

/// A running program. It is killed when the value is dropped.
#[derive(Debug)]
pub struct Tool {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: File,
}

impl Tool {
    /// Starts `command`. The calling thread must outlive it.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let errors = tempfile::tempfile().context("cannot make a temporary file")?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors.try_clone()?);
        let mut child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let input = child.stdin.take();
        Ok(Self { name, child, input, lines, errors })
    }

    /// Waits for the JSON line whose `event` is this one.
    ///
    /// # Errors
    ///
    /// With what the program wrote to standard error if it ends before, or if the line does not come in time.
    pub fn wait_for(&mut self, event: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match serde_json::from_str::<Value>(&line) {
                    Ok(value) if value["event"] == event => return Ok(value),
                    _ => {}
                },
                Err(RecvTimeoutError::Disconnected) => {
                    self.child.wait().ok();
                    bail!("{} ended: {}", self.name, self.errors());
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!(
                        "{} did not say `{event}` within {} s: {}",
                        self.name,
                        PATIENCE.as_secs(),
                        self.errors()
                    )
                }
            }
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    ///
    /// If it does not read any more.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().with_context(|| format!("{} takes no orders", self.name))?;
        writeln!(input, "{line}").with_context(|| format!("{} does not read its orders", self.name))
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    ///
    /// If it has ended before, ends with an error, or has to be killed.
    pub fn stop(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("{} had ended by itself ({status}): {}", self.name, self.errors());
        }
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        let asked = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) => {
                    let ended = status.success() || status.signal() == Some(Signal::SIGTERM as i32);
                    ensure!(ended, "{} did not end well ({status}): {}", self.name, self.errors());
                    return Ok(());
                }
                None if asked.elapsed() > PATIENCE => bail!("{} did not end and was killed", self.name),
                None => std::thread::sleep(STEP),
            }
        }
    }

    /// What it wrote to standard error, on one line.
    fn errors(&self) -> String {
        let mut text = String::new();
        let mut file = &self.errors;
        if file.rewind().and_then(|()| file.read_to_string(&mut text)).is_err() || text.trim().is_empty() {
            return "it wrote nothing to standard error".into();
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        // Both fail if it has been waited for, which is well.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
