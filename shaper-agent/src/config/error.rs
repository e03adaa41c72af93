//! What is wrong with a configuration file.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::Config;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The system does not let it be read.
    #[error("cannot read the configuration file {}: {cause}; {}", path.display(), next(cause))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is a directory, a pipe or a device.
    #[error(
        "the configuration {} is no regular file; give the path of one with --config (it is read again on SIGHUP, so a \
         pipe will not do)", .0.display()
    )]
    NoFile(PathBuf),
    /// It is too large to be meant.
    #[error(
        "the configuration file {} has more than {} bytes; {} limits fit in that: check that it is the right file",
        .0.display(), Config::MOST_BYTES, Config::MOST_LIMITS
    )]
    TooLarge(PathBuf),
    /// It says what cannot be.
    #[error(transparent)]
    Faults(Faults),
}

fn next(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => "write one, or give the path of another with --config",
        io::ErrorKind::PermissionDenied => "make it readable for the user that runs shaper-agent",
        _ => "give the path of another with --config",
    }
}

/// Everything that is wrong in a file: prints as one line each, `FILE:LINE:COLUMN: what is wrong and what would do`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    file: Option<PathBuf>,
    /// Never empty.
    list: Vec<Fault>,
    /// Faults that are not in the list.
    more: usize,
}

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The key, what was found, what would do.
    pub message: String,
}

/// Faults that are printed.
const SHOWN: usize = 20;

impl Faults {
    /// Faults in the order in which they are to be read.
    pub(super) fn new(list: Vec<Fault>, more: usize) -> Self {
        Self { file: None, list, more }
    }

    /// The same, of a file.
    pub(super) fn of(self, file: &Path) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }

    /// Each of them (of very many, the first), from the file's beginning to its end.
    #[must_use]
    pub fn list(&self) -> &[Fault] {
        &self.list
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Fault { line, column, message }) in self.list.iter().take(SHOWN).enumerate() {
            let end = if index > 0 { "\n" } else { "" };
            match &self.file {
                Some(file) => write!(f, "{end}{}:{line}:{column}: {message}", file.display())?,
                None => write!(f, "{end}line {line}, column {column}: {message}")?,
            }
        }
        match self.list.len().saturating_sub(SHOWN) + self.more {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

impl std::error::Error for Faults {}
