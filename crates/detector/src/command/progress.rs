//! How far a long command has come.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(2);

/// Lines on a terminal's standard error; nothing elsewhere.
#[derive(Debug)]
pub(super) struct Progress {
    done: usize,
    all: usize,
    what: String,
    shown: Instant,
}

impl Progress {
    pub(super) fn new(all: usize, what: impl Into<String>) -> Self {
        Self { done: 0, all, what: what.into(), shown: Instant::now() }
    }

    /// One more begins.
    pub(super) fn step(&mut self) {
        if self.shown.elapsed() >= INTERVAL && std::io::stderr().is_terminal() {
            eprintln!("{} of {} {}", self.done, self.all, self.what);
            self.shown = Instant::now();
        }
        self.done += 1;
    }
}
