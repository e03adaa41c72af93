//! A location made a local file.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::cache::{self, Kept, Slot};
use crate::digest::Digest;
use crate::directory;
use crate::download::{Download, blocking};
use crate::error::SourceError;
use crate::location::{Location, Place};
use crate::remote::Remote;

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
    /// Whether it could not be reached when it was last asked.
    away: AtomicBool,
    /// Whether it has answered before.
    answered: AtomicBool,
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
    /// A file that was fetched, by its content.
    Content(Digest),
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
        Self {
            location,
            name: None,
            prefix: None,
            cache,
            limits,
            poll: None,
            away: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        }
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
        let stamps = companions(&path).iter().map(|path| Stamp::of(path)).collect::<Result<_, _>>()?;
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

    async fn remote(&self, place: &Place) -> Result<Model, SourceError> {
        let slot = Slot::new(self.cache.as_deref().ok_or(SourceError::NoCache)?, place);
        if let Some(kept) = self.pinned(&slot).await {
            return Ok(model(&slot, &kept));
        }
        let _lock = match slot.lock().await {
            Ok(lock) => lock,
            Err(source) => {
                let error = SourceError::Cache { path: slot.partial(), source };
                return self.instead(&slot, error);
            }
        };
        // Whoever held the lock may have fetched it.
        if let Some(kept) = self.pinned(&slot).await {
            return Ok(model(&slot, &kept));
        }
        let location = place.to_string();
        let kept = slot.kept();
        let remote = Remote::new(place, &self.limits)
            .map_err(|reason| SourceError::Unreachable { location: location.clone(), reason })?;
        let download = Download {
            remote: &remote,
            slot: &slot,
            kept: kept.as_ref(),
            again: self.answered.load(Ordering::Relaxed),
            pin: self.location.pin,
            limits: &self.limits,
            location: &location,
        };
        let kept = match (download.run().await, kept) {
            (Ok(Some(fetched)), _) => fetched,
            (Ok(None), Some(kept)) => match self.location.pin {
                Some(pinned) if pinned != kept.sha256 => {
                    return Err(SourceError::WrongDigest { location, pinned, found: kept.sha256 });
                }
                _ => kept,
            },
            (Ok(None), None) => {
                let reason = "it says that nothing has changed since nothing was there".into();
                return Err(SourceError::Unreachable { location, reason });
            }
            (Err(error), _) => return self.instead(&slot, error),
        };
        self.answered.store(true, Ordering::Relaxed);
        if self.away.swap(false, Ordering::Relaxed) {
            tracing::info!(model = location, "the model's source answers again");
        }
        Ok(model(&slot, &kept))
    }

    /// The copy that is pinned, if it is in the cache and what it should be: nobody needs to be asked for it.
    async fn pinned(&self, slot: &Slot) -> Option<Kept> {
        let pin = self.location.pin?;
        let kept = slot.kept().filter(|kept| kept.sha256 == pin)?;
        match digest(&slot.path(&kept)).await {
            Ok(found) if found == pin => Some(kept),
            found => {
                tracing::warn!(model = %self.location, ?found, "the copy in the cache is damaged; fetching it again");
                slot.forget(&kept);
                None
            }
        }
    }

    /// The copy in the cache in place of what could not be fetched because of `error`.
    fn instead(&self, slot: &Slot, error: SourceError) -> Result<Model, SourceError> {
        let usable = matches!(
            error,
            SourceError::Unreachable { .. } | SourceError::Broken { .. } | SourceError::Cache { .. }
        );
        match slot.kept() {
            Some(kept) if usable && self.location.pin.is_none() => {
                if !self.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(sha256 = %kept.sha256, "{error}; using the copy in the cache");
                }
                Ok(model(slot, &kept))
            }
            _ => Err(error),
        }
    }
}

/// The file at `path`, and those beside it that make one model with it: Darknet keeps a network's form, its weights and
/// its classes' names in files that differ in their ending.
pub(crate) fn companions(path: &Path) -> Vec<PathBuf> {
    const ENDINGS: [&str; 3] = ["cfg", "weights", "names"];
    let mut files = vec![path.to_owned()];
    if path.extension().is_some_and(|own| ENDINGS.iter().any(|ending| own == *ending)) {
        let others = ENDINGS.iter().map(|ending| path.with_extension(ending));
        files.extend(others.filter(|other| other != path && other.is_file()));
    }
    files
}

fn model(slot: &Slot, kept: &Kept) -> Model {
    Model { path: slot.path(kept), version: Version::Content(kept.sha256) }
}

async fn digest(path: &Path) -> std::io::Result<Digest> {
    let path = path.to_owned();
    blocking(move || Digest::of_file(&path)).await
}
