//! Why there is no local file.

use std::io;
use std::path::PathBuf;

use crate::digest::Digest;

/// Why a model's location could not be made a local file.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing is at the path.
    #[error("model {path}: there is no such file{}; --model (MODEL_URL) names it", nor(.also))]
    Missing {
        /// The path.
        path: PathBuf,
        /// The same beneath `DATA_PATH_PREFIX`, where there is nothing either.
        also: Option<PathBuf>,
    },
    /// The system does not let it be read.
    #[error("model {path}: {source}")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A device or the like.
    #[error("model {path} is neither a regular file nor a directory")]
    NotRegular {
        /// What it is called.
        path: PathBuf,
    },
    /// A directory that does not tell which file is meant.
    #[error("directory {path} {problem}; there {}; name one with --model-name (MODEL_NAME) or give its path", list(.found))]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// The names of the files that are there.
        found: Vec<String>,
    },
    /// A URL that names a directory.
    #[error("{location} names no file; write the whole URL, or name the file with --model-name (MODEL_NAME)")]
    NoName {
        /// The URL.
        location: String,
    },
    /// A content that is not the pinned one.
    #[error("{location} has the SHA-256 {found}, not {pinned} as pinned; it is not used")]
    WrongDigest {
        /// Where it came from.
        location: String,
        /// What its location says.
        pinned: Digest,
        /// What it has.
        found: Digest,
    },
    /// The source cannot be reached, or refuses.
    #[error("cannot fetch {location}: {reason}")]
    Unreachable {
        /// The source.
        location: String,
        /// What went wrong, from the outermost cause to the innermost.
        reason: String,
    },
    /// The source answers that it has no such object, or none for this user.
    #[error("cannot fetch {location}: {reason}")]
    Absent {
        /// The object.
        location: String,
        /// What the source said.
        reason: String,
    },
    /// One of two files that make a model is not there.
    #[error(
        "cannot fetch {location}: {reason}; {half} is one of the two files of a Darknet model: put the other beside it, \
         or one that `detect convert` makes of both"
    )]
    Half {
        /// The file that is missing.
        location: String,
        /// What the source said.
        reason: String,
        /// The name of the file that is there.
        half: String,
    },
    /// The transfer broke off.
    #[error(
        "the download of {location} broke off after {received} of {size} bytes: {reason}; started again, it {next}"
    )]
    Broken {
        /// The source.
        location: String,
        /// How many bytes are there.
        received: u64,
        /// How many there should be.
        size: u64,
        /// What went wrong.
        reason: String,
        /// What becomes of what is there.
        next: &'static str,
    },
    /// The file is larger than may be.
    #[error("{location} has {size} bytes, more than {limit}: that is no model")]
    TooLarge {
        /// The source.
        location: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is nowhere to keep what is fetched.
    #[error(
        "no directory for fetched models: neither --model-cache (MODEL_CACHE) nor XDG_CACHE_HOME nor HOME is set"
    )]
    NoCache,
    /// The cache cannot be written.
    #[error("cannot keep models in {path}: {source}; {}", remedy(.source))]
    Cache {
        /// The directory or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// An error and what caused it, in one line that is not too long: servers answer with whole pages.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        // Many errors repeat their cause.
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    const LONGEST: usize = 400;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }
}

fn nor(path: &Option<PathBuf>) -> String {
    path.as_ref().map_or_else(String::new, |path| format!(", nor {}", path.display()))
}

/// What to do when the cache cannot be written.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "free some space, or give a --model-cache (MODEL_CACHE) on another disk"
        }
        _ => "give a --model-cache (MODEL_CACHE) that this user may write to",
    }
}

/// The first names, and how many more there are.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    match names {
        [] => "is no file in it".into(),
        [one] => format!("is {one}"),
        _ => {
            let shown = names[..names.len().min(SHOWN)].join(", ");
            match names.len().saturating_sub(SHOWN) {
                0 => format!("are {shown}"),
                more => format!("are {shown} and {more} more"),
            }
        }
    }
}
