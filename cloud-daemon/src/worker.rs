//! The thread that owns the model: it takes what is waiting as one batch, runs it, and answers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use detector::{Detector, LoadError, LoadOptions};
use image::RgbImage;
use protocol::Detection;
use protocol::infer::ModelInfo;
use tokio::sync::{mpsc, oneshot};

use crate::admission::{Admission, Ticket};
use crate::decoding::Decoded;
use crate::refusal::Refusal;

/// The verb of a model: the detections in each picture of a batch, or what went wrong.
pub type Detect = Box<dyn Fn(&[RgbImage]) -> Result<Vec<Vec<Detection>>, String>>;

/// A loaded model.
pub struct Model {
    /// What to tell callers of it.
    pub info: ModelInfo,
    /// Its verb.
    pub detect: Detect,
}

impl Model {
    /// Loads a model file.
    ///
    /// # Errors
    ///
    /// What [`Detector::load`] says.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let detector = Detector::load(path, options)?;
        let info = detector.info().clone();
        Ok(Self {
            info,
            detect: Box::new(move |batch| detector.detect(batch).map_err(|error| error.to_string())),
        })
    }
}

/// What the model found in a picture, and where the time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Best score first.
    pub detections: Vec<Detection>,
    /// Waiting for the model.
    pub queue: Duration,
    /// The model, for the whole batch that the picture was in.
    pub infer: Duration,
}

/// A picture that waits for the model.
struct Job {
    decoded: Decoded,
    deadline: Option<Instant>,
    ticket: Ticket,
    since: Instant,
    reply: oneshot::Sender<Result<Answer, Refusal>>,
}

/// Why the worker did not become ready.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model file.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model loads but does not run.
    #[error("the model fails on a blank picture: {0}")]
    WarmUp(String),
    /// The system gave no thread, or the thread panicked.
    #[error("the model's thread failed")]
    Thread,
}

/// The way to the model's thread, which ends when this is dropped.
#[derive(Debug)]
pub struct Worker {
    jobs: mpsc::Sender<Job>,
    info: Arc<OnceLock<ModelInfo>>,
}

impl Worker {
    /// Starts the thread, which first calls `load`. Batches are of at most `batch` pictures; at most `queue` wait.
    ///
    /// The receiver tells when the model is ready, or why it is not.
    pub fn start(
        load: impl FnOnce() -> Result<Model, StartError> + Send + 'static,
        admission: Arc<Admission>,
        queue: usize,
        batch: usize,
    ) -> (Self, oneshot::Receiver<Result<(), StartError>>) {
        let (jobs, waiting) = mpsc::channel(queue);
        let info = Arc::new(OnceLock::new());
        let (started, ready) = oneshot::channel();
        let publish = Arc::clone(&info);
        let thread = thread::Builder::new().name("model".into()).spawn(move || {
            match load().and_then(|model| warm_up(model, &admission)) {
                Ok(model) => {
                    // Set once: only here.
                    let _ = publish.set(model.info.clone());
                    let _ = started.send(Ok(()));
                    work(&model, waiting, &admission, batch);
                }
                // The server may have stopped meanwhile.
                Err(error) => drop(started.send(Err(error))),
            }
        });
        if let Err(error) = thread {
            // `started` was dropped with the closure: the receiver sees it.
            tracing::error!(%error, "no thread for the model");
        }
        (Self { jobs, info }, ready)
    }

    /// The model, once it is ready.
    pub fn model(&self) -> Option<&ModelInfo> {
        self.info.get()
    }

    /// Has the model look at a picture. Dropping the future gives the picture up.
    ///
    /// # Errors
    ///
    /// [`Refusal::DeadlinePassed`], [`Refusal::ModelFailed`], [`Refusal::Stopping`].
    pub async fn detect(
        &self,
        decoded: Decoded,
        deadline: Option<Instant>,
        ticket: Ticket,
    ) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        let job = Job { decoded, deadline, ticket, since: Instant::now(), reply };
        self.jobs.send(job).await.map_err(|_| Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// Runs the model once, which also gives admission its first measurement.
fn warm_up(model: Model, admission: &Admission) -> Result<Model, StartError> {
    let blank = RgbImage::new(model.info.input_width.max(1), model.info.input_height.max(1));
    let begun = Instant::now();
    admission.begin(1);
    let result = run(&model, &[blank]);
    admission.end(result.is_ok());
    result.map_err(StartError::WarmUp)?;
    tracing::info!(
        model = model.info.name,
        family = model.info.family,
        input = %format_args!("{}x{}", model.info.input_width, model.info.input_height),
        warm_up_ms = begun.elapsed().as_millis() as u64,
        "model ready"
    );
    Ok(model)
}

/// Takes batches until there is nobody left to send any.
fn work(model: &Model, mut waiting: mpsc::Receiver<Job>, admission: &Admission, batch: usize) {
    while let Some(first) = waiting.blocking_recv() {
        let mut jobs = Vec::with_capacity(batch);
        let mut next = Some(first);
        while let Some(job) = next {
            if job.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                answer(job.reply, Err(Refusal::DeadlinePassed));
            } else if !job.reply.is_closed() {
                jobs.push(job);
            }
            next = if jobs.len() < batch { waiting.try_recv().ok() } else { None };
        }
        if !jobs.is_empty() {
            run_batch(model, jobs, admission);
        }
    }
}

/// Runs one batch and answers each of its jobs.
fn run_batch(model: &Model, jobs: Vec<Job>, admission: &Admission) {
    let begun = Instant::now();
    admission.begin(jobs.len());
    let (mut pictures, mut replies, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for Job { decoded, ticket, since, reply, .. } in jobs {
        drop(ticket);
        pictures.push(decoded.picture);
        memory.push(decoded.memory);
        replies.push((reply, begun.saturating_duration_since(since)));
    }
    let result = run(model, &pictures);
    admission.end(result.is_ok());
    drop((pictures, memory));
    let infer = begun.elapsed();
    match result {
        Ok(found) => {
            for ((reply, queue), mut detections) in replies.into_iter().zip(found) {
                detections.sort_by(|a, b| b.score.total_cmp(&a.score));
                answer(reply, Ok(Answer { detections, queue, infer }));
            }
        }
        Err(reason) => {
            tracing::error!(reason, "the model failed");
            for (reply, _) in replies {
                answer(reply, Err(Refusal::ModelFailed { reason: reason.clone() }));
            }
        }
    }
}

/// Runs the model; a panic in it is a failure like any other, and the next batch is tried again.
fn run(model: &Model, pictures: &[RgbImage]) -> Result<Vec<Vec<Detection>>, String> {
    let found = catch_unwind(AssertUnwindSafe(|| (model.detect)(pictures)))
        .unwrap_or_else(|_| Err("it panicked".into()))?;
    if found.len() == pictures.len() {
        Ok(found)
    } else {
        Err(format!("{} results for {} pictures", found.len(), pictures.len()))
    }
}

/// Sends an answer; whoever waited for it may have gone.
fn answer(reply: oneshot::Sender<Result<Answer, Refusal>>, answer: Result<Answer, Refusal>) {
    if reply.send(answer).is_err() {
        tracing::debug!("a caller left before its answer");
    }
}

#[cfg(test)]
mod tests;
