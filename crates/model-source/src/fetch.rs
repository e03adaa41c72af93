//! An object somewhere else made a local file: from the cache where that will do, else downloaded.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cache::{Kept, Slot};
use crate::digest::Digest;
use crate::download::{Download, blocking};
use crate::error::SourceError;
use crate::location::Place;
use crate::remote::Remote;
use crate::source::Limits;

/// How an object has answered so far.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// Whether it could not be reached when it was last asked for.
    away: AtomicBool,
    /// Whether it has answered before.
    answered: AtomicBool,
}

/// What is to be fetched.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    pub(crate) place: &'a Place,
    /// The only content that is wanted.
    pub(crate) pin: Option<Digest>,
    pub(crate) standing: &'a Standing,
    /// The directory of the cache.
    pub(crate) cache: &'a Path,
    pub(crate) limits: &'a Limits,
}

/// An object's copy on this machine.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Digest,
    /// Where sets that this file belongs to are kept.
    pub(crate) together: PathBuf,
}

impl Fetch<'_> {
    /// The object as it is now, downloaded if it is not the one in the cache; the one in the cache if it cannot be had.
    ///
    /// # Errors
    ///
    /// Why there is neither.
    pub(crate) async fn run(&self) -> Result<Fetched, SourceError> {
        let slot = Slot::new(self.cache, self.place);
        let kept = self.kept(&slot).await?;
        Ok(Fetched { path: slot.path(&kept), sha256: kept.sha256, together: slot.together() })
    }

    async fn kept(&self, slot: &Slot) -> Result<Kept, SourceError> {
        if let Some(kept) = self.pinned(slot).await {
            return Ok(kept);
        }
        let _lock = match slot.lock().await {
            Ok(lock) => lock,
            Err(source) => {
                let error = SourceError::Cache { path: slot.partial(), source };
                return self.instead(slot, error);
            }
        };
        // Whoever held the lock may have fetched it.
        if let Some(kept) = self.pinned(slot).await {
            return Ok(kept);
        }
        let location = self.place.to_string();
        let kept = slot.kept();
        let remote = Remote::new(self.place, self.limits)
            .map_err(|reason| SourceError::Unreachable { location: location.clone(), reason })?;
        let download = Download {
            remote: &remote,
            slot,
            kept: kept.as_ref(),
            again: self.standing.answered.load(Ordering::Relaxed),
            pin: self.pin,
            limits: self.limits,
            location: &location,
        };
        let kept = match (download.run().await, kept) {
            (Ok(Some(fetched)), _) => fetched,
            (Ok(None), Some(kept)) => match self.pin {
                Some(pinned) if pinned != kept.sha256 => {
                    return Err(SourceError::WrongDigest { location, pinned, found: kept.sha256 });
                }
                _ => kept,
            },
            (Ok(None), None) => {
                let reason = "it says that nothing has changed since nothing was there".into();
                return Err(SourceError::Unreachable { location, reason });
            }
            (Err(error), _) => return self.instead(slot, error),
        };
        self.standing.answered.store(true, Ordering::Relaxed);
        if self.standing.away.swap(false, Ordering::Relaxed) {
            tracing::info!(model = location, "the model's source answers again");
        }
        Ok(kept)
    }

    /// The copy that is pinned, if it is in the cache and what it should be: nobody needs to be asked for it.
    async fn pinned(&self, slot: &Slot) -> Option<Kept> {
        let pin = self.pin?;
        let kept = slot.kept().filter(|kept| kept.sha256 == pin)?;
        let path = slot.path(&kept);
        match blocking(move || Digest::of_file(&path)).await {
            Ok(found) if found == pin => Some(kept),
            found => {
                tracing::warn!(model = %self.place, ?found, "the copy in the cache is damaged; fetching it again");
                slot.forget(&kept);
                None
            }
        }
    }

    /// The copy in the cache in place of what could not be fetched because of `error`.
    fn instead(&self, slot: &Slot, error: SourceError) -> Result<Kept, SourceError> {
        let usable = matches!(
            error,
            SourceError::Unreachable { .. }
                | SourceError::Absent { .. }
                | SourceError::Broken { .. }
                | SourceError::Cache { .. }
        );
        match slot.kept() {
            Some(kept) if usable && self.pin.is_none() => {
                if !self.standing.away.swap(true, Ordering::Relaxed) {
                    tracing::warn!(sha256 = %kept.sha256, "{error}; using the copy in the cache");
                }
                Ok(kept)
            }
            _ => Err(error),
        }
    }
}
