//! Where a model comes from: a path, a directory, `file://`, `http(s)://` or `s3://` becomes a local file.
//!
//! A [`Source`] is a [`Location`] and what belongs to it; [`Source::fetch`] makes a [`Model`] of it, a file that can
//! be opened. What is far away is kept in a cache, so that it is fetched once, a download that broke off goes on
//! where it stopped, and a restart works while the source cannot be reached.
//!
//! # Layout
//!
//! - [`Location`]: what a user writes, and the SHA-256 that may be pinned in it.
//! - [`SourceOptions`]: the flags and environment variables, the same in every program.
//! - [`Source`]: the one verb, and the order of things in it. [`Updates`] notices when another model is there.
//! - `directory`: which file of a directory is meant; `cache`: what is kept, and who may write there;
//!   `remote`: stores that are reached over a network; `download`: one file from there, with progress and resume;
//!   `fetch`: when to download, and when the copy in the cache will do; `set`: files that make one model together.
//!
//! # The cache
//!
//! `CACHE/<key>/` belongs to one location; the key is the beginning of its SHA-256.
//!
//! | | |
//! |---|---|
//! | `lock` | held by the process that fetches |
//! | `partial`, `partial.json` | a download that is not whole, and which version of the object it is of |
//! | `<sha256>/NAME` | a whole file; NAME is that of the location |
//! | `copy.json` | which of these is the newest, and by which ETag the source knows it |
//! | `together/<sha256>/` | links to files of this location and of others which make one model, under one name |
//!
//! A file gets its name when it is whole, and `copy.json` is replaced after that: whatever happens, what is there is
//! whole. The copy before the newest is kept as well, so that a process that was about to open it finds it.

mod cache;
mod digest;
mod directory;
mod download;
mod error;
mod fetch;
mod location;
mod options;
mod remote;
mod set;
mod source;
mod updates;

pub use digest::Digest;
pub use error::SourceError;
pub use location::{BadLocation, Location};
pub use options::SourceOptions;
pub use source::{Limits, Model, Source, Stamp, Version};
pub use updates::{Candidate, Updates};
