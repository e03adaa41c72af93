//! The strings of a file's metadata, read as what they mean.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use serde::de::DeserializeOwned;

use super::Problem;

/// The strings by key.
pub(super) struct Values<'a>(pub(super) &'a HashMap<String, String>);

impl<'a> Values<'a> {
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub(super) fn get(&self, key: &'static str) -> Result<&'a str, Problem> {
        self.0.get(key).map(String::as_str).ok_or_else(|| (key, "is missing".into()))
    }

    pub(super) fn expect(&self, key: &'static str, expected: &str, otherwise: &str) -> Result<(), Problem> {
        match self.get(key)? {
            found if found == expected => Ok(()),
            found => Err((key, format!("{:?} instead of {expected:?}: {otherwise}", shortened(found)))),
        }
    }

    pub(super) fn parse<T: FromStr<Err: Display>>(&self, key: &'static str) -> Result<T, Problem> {
        let text = self.get(key)?;
        text.parse().map_err(|error| (key, format!("{:?}: {error}", shortened(text))))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, key: &'static str) -> Result<T, Problem> {
        let text = self.get(key)?;
        serde_json::from_str(text).map_err(|error| (key, format!("{:?}: {error}", shortened(text))))
    }
}

/// The beginning of a value, for a message.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
