//! Notices when another model is at a source.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::Notify;

use crate::digest::Digest;
use crate::download::blocking;
use crate::error::SourceError;
use crate::set;
use crate::source::{Source, Version};

/// How often a file of this machine is looked at. Looking costs microseconds, and works wherever files can be: with
/// renames, links that are turned, mounted configuration and network file systems, where notices of changes do not.
const LOOK: Duration = Duration::from_secs(1);

/// Follows a source.
#[derive(Debug)]
pub struct Updates {
    source: Arc<Source>,
    nudge: Arc<Notify>,
    /// The one in use.
    serving: Version,
    /// The one last found, which may have been refused.
    judged: Version,
    /// One that was there when last looked, and may still be being written.
    unsettled: Option<Version>,
    /// What was last said of a source with which something is wrong.
    told: Option<String>,
}

/// Another model than the one in use. What it is worth is for others to find out.
#[derive(Debug)]
pub struct Candidate {
    original: PathBuf,
    copy: Option<Copy>,
    version: Version,
}

impl Candidate {
    /// The file to load: where somebody might write to the file itself meanwhile, a copy that lasts as long as this.
    pub fn path(&self) -> &Path {
        self.copy.as_ref().map_or(&self.original, |copy| &copy.path)
    }

    /// What `error` says, about the file as users know it.
    pub fn explain(&self, error: &impl fmt::Display) -> String {
        let text = error.to_string();
        match &self.copy {
            Some(copy) => {
                text.replace(&copy.path.display().to_string(), &self.original.display().to_string())
            }
            None => text,
        }
    }

    /// The content of a file that was fetched; where several files make the model, of the one that its location names.
    pub fn sha256(&self) -> Option<Digest> {
        match &self.version {
            Version::Contents(digests) => digests.first().copied(),
            Version::Files(_) => None,
        }
    }
}

impl Updates {
    /// Follows `source`, of which `serving` is in use. `nudge` has it look at once, and take up again what was refused.
    pub fn new(source: Arc<Source>, serving: Version, nudge: Arc<Notify>) -> Self {
        Self { source, nudge, judged: serving.clone(), serving, unsettled: None, told: None }
    }

    /// Waits for another model than the one in use and the one last returned, and until it is whole as far as one can
    /// see: a file of this machine must have rested for a second.
    ///
    /// Trouble with the source is logged once.
    pub async fn next(&mut self) -> Candidate {
        loop {
            let asked = self.pause().await;
            match self.look(asked).await {
                Ok(Some(candidate)) => {
                    self.told = None;
                    self.judged = candidate.version.clone();
                    return candidate;
                }
                Ok(None) => {}
                Err(error) => self.tell(error.to_string(), asked),
            }
        }
    }

    /// The one last returned is in use now.
    pub fn taken(&mut self) {
        self.serving = self.judged.clone();
    }

    /// Waits until it is time to look; returns whether somebody asked for it.
    async fn pause(&self) -> bool {
        let remote = self.source.location().is_remote();
        // What is pinned does not change, wherever it is fetched from.
        let period = match (remote, self.source.location().pin()) {
            (true, Some(_)) => None,
            (true, None) => self.source.poll(),
            (false, _) => Some(LOOK),
        };
        let time = async {
            match period {
                Some(period) => tokio::time::sleep(period).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => false,
            () = self.nudge.notified() => true,
        }
    }

    async fn look(&mut self, asked: bool) -> Result<Option<Candidate>, SourceError> {
        let found = if self.source.location().is_remote() {
            let model = self.source.fetch().await?;
            (model.path, model.version)
        } else {
            self.source.glance()?
        };
        let (original, version) = found;
        let known = version == self.serving || (version == self.judged && !asked);
        if known {
            self.unsettled = None;
            if asked {
                tracing::info!(model = %self.source.location(), "the model has not changed");
            }
            return Ok(None);
        }
        if matches!(version, Version::Contents(_)) {
            return Ok(Some(Candidate { original, copy: None, version }));
        }
        let rests = self.unsettled.replace(version.clone()).is_some_and(|before| before == version);
        if !rests && !asked {
            return Ok(None);
        }
        self.unsettled = None;
        // Said once, even if it is refused here already.
        self.judged = version.clone();
        self.source.fetch().await?;
        let copy = match Copy::of(&original).await {
            Ok(copy) => Some(copy),
            Err(error) => {
                tracing::warn!(%error, "no room for a copy of the new model; reading the file itself");
                None
            }
        };
        if self.source.glance()?.1 != version {
            // Written to meanwhile: the copy may be of two files.
            return Ok(None);
        }
        Ok(Some(Candidate { original, copy, version }))
    }

    /// Says what is wrong with the source, unless that has been said.
    fn tell(&mut self, error: String, asked: bool) {
        if asked || self.told.as_ref() != Some(&error) {
            tracing::warn!("{error}; the model in use stays");
        }
        self.told = Some(error);
    }
}

/// A copy of a file, and of those that belong to it, that nobody writes to. It is gone when this is dropped, even while
/// it is being made or read.
#[derive(Debug)]
struct Copy {
    path: PathBuf,
    _directory: TempDir,
}

impl Copy {
    async fn of(original: &Path) -> io::Result<Self> {
        let directory = tempfile::Builder::new().prefix("sluice-model-").tempdir()?;
        let copied = |file: &Path| directory.path().join(file.file_name().unwrap_or_default());
        let path = copied(original);
        let files: Vec<_> = set::beside(original).into_iter().map(|file| (copied(&file), file)).collect();
        blocking(move || files.iter().try_for_each(|(to, from)| fs::copy(from, to).map(drop))).await?;
        Ok(Self { path, _directory: directory })
    }
}
