//! A location made a local file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cache;
use crate::digest::Digest;
use crate::directory;
use crate::download::blocking;
use crate::error::SourceError;
use crate::fetch::{Fetch, Standing};
use crate::location::{Location, Place};
use crate::set;

/// How long and how large a download may be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest file, in bytes.
    pub max_size: u64,
    /// How long a connection may take to come about.
    pub connect: Duration,
    /// How long a transfer may stand still.
    pub stall: Duration,
    /// How often a request that failed is made again.
    pub retries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_size: 4 << 30,
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            retries: 3,
        }
    }
}

/// Where a model comes from, and what belongs to that.
#[derive(Debug)]
pub struct Source {
    location: Location,
    name: Option<String>,
    prefix: Option<PathBuf>,
    cache: Option<PathBuf>,
    limits: Limits,
    poll: Option<Duration>,
    /// Of the file itself, and of those that belong to it.
    standings: [Standing; set::LARGEST],
}

/// A model's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Where it is.
    pub path: PathBuf,
    /// Which one it is.
    pub version: Version,
}

/// Tells a model's file from the one that was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// A file that was fetched, and those that belong to it, by their content.
    Contents(Vec<Digest>),
    /// A file of this machine, and those that belong to it, by what the system says of them.
    Files(Vec<Stamp>),
}

/// What changes when a file is replaced or written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, SourceError> {
        let file = fs::metadata(path).map_err(|source| SourceError::Read { path: path.into(), source })?;
        Ok(Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
        })
    }
}

impl Source {
    /// What is at `location`.
    pub fn new(location: Location) -> Self {
        let (cache, limits) = (cache::default_directory(), Limits::default());
        Self { location, name: None, prefix: None, cache, limits, poll: None, standings: Default::default() }
    }

    /// The file of that name, where the location is a directory.
    #[must_use]
    pub fn with_name(mut self, name: Option<String>) -> Self {
        self.name = name;
        self
    }

    /// Paths that are not there are looked for beneath `prefix`, too.
    #[must_use]
    pub fn with_prefix(mut self, prefix: Option<PathBuf>) -> Self {
        self.prefix = prefix;
        self
    }

    /// Keeps what is fetched in `directory`, in place of the user's cache directory.
    #[must_use]
    pub fn with_cache(mut self, directory: PathBuf) -> Self {
        self.cache = Some(directory);
        self
    }

    /// Other limits than the default.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How often [`Updates`](crate::Updates) asks a source that is far away; never by default.
    #[must_use]
    pub fn with_poll(mut self, period: Option<Duration>) -> Self {
        self.poll = period;
        self
    }

    /// How often a source that is far away is asked.
    pub(crate) fn poll(&self) -> Option<Duration> {
        self.poll
    }

    /// Where it is.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The model's file as it is now, fetched if it is far away and not the one in the cache.
    ///
    /// A source that cannot be reached is no error while the cache has a copy; that is logged when it begins and when
    /// it ends. Dropping the future gives a download up; the next one goes on from there.
    ///
    /// # Errors
    ///
    /// Why there is no such file.
    pub async fn fetch(&self) -> Result<Model, SourceError> {
        match &self.location.place {
            Place::Path(_) => self.local().await,
            place => {
                let place = match &self.name {
                    Some(name) => place.clone().with_name(name),
                    None => place.clone(),
                };
                if place.name().is_empty() {
                    return Err(SourceError::NoName { location: place.to_string() });
                }
                self.remote(&place).await
            }
        }
    }

    /// The file of a source on this machine and its version, without a look into it. For a source that is far away,
    /// that there is none.
    pub(crate) fn glance(&self) -> Result<(PathBuf, Version), SourceError> {
        let Place::Path(path) = &self.location.place else {
            return Err(SourceError::Missing { path: self.location.to_string().into(), also: None });
        };
        let path = directory::file(path, self.prefix.as_deref(), self.name.as_deref())?;
        let stamps = set::beside(&path).iter().map(|path| Stamp::of(path)).collect::<Result<_, _>>()?;
        Ok((path, Version::Files(stamps)))
    }

    async fn local(&self) -> Result<Model, SourceError> {
        let (path, version) = self.glance()?;
        if let Some(pinned) = self.location.pin {
            let found =
                digest(&path).await.map_err(|source| SourceError::Read { path: path.clone(), source })?;
            if found != pinned {
                return Err(SourceError::WrongDigest { location: path.display().to_string(), pinned, found });
            }
        }
        Ok(Model { path, version })
    }

    /// The model at `place`, with all of its files in one directory.
    async fn remote(&self, place: &Place) -> Result<Model, SourceError> {
        let cache = self.cache.as_deref().ok_or(SourceError::NoCache)?;
        let [own, others @ ..] = &self.standings;
        let fetch = |place, pin, standing| Fetch { place, pin, standing, cache, limits: &self.limits };
        let main = fetch(place, self.location.pin, own).run().await?;
        let mut companions = Vec::new();
        for (companion, standing) in set::companions(place).iter().zip(others) {
            match fetch(&companion.place, None, standing).run().await {
                Ok(file) => companions.push(file),
                // Asked for again the next time.
                Err(error) if !companion.is_needed => {
                    tracing::debug!("{error}; the model does without");
                }
                Err(SourceError::Absent { location, reason }) => {
                    return Err(SourceError::Half { location, reason, half: place.name().to_owned() });
                }
                Err(error) => return Err(error),
            }
        }
        let path = set::together(&main, &companions).await?;
        let digests = std::iter::once(&main).chain(&companions).map(|file| file.sha256).collect();
        Ok(Model { path, version: Version::Contents(digests) })
    }
}

async fn digest(path: &Path) -> std::io::Result<Digest> {
    let path = path.to_owned();
    blocking(move || Digest::of_file(&path)).await
}
