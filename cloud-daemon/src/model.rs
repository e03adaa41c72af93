//! A model in memory: loaded, tried, ready to be run.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use detector::{CheckError, Detector, InstructionSet, LoadError, LoadOptions};
use image::RgbImage;
use model_source::SourceError;
use protocol::Detection;
use protocol::infer::ModelInfo;

use crate::admission::Admission;
use crate::batching::BatchCosts;

/// The verb of a model: the detections in each picture of a batch, or what went wrong.
pub type Detect = Box<dyn Fn(&[RgbImage]) -> Result<Vec<Vec<Detection>>, String> + Send>;

/// A loaded model.
pub struct Model {
    /// What to tell callers of it.
    pub info: Arc<ModelInfo>,
    /// What its batches cost.
    pub costs: BatchCosts,
    /// Its verb.
    pub detect: Detect,
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("info", &self.info).finish_non_exhaustive()
    }
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Where it should come from.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// It loads, but does not compute.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The model loads but does not run.
    #[error("the model fails on a blank picture: {0}")]
    WarmUp(String),
    /// Loading ended in a way that it should not.
    #[error("loading the model gave up: {0}")]
    Loading(#[from] tokio::task::JoinError),
    /// The system gives no thread.
    #[error("no thread for the model: {0}")]
    Thread(std::io::Error),
    /// The thread that runs models is gone.
    #[error("the model's thread has ended")]
    Gone,
}

impl From<LoadError> for ModelError {
    fn from(error: LoadError) -> Self {
        Self::Load(Box::new(error))
    }
}

impl Model {
    /// Loads a model file, tries it, and measures what batches of up to `most` pictures cost, for about a second. A GPU has done
    /// a batch when its detections are there.
    ///
    /// # Errors
    ///
    /// What [`Detector::load`] and [`Detector::check`] say, and if it fails on a blank picture.
    pub fn load(path: &Path, options: &LoadOptions, most: usize) -> Result<Self, ModelError> {
        let detector = Detector::load(path, options)?;
        detector.check()?;
        let info = Arc::new(detector.info().clone());
        let blanks = vec![blank(&info); most];
        let costs = BatchCosts::measure(most, |pictures| {
            let begun = Instant::now();
            detector.detect(&blanks[..pictures]).map(|_| begun.elapsed())
        });
        let costs = costs.map_err(|error| ModelError::WarmUp(error.to_string()))?;
        // What does not pay needs no memory.
        detector.hold_memory_for(costs.size());
        tracing::info!(
            model = info.name,
            precision = %detector.precision(),
            instructions = detector.instruction_set().map(InstructionSet::name),
            gpu = detector.gpu(),
            batch = costs.size(),
            picture = %costs,
            "model loaded"
        );
        Ok(Self {
            info,
            costs,
            detect: Box::new(move |batch| detector.detect(batch).map_err(|error| error.to_string())),
        })
    }

    /// Runs the model once, which also gives admission its first measurement.
    ///
    /// # Errors
    ///
    /// [`ModelError::WarmUp`].
    pub fn warm_up(&self, admission: &Admission) -> Result<(), ModelError> {
        let begun = Instant::now();
        admission.begin(1);
        let result = self.run(&[blank(&self.info)]);
        admission.end(result.is_ok());
        result.map_err(ModelError::WarmUp)?;
        tracing::info!(
            model = self.info.name,
            family = self.info.family,
            input = %format_args!("{}x{}", self.info.input_width, self.info.input_height),
            warm_up_ms = begun.elapsed().as_millis() as u64,
            "model ready"
        );
        Ok(())
    }

    /// Runs the model; a panic in it is a failure like any other, and the next batch is tried again.
    ///
    /// # Errors
    ///
    /// What went wrong.
    pub fn run(&self, pictures: &[RgbImage]) -> Result<Vec<Vec<Detection>>, String> {
        let found = catch_unwind(AssertUnwindSafe(|| (self.detect)(pictures)))
            .unwrap_or_else(|_| Err("it panicked".into()))?;
        if found.len() == pictures.len() {
            Ok(found)
        } else {
            Err(format!("{} results for {} pictures", found.len(), pictures.len()))
        }
    }
}

/// A picture without anything in it, of the size of the model's input.
fn blank(info: &ModelInfo) -> RgbImage {
    RgbImage::new(info.input_width.max(1), info.input_height.max(1))
}
