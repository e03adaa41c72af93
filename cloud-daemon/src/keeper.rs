//! Brings the model: from where it is, into memory, to the worker; and each one that comes after it.

use std::sync::Arc;

use detector::LoadOptions;
use model_source::{Candidate, Source, Updates, Version};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use crate::admission::Admission;
use crate::metrics::{Metrics, Swap};
use crate::model::{Model, ModelError};
use crate::worker::Worker;

/// What it takes to bring a model.
#[derive(Debug)]
pub struct Keeper {
    source: Arc<Source>,
    load: LoadOptions,
    /// The most pictures of a batch.
    batch: usize,
    admission: Arc<Admission>,
    worker: Worker,
}

impl Keeper {
    /// Brings what is at `source` to `worker`, for batches of at most `batch` pictures.
    pub fn new(
        source: Arc<Source>,
        load: LoadOptions,
        batch: usize,
        admission: Arc<Admission>,
        worker: Worker,
    ) -> Self {
        Self { source, load, batch, admission, worker }
    }

    /// Fetches, loads and tries the model; then the worker has it. Returns which one it is.
    ///
    /// # Errors
    ///
    /// Why there is no model.
    pub async fn begin(&self) -> Result<Version, ModelError> {
        let file = self.source.fetch().await?;
        let (path, load, batch) = (file.path, self.load.clone(), self.batch);
        let admission = Arc::clone(&self.admission);
        let model = spawn_blocking(move || {
            let model = Model::load(&path, &load, batch)?;
            model.warm_up(&admission).map(|()| model)
        });
        self.worker.install(model.await??).await?;
        Ok(file.version)
    }

    /// Brings every other model that comes to be where `serving` came from, for ever. One that fails is refused, and the
    /// worker keeps the one that it has. `nudge` has it look at once.
    pub async fn follow(&self, serving: Version, nudge: Arc<Notify>, metrics: &Metrics) -> ! {
        let mut updates = Updates::new(Arc::clone(&self.source), serving, nudge);
        loop {
            let candidate = updates.next().await;
            match self.replace(&candidate).await {
                Ok(()) => {
                    updates.taken();
                    metrics.swap(Swap::Taken);
                }
                Err(error) => {
                    metrics.swap(Swap::Refused);
                    tracing::warn!(
                        model = %self.source.location(),
                        "the new model is refused: {}; the old one goes on",
                        candidate.explain(&error)
                    );
                }
            }
            // Of the old one, or of the one that was refused. Nobody waits for it.
            drop(spawn_blocking(detector::give_back_memory));
        }
    }

    /// Loads and tries the candidate beside the model in use, and has it take over.
    async fn replace(&self, candidate: &Candidate) -> Result<(), ModelError> {
        let (path, load, batch) = (candidate.path().to_owned(), self.load.clone(), self.batch);
        let model = spawn_blocking(move || Model::load(&path, &load, batch)).await??;
        let (old, new) = (self.worker.model(), Arc::clone(&model.info));
        self.worker.install(model).await?;
        let changes = old.map(|old| old.changes(&new).join(", ")).unwrap_or_default();
        tracing::info!(
            model = new.name,
            changes,
            sha256 = candidate.sha256().map(tracing::field::display),
            "a new model has taken over"
        );
        Ok(())
    }
}
