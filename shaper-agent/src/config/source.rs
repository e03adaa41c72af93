//! A file's text, and where in it something stands.

use std::{ops::Range, str::Utf8Error};

use super::error::{Fault, Faults};

/// Characters of a value that are quoted in a message.
const QUOTED: usize = 48;

/// The text of a file.
#[derive(Debug)]
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins, in bytes.
    lines: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, lines }
    }

    /// The number of the line, from 1, in which the byte `at` stands.
    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at)
    }

    /// A fault at a byte.
    pub(super) fn fault(&self, at: usize, message: String) -> Fault {
        let line = self.line(at);
        let before = self.text.get(self.lines[line - 1]..at).unwrap_or_default();
        Fault { line, column: before.chars().count() + 1, message }
    }

    /// What stands there, fit for a message: on one line, without control characters, and cut if it is long.
    pub(super) fn quote(&self, span: Range<usize>) -> String {
        quote(self.text.get(span).unwrap_or_default())
    }
}

/// See [`Source::quote`].
pub(super) fn quote(text: &str) -> String {
    let mut quoted: String = text.chars().take(QUOTED).flat_map(printable).collect();
    if text.chars().nth(QUOTED).is_some() {
        quoted.push('…');
    }
    quoted
}

fn printable(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_debug());
    let plain = (!c.is_control()).then_some(c);
    escaped.into_iter().flatten().chain(plain)
}

/// The fault of bytes that are no text.
pub(super) fn not_utf8(bytes: &[u8], error: Utf8Error) -> Faults {
    let good = &bytes[..error.valid_up_to()];
    let text = str::from_utf8(good).unwrap_or_default();
    let found = bytes.get(good.len()).copied().unwrap_or_default();
    let message = format!("the byte 0x{found:02x} is not UTF-8; save the file as UTF-8 text");
    Faults::new(vec![Source::new(text).fault(good.len(), message)], 0)
}
