//! The configuration file: the limits that one agent holds.
//!
//! ```toml
//! [defaults]
//! mode = "auto"
//!
//! [[limit]]
//! iface = "veth1"
//! rate = "64kbit"
//! ```
//!
//! # Layout
//!
//! - `limits`: from the file's tables to [`Spec`]s; `settings`: one table's settings
//! - `source`: the text, and where in it something stands
//! - `error`: what is wrong with a file
//! - `changes`: what a reload has to do

mod changes;
mod error;
mod limits;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

pub use self::{
    changes::Changes,
    error::{ConfigError, Fault, Faults},
};
use crate::spec::Spec;

/// What a configuration file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    limits: Vec<Spec>,
}

impl Config {
    /// The limits that a file may hold.
    pub const MOST_LIMITS: usize = 1024;
    /// The bytes that a file may have.
    pub const MOST_BYTES: u64 = 1 << 20;

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no regular file (it must be there again for a reload), is larger than
    /// [`Config::MOST_BYTES`], or says what cannot be; then every place is named.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |cause: io::Error| ConfigError::Read { path: path.to_owned(), cause };
        // Before it is opened: opening a pipe waits for somebody to write.
        if !path.metadata().map_err(failed)?.is_file() {
            return Err(ConfigError::NoFile(path.to_owned()));
        }
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(Self::MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(failed)?;
        if bytes.len() as u64 > Self::MOST_BYTES {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let named = |faults: Faults| ConfigError::Faults(faults.of(path));
        let text = str::from_utf8(&bytes).map_err(|error| named(source::not_utf8(&bytes, error)))?;
        limits::read(text).map(|limits| Self { limits }).map_err(named)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    ///
    /// It says what cannot be; every place is named.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        limits::read(text).map(|limits| Self { limits }).map_err(ConfigError::Faults)
    }

    /// The limits, in the file's order; no two have the same target.
    #[must_use]
    pub fn limits(&self) -> &[Spec] {
        &self.limits
    }

    /// The limits by themselves.
    #[must_use]
    pub fn into_limits(self) -> Vec<Spec> {
        self.limits
    }

    /// What has to be done so that `new` is in force instead. What is the same in both is in none of the lists.
    #[must_use]
    pub fn changes<'a>(&'a self, new: &'a Self) -> Changes<'a> {
        Changes::between(&self.limits, &new.limits)
    }
}
