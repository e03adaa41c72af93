//! What a user writes to say where a model is.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use url::Url;

use crate::digest::Digest;

/// What stands before the digits of a pinned digest.
const PIN: &str = "#sha256=";

/// Where a model is: a path, `file://…`, `http://…`, `https://…` or `s3://BUCKET/KEY`.
///
/// With `#sha256=` and 64 hexadecimal digits at its end, whatever its form, only a file of that content is meant.
/// Shown without the parts of a URL that may be secret: a password, a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    pub(crate) place: Place,
    pub(crate) pin: Option<Digest>,
}

/// A location without its pin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// On this machine.
    Path(PathBuf),
    /// `http` or `https`.
    Http(Url),
    /// In a store that speaks S3.
    S3 { bucket: String, key: String },
}

/// Why a text is no location.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLocation {
    /// Nothing.
    #[error("there is nothing; give a file, a directory, or a URL")]
    Empty,
    /// A pin that is none.
    #[error("{PIN}…: {0}")]
    Pin(&'static str),
    /// A fragment that is no pin.
    #[error("#{0} means nothing here; the only thing after a # is sha256= and 64 digits")]
    Fragment(String),
    /// A URL of another kind.
    #[error("{0}:// is not known; known are file://, http://, https:// and s3://")]
    Scheme(String),
    /// Not a URL although it begins like one.
    #[error("not a URL: {0}")]
    Url(#[from] url::ParseError),
    /// `file://host/…`.
    #[error("a file:// URL names a file on this machine by its whole path: file:///dir/model.pb")]
    File,
    /// No bucket or no key.
    #[error("write s3://BUCKET/KEY")]
    S3,
}

impl Location {
    /// Reads a location that need not be text, as paths need not.
    ///
    /// # Errors
    ///
    /// As [`Location::from_str`].
    pub fn parse(written: &OsStr) -> Result<Self, BadLocation> {
        match written.to_str() {
            Some(text) => text.parse(),
            None => Ok(Self { place: Place::Path(written.into()), pin: None }),
        }
    }

    /// Whether it has to be fetched over a network.
    pub fn is_remote(&self) -> bool {
        !matches!(self.place, Place::Path(_))
    }

    /// The only content that is meant, if there is but one.
    pub fn pin(&self) -> Option<Digest> {
        self.pin
    }
}

impl FromStr for Location {
    type Err = BadLocation;

    fn from_str(text: &str) -> Result<Self, BadLocation> {
        let (text, pin) = match text.rsplit_once(PIN) {
            Some((before, digits)) => (before, Some(digits.parse().map_err(BadLocation::Pin)?)),
            None => (text, None),
        };
        if text.is_empty() {
            return Err(BadLocation::Empty);
        }
        let place = match text.split_once("://") {
            Some((scheme, rest)) if is_scheme(scheme) => match scheme.to_ascii_lowercase().as_str() {
                "file" => Place::Path(url(text)?.to_file_path().map_err(|()| BadLocation::File)?),
                "http" | "https" => Place::Http(url(text)?),
                "s3" => s3(rest)?,
                other => return Err(BadLocation::Scheme(other.into())),
            },
            _ => Place::Path(text.into()),
        };
        Ok(Self { place, pin })
    }
}

impl Place {
    /// The last part of it, which names a file; empty if it names none.
    pub(crate) fn name(&self) -> &str {
        let path = match self {
            Self::Path(path) => path.to_str().unwrap_or_default(),
            Self::Http(url) => url.path(),
            Self::S3 { key, .. } => key,
        };
        path.rsplit('/').next().unwrap_or_default()
    }

    /// The file of that name in it, if it ends in `/` as directories do.
    pub(crate) fn with_name(self, name: &str) -> Self {
        match self {
            Self::Http(mut url) if url.path().ends_with('/') => {
                if let Ok(mut segments) = url.path_segments_mut() {
                    segments.pop_if_empty().extend(name.split('/'));
                }
                Self::Http(url)
            }
            Self::S3 { bucket, key } if key.is_empty() || key.ends_with('/') => {
                Self::S3 { bucket, key: format!("{key}{name}") }
            }
            place => place,
        }
    }

    /// The one that lies beside it under another name.
    pub(crate) fn renamed(self, name: &str) -> Self {
        match self {
            Self::Path(path) => Self::Path(path.with_file_name(name)),
            Self::Http(mut url) => {
                if let Some((directory, _)) = url.path().rsplit_once('/') {
                    let path = format!("{directory}/{name}");
                    url.set_path(&path);
                }
                Self::Http(url)
            }
            Self::S3 { bucket, key } => {
                let directory =
                    key.rsplit_once('/').map_or_else(String::new, |(directory, _)| format!("{directory}/"));
                Self::S3 { bucket, key: format!("{directory}{name}") }
            }
        }
    }

    /// What the cache knows it by: all of it, secrets included.
    pub(crate) fn identity(&self) -> String {
        match self {
            Self::Http(url) => url.to_string(),
            other => other.to_string(),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self { place: Place::Path(path.into()), pin: None }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Http(url) => {
                write!(f, "{}://{}", url.scheme(), url.host_str().unwrap_or_default())?;
                if let Some(port) = url.port() {
                    write!(f, ":{port}")?;
                }
                f.write_str(url.path())
            }
            Self::S3 { bucket, key } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}

/// Whether `text` could stand before `://`; a path may have that in it, too.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

fn url(text: &str) -> Result<Url, BadLocation> {
    let url = Url::parse(text)?;
    match url.fragment() {
        Some(fragment) => Err(BadLocation::Fragment(fragment.into())),
        None => Ok(url),
    }
}

fn s3(rest: &str) -> Result<Place, BadLocation> {
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    // Keys may have any character in them, but one after a # is more likely a slip.
    if let Some((_, fragment)) = key.split_once('#') {
        return Err(BadLocation::Fragment(fragment.into()));
    }
    if bucket.is_empty() || bucket.contains(['?', '#', '@']) {
        return Err(BadLocation::S3);
    }
    Ok(Place::S3 { bucket: bucket.into(), key: key.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse::<Location>().unwrap().place
    }

    #[test]
    fn every_form() {
        let path = |text: &str| Place::Path(text.into());
        assert_eq!(place("models/a.pb"), path("models/a.pb"));
        assert_eq!(place("/a b#1/c.pb"), path("/a b#1/c.pb"));
        assert_eq!(place("./x/a://b"), path("./x/a://b"));
        assert_eq!(place("file:///a%20b/c.pb"), path("/a b/c.pb"));
        assert_eq!(place("FILE://localhost/c.pb"), path("/c.pb"));
        assert_eq!(
            place("s3://models/helmets/a b.pb"),
            Place::S3 { bucket: "models".into(), key: "helmets/a b.pb".into() }
        );
        assert!(matches!(place("https://host/a.pb?x=1"), Place::Http(_)));
    }

    #[test]
    fn pins() {
        let digest = Digest::of(b"abc");
        for text in ["/a.pb", "a.pb", "file:///a.pb", "http://h/a.pb", "s3://b/a.pb"] {
            let location: Location = format!("{text}#sha256={digest}").parse().unwrap();
            assert_eq!((location.pin, &location.place), (Some(digest), &place(text)));
        }
        assert!(matches!("a.pb#sha256=12".parse::<Location>(), Err(BadLocation::Pin(_))));
    }

    #[test]
    fn what_cannot_be_meant() {
        let bad = |text: &str| text.parse::<Location>().unwrap_err();
        assert_eq!(bad(""), BadLocation::Empty);
        assert_eq!(bad("ftp://h/a.pb"), BadLocation::Scheme("ftp".into()));
        assert_eq!(bad("file://host/a.pb"), BadLocation::File);
        assert_eq!(bad("http://h/a.pb#md5=1"), BadLocation::Fragment("md5=1".into()));
        assert_eq!(bad("s3://b/a.pb#md5=1"), BadLocation::Fragment("md5=1".into()));
        assert!(matches!(bad("http://"), BadLocation::Url(_)));
        assert_eq!(bad("s3:///a"), BadLocation::S3);
    }

    #[test]
    fn secrets_are_not_shown_and_names_are_joined() {
        let secret: Location = "https://me:word@host:8443/m/a.pb?signature=x".parse().unwrap();
        assert_eq!(secret.to_string(), "https://host:8443/m/a.pb");
        assert!(secret.place.identity().contains("signature=x"));
        let joined = |text: &str| place(text).with_name("b.pb").identity();
        assert_eq!(joined("http://h/m/"), "http://h/m/b.pb");
        assert_eq!(joined("http://h/m/?x=1"), "http://h/m/b.pb?x=1");
        assert_eq!(joined("http://h/m/a.pb"), "http://h/m/a.pb");
        assert_eq!(joined("s3://b/m/"), "s3://b/m/b.pb");
        assert_eq!(joined("s3://b"), "s3://b/b.pb");
        assert_eq!(place("http://h/m/a.pb?x=/y").name(), "a.pb");
        assert_eq!(place("http://h/m/").name(), "");
    }
}
