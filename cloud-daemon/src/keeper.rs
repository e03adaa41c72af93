//! Brings the model: from where it is, into memory, to the worker.

use std::sync::Arc;

use detector::LoadOptions;
use model_source::Source;
use tokio::task::spawn_blocking;

use crate::admission::Admission;
use crate::model::{Model, ModelError};
use crate::worker::Worker;

/// What it takes to bring a model.
#[derive(Debug)]
pub struct Keeper {
    source: Arc<Source>,
    load: LoadOptions,
    admission: Arc<Admission>,
    worker: Worker,
}

impl Keeper {
    /// Brings what is at `source` to `worker`.
    pub fn new(source: Arc<Source>, load: LoadOptions, admission: Arc<Admission>, worker: Worker) -> Self {
        Self { source, load, admission, worker }
    }

    /// Fetches, loads and tries the model; then the worker has it.
    ///
    /// # Errors
    ///
    /// Why there is no model.
    pub async fn begin(&self) -> Result<(), ModelError> {
        let file = self.source.fetch().await?;
        let (load, admission) = (self.load.clone(), Arc::clone(&self.admission));
        let model = spawn_blocking(move || {
            let model = Model::load(&file.path, &load)?;
            model.warm_up(&admission).map(|()| model)
        });
        self.worker.install(model.await??).await
    }
}
