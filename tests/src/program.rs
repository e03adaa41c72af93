//! Sluice's programs as child processes.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use protocol::status::EdgeStatus;

/// The path of one of the workspace's programs, built in the profile of the running test.
///
/// # Errors
///
/// The program has not been built.
pub fn path(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("the path of the running test")?;
    // target/<profile>/deps/<test> → target/<profile>/<program>
    let profile = test.parent().and_then(Path::parent).context("the test lies outside a target directory")?;
    let program = profile.join(name);
    if !program.is_file() {
        bail!("{} is not there: run `cargo build --workspace` in the same profile first", program.display());
    }
    Ok(program)
}

/// A running program: its standard output line by line, its standard error in a file. Killed when dropped.
pub struct Program {
    name: String,
    child: Child,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
}

impl Program {
    /// Starts one of the workspace's programs; its standard error goes to `<logs>/<name>.log`.
    ///
    /// # Errors
    ///
    /// The program has not been built, or cannot be started.
    pub fn start(name: &str, arguments: &[&str], logs: &Path) -> Result<Self> {
        Self::start_in(None, name, arguments, logs)
    }

    /// As [`Program::start`], inside the network namespace `namespace`.
    ///
    /// # Errors
    ///
    /// As [`Program::start`].
    pub fn start_in(namespace: Option<&str>, name: &str, arguments: &[&str], logs: &Path) -> Result<Self> {
        match namespace {
            Some(namespace) => Self::start_under(&["ip", "netns", "exec", namespace], name, arguments, logs),
            None => Self::start_under(&[""; 0], name, arguments, logs),
        }
    }

    /// As [`Program::start`], by the command `under`, which becomes the program.
    ///
    /// # Errors
    ///
    /// As [`Program::start`].
    pub fn start_under(
        under: &[impl AsRef<str>],
        name: &str,
        arguments: &[&str],
        logs: &Path,
    ) -> Result<Self> {
        let program = path(name)?;
        let mut command = match under {
            [first, rest @ ..] => {
                let mut command = Command::new(first.as_ref());
                command.args(rest.iter().map(AsRef::as_ref)).arg(&program);
                command
            }
            [] => Command::new(&program),
        };
        let log = logs.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let stdout = child.stdout.take().context("standard output is piped")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { name: name.into(), child, lines, log })
    }

    /// Waits for a line on standard output that `wanted` accepts and returns it.
    ///
    /// # Errors
    ///
    /// No such line within `limit`, or the program ended; the error carries the program's log.
    pub fn line(&self, limit: Duration, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let start = Instant::now();
        loop {
            match self.lines.recv_timeout(limit.saturating_sub(start.elapsed())) {
                Ok(line) if wanted(&line) => return Ok(line),
                Ok(_) => {}
                Err(_) => bail!("{} did not say what was awaited; its log:\n{}", self.name, self.log()),
            }
        }
    }

    /// The lines on standard output since the last call.
    pub fn lines(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Reads status lines of `edge-daemon --status-json` until one satisfies `wanted`, and returns it.
    ///
    /// # Errors
    ///
    /// None does within `limit`, or the program ended.
    pub fn status(&self, limit: Duration, wanted: impl Fn(&EdgeStatus) -> bool) -> Result<EdgeStatus> {
        let parse = |line: &str| serde_json::from_str::<EdgeStatus>(line);
        let line = self.line(limit, |line| parse(line).is_ok_and(|status| wanted(&status)))?;
        Ok(parse(&line)?)
    }

    /// The program's process.
    ///
    /// # Errors
    ///
    /// Never on Linux, whose process numbers are small.
    pub fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }

    /// What the program has written to standard error.
    pub fn log(&self) -> String {
        let mut text = String::new();
        match File::open(&self.log).and_then(|mut file| file.read_to_string(&mut text)) {
            Ok(_) => text,
            Err(error) => format!("({}: {error})", self.log.display()),
        }
    }

    /// Sends `signal` to the program.
    ///
    /// # Errors
    ///
    /// The program has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid()?, signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Waits for the program to end by itself.
    ///
    /// # Errors
    ///
    /// It is still running after `limit`; the error carries the program's log.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                bail!("{} still runs after {limit:?}; its log:\n{}", self.name, self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
