//! The little model: loaded, tried, and followed to where it comes from.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use detector::{CheckError, Detector, InstructionSet, LoadError, LoadOptions};
use model_source::{Candidate, Source, Updates, Version};
use protocol::infer::ModelInfo;
use tokio::{sync::Notify, task::spawn_blocking};
use tracing::{info, warn};

use crate::{lock::lock, status::Counters};

/// Why a model is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// It does not load.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// It does not compute.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Loading ended in a way that it should not.
    #[error("loading the model gave up: {0}")]
    Loading(#[from] tokio::task::JoinError),
}

/// Loads the model file at `path` and tries it. Takes as long as that takes.
///
/// # Errors
///
/// If it does not load or does not compute.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Detector, ModelError> {
    let detector = Detector::load(path, options).map_err(|error| ModelError::Load(Box::new(error)))?;
    detector.check()?;
    tracing::info!(
        model = detector.info().name,
        precision = %detector.precision(),
        instructions = detector.instruction_set().map(InstructionSet::name),
        gpu = detector.gpu(),
        "model loaded"
    );
    Ok(detector)
}

/// A model that waits to take over.
#[derive(Debug, Default)]
pub struct Next(Mutex<Option<Detector>>);

impl Next {
    /// The model that is to be used from now on, if there is a new one.
    pub fn take(&self) -> Option<Detector> {
        lock(&self.0).take()
    }
}

/// The model in use, and where others come from.
#[derive(Debug)]
pub struct Followed {
    /// Where it came from.
    pub source: Arc<Source>,
    /// Which one it is.
    pub serving: Version,
    /// How it was loaded.
    pub options: LoadOptions,
    /// What it says of itself.
    pub info: ModelInfo,
}

/// Brings every other model that comes to be where the one in use came from, for ever. One that fails is refused, and
/// the one in use stays. `nudge` has it look at once.
pub async fn follow(followed: Followed, next: Arc<Next>, counters: Arc<Counters>, nudge: Arc<Notify>) {
    let Followed { source, serving, options, info: mut current } = followed;
    let mut updates = Updates::new(Arc::clone(&source), serving, nudge);
    loop {
        let candidate = updates.next().await;
        match loaded(&candidate, &options).await {
            Ok(detector) => {
                let info = detector.info().clone();
                let changes = current.changes(&info).join(", ");
                *lock(&next.0) = Some(detector);
                updates.taken();
                counters.model_taken();
                info!(
                    model = info.name,
                    changes,
                    sha256 = candidate.sha256().map(tracing::field::display),
                    "a new model takes over"
                );
                current = info;
            }
            Err(error) => {
                counters.model_refused();
                let (model, error) = (source.location(), candidate.explain(&error));
                warn!(%model, "the new model is refused: {error}; the old one goes on");
                // Nobody waits for it.
                drop(spawn_blocking(detector::give_back_memory));
            }
        }
    }
}

async fn loaded(candidate: &Candidate, options: &LoadOptions) -> Result<Detector, ModelError> {
    let (path, options) = (candidate.path().to_owned(), options.clone());
    spawn_blocking(move || load(&path, &options)).await?
}
