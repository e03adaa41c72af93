//! The path of a stream in its URL.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The longest path, in bytes.
pub const MAX_LENGTH: usize = 128;

/// A path that a stream may have: a slash, then names of letters, digits and `- _ . ~`, with slashes between them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamPath(String);

/// The text is no path for a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the path {0:?} must be a slash and then names of letters, digits or any of - _ . ~ with slashes between, \
     {MAX_LENGTH} characters at most, for example /video1"
)]
pub struct PathError(String);

impl StreamPath {
    /// The path, with its leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.~".contains(letter);
        let name = |name: &str| !matches!(name, "" | "." | "..") && name.chars().all(plain);
        let good = text.len() <= MAX_LENGTH
            && text.strip_prefix('/').is_some_and(|names| names.split('/').all(name));
        if good { Ok(Self(text.into())) } else { Err(PathError(text.chars().take(MAX_LENGTH).collect())) }
    }
}

impl Borrow<str> for StreamPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken() {
        for text in
            ["/video1", "/site-2/cam_3", "/a.b~c", "/...", &format!("/{}", "x".repeat(MAX_LENGTH - 1))]
        {
            assert_eq!(text.parse::<StreamPath>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_is_refused() {
        let long = format!("/{}", "x".repeat(MAX_LENGTH));
        for text in [
            "", "/", "video1", "/a/", "//a", "/a//b", "/..", "/a/../b", "/./a", "/a b", "/a?b", "/a=b",
            "/a%20b", "/ä", "/a\n", &long,
        ] {
            assert!(text.parse::<StreamPath>().is_err(), "{text}");
        }
    }
}
