//! What goes to the terminal while something runs.

use std::io::{IsTerminal, Write, stdout};
use std::time::{Duration, Instant};

/// How often a status line is printed where it cannot be refreshed.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// A heading of a stage of work.
pub fn stage(text: &str) {
    println!("── {text}");
}

/// One status line: refreshed in place on a terminal, printed every few seconds elsewhere.
#[derive(Debug)]
pub struct StatusLine {
    is_terminal: bool,
    last: Option<Instant>,
}

impl Default for StatusLine {
    fn default() -> Self {
        Self { is_terminal: stdout().is_terminal(), last: None }
    }
}

impl StatusLine {
    /// Shows `text`, or leaves it out if a plain line was printed a moment ago.
    pub fn show(&mut self, text: &str) {
        let mut out = stdout();
        if self.is_terminal {
            // Wrapping is off for the line, so that a narrow terminal cuts it instead of scrolling.
            write!(out, "\r\x1b[2K\x1b[?7l{text}\x1b[?7h").ok();
            out.flush().ok();
        } else if self.last.is_none_or(|last| last.elapsed() >= PLAIN_INTERVAL) {
            writeln!(out, "{text}").ok();
        } else {
            return;
        }
        self.last = Some(Instant::now());
    }

    /// Ends the line, so that what follows stands below it.
    pub fn end(&mut self) {
        if self.is_terminal && self.last.take().is_some() {
            println!();
        }
    }
}

impl Drop for StatusLine {
    fn drop(&mut self) {
        self.end();
    }
}
