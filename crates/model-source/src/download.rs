//! One file from a store into the cache: asked for only if it is another, with progress, taken up where it broke off.

use std::fs::File;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use object_store::{GetOptions, GetRange, GetResult};
use tokio::task::spawn_blocking;

use crate::cache::{Kept, Slot, Tag};
use crate::digest::{Digest, Hasher};
use crate::error::SourceError;
use crate::remote::Remote;
use crate::source::Limits;

/// Between two lines that tell how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

/// A download that broke off goes on at once if it has brought so many bytes since it last did.
const WORTHWHILE: u64 = 1 << 20;

/// What a download needs to know.
#[derive(Debug)]
pub(crate) struct Download<'a> {
    pub(crate) remote: &'a Remote,
    /// Locked by the caller.
    pub(crate) slot: &'a Slot,
    /// What is there already.
    pub(crate) kept: Option<&'a Kept>,
    /// Whether this program has fetched it before.
    pub(crate) again: bool,
    /// The only content that is wanted.
    pub(crate) pin: Option<Digest>,
    pub(crate) limits: &'a Limits,
    /// For people.
    pub(crate) location: &'a str,
}

/// A transfer that has begun: the file so far, and the rest on its way.
struct Transfer {
    tag: Tag,
    received: u64,
    hasher: Hasher,
    file: File,
    rest: GetResult,
}

impl Download<'_> {
    /// Fetches the object unless it is what is kept already; then `None`.
    ///
    /// # Errors
    ///
    /// If it cannot be fetched or stored, is too large, or is not what is pinned.
    pub(crate) async fn run(&self) -> Result<Option<Kept>, SourceError> {
        let mut before = 0;
        loop {
            match self.attempt().await {
                Err(error @ SourceError::Broken { received, .. })
                    if received >= before + WORTHWHILE && self.slot.broken_off().is_some() =>
                {
                    tracing::warn!("{error}");
                    before = received;
                }
                ended => return ended,
            }
        }
    }

    async fn attempt(&self) -> Result<Option<Kept>, SourceError> {
        let transfer = match self.take_up().await? {
            Some(transfer) => transfer,
            None => match self.begin().await? {
                Some(transfer) => transfer,
                None => return Ok(None),
            },
        };
        self.receive(transfer).await.map(Some)
    }

    /// Goes on with a download that broke off, if what is at the source is certainly the same still.
    async fn take_up(&self) -> Result<Option<Transfer>, SourceError> {
        let Some((tag, received)) = self.slot.broken_off() else { return Ok(None) };
        let Some(e_tag) = tag.strong() else { return Ok(None) };
        let options = GetOptions {
            if_match: Some(e_tag.to_owned()),
            range: Some(GetRange::Offset(received)),
            ..GetOptions::default()
        };
        // Whatever is wrong (it has changed, the server knows no ranges, nobody is there), the whole is asked for next.
        let Ok(rest) = self.remote.get(options).await else { return Ok(None) };
        if Tag::of(&rest.meta) != tag || rest.range != (received..tag.size) {
            return Ok(None);
        }
        let (partial, failed) = (self.slot.partial(), |error| self.cannot_keep(error));
        let hasher = blocking(move || Hasher::over_file(&partial)).await.map_err(failed)?;
        let file = self.slot.take_up().map_err(failed)?;
        tracing::info!(
            model = self.location,
            received,
            size = tag.size,
            "going on with a download that broke off"
        );
        Ok(Some(Transfer { tag, received, hasher, file, rest }))
    }

    /// Begins from the first byte, unless the object is what is kept.
    async fn begin(&self) -> Result<Option<Transfer>, SourceError> {
        let known = self.kept.map(|kept| &kept.tag);
        let options = GetOptions {
            if_none_match: known.and_then(Tag::e_tag).map(ToOwned::to_owned),
            ..GetOptions::default()
        };
        let rest = match self.remote.get(options).await {
            Ok(rest) => rest,
            Err(object_store::Error::NotModified { .. }) if known.is_some() => return Ok(None),
            Err(error) => return Err(self.unreachable(&error)),
        };
        let tag = Tag::of(&rest.meta);
        // A server that tells nothing of versions would otherwise send the whole file each time that it is asked.
        let taken_for_same =
            |known: &Tag| tag.same(known) || (self.again && !tag.tells_versions() && tag == *known);
        if known.is_some_and(taken_for_same) {
            return Ok(None);
        }
        let (size, limit) = (tag.size, self.limits.max_size);
        if size > limit {
            return Err(SourceError::TooLarge { location: self.location.into(), size, limit });
        }
        let file = self.slot.begin(&tag).map_err(|error| self.cannot_keep(error))?;
        tracing::info!(model = self.location, size, "downloading");
        Ok(Some(Transfer { tag, received: 0, hasher: Hasher::default(), file, rest }))
    }

    /// Receives the rest and gives the file its name.
    async fn receive(&self, transfer: Transfer) -> Result<Kept, SourceError> {
        let Transfer { tag, mut received, mut hasher, mut file, rest } = transfer;
        let size = tag.size;
        let (begun, mut told, before) = (Instant::now(), Instant::now(), received);
        let mut chunks = rest.into_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| self.broken(&tag, received, self.remote.reason(&error)))?;
            file.write_all(&chunk).map_err(|error| self.cannot_keep(error))?;
            hasher.update(&chunk);
            received += chunk.len() as u64;
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                let percent = received * 100 / size.max(1);
                let bytes_per_s = rate(received - before, begun.elapsed());
                tracing::info!(model = self.location, received, size, percent, bytes_per_s, "downloading");
            }
        }
        if received != size {
            return Err(self.broken(&tag, received, "the connection ended".into()));
        }
        drop(file);
        let sha256 = hasher.finish();
        if let Some(pinned) = self.pin.filter(|pin| *pin != sha256) {
            self.slot.discard_partial();
            return Err(SourceError::WrongDigest { location: self.location.into(), pinned, found: sha256 });
        }
        let kept = self.slot.keep(tag, sha256).map_err(|error| self.cannot_keep(error))?;
        let bytes_per_s = rate(received - before, begun.elapsed());
        tracing::info!(model = self.location, size, %sha256, bytes_per_s, "downloaded");
        Ok(kept)
    }

    fn unreachable(&self, error: &object_store::Error) -> SourceError {
        let (location, reason) = (self.location.into(), self.remote.reason(error));
        match error {
            object_store::Error::NotFound { .. }
            | object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => SourceError::Absent { location, reason },
            _ => SourceError::Unreachable { location, reason },
        }
    }

    fn broken(&self, tag: &Tag, received: u64, reason: String) -> SourceError {
        let next = if tag.strong().is_some() {
            "goes on from there"
        } else {
            "begins anew, since the server tells versions of a file apart by no strong ETag"
        };
        SourceError::Broken { location: self.location.into(), received, size: tag.size, reason, next }
    }

    /// A partial file on a full disk would only keep it full.
    fn cannot_keep(&self, source: io::Error) -> SourceError {
        self.slot.discard_partial();
        SourceError::Cache { path: self.slot.partial(), source }
    }
}

/// In bytes a second.
fn rate(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(1e-3)) as u64
}

/// Runs what reads a whole file away from those who wait for the network.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
