//! The thread that runs the model: it takes what is waiting as one batch, runs it, and answers.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use protocol::Detection;
use protocol::infer::ModelInfo;
use tokio::sync::{mpsc, oneshot};

use crate::admission::{Admission, Ticket};
use crate::batching::BatchCosts;
use crate::decoding::Decoded;
use crate::model::{Model, ModelError};
use crate::refusal::Refusal;

/// What the model found in a picture, and where the time went.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The model that looked at it.
    pub model: Arc<ModelInfo>,
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

/// What the thread is given, in order.
enum Work {
    Picture(Job),
    /// The model from here on, and whom to tell that it is.
    Model(Model, oneshot::Sender<()>),
}

/// The way to the model's thread, which ends when all of these are dropped.
#[derive(Debug, Clone)]
pub struct Worker {
    work: mpsc::Sender<Work>,
    /// The model that runs now.
    info: Arc<Mutex<Option<Arc<ModelInfo>>>>,
}

impl Worker {
    /// Starts the thread, without a model. At most `queue` pictures wait.
    ///
    /// # Errors
    ///
    /// If the system gives no thread.
    pub fn start(admission: Arc<Admission>, queue: usize) -> io::Result<Self> {
        let (work, waiting) = mpsc::channel(queue);
        let info = Arc::new(Mutex::new(None));
        let thread = Thread { waiting, admission, info: Arc::clone(&info) };
        thread::Builder::new().name("model".into()).spawn(move || thread.run())?;
        Ok(Self { work, info })
    }

    /// The model, once there is one.
    pub fn model(&self) -> Option<Arc<ModelInfo>> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has `model` look at all pictures that come after this, in place of the one before, if any. That one is dropped
    /// when its last batch is answered. Done when the new one has taken over.
    ///
    /// # Errors
    ///
    /// [`ModelError::Gone`].
    pub async fn install(&self, model: Model) -> Result<(), ModelError> {
        let (done, taken) = oneshot::channel();
        self.work.send(Work::Model(model, done)).await.map_err(|_| ModelError::Gone)?;
        taken.await.map_err(|_| ModelError::Gone)
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
        self.work.send(Work::Picture(job)).await.map_err(|_| Refusal::Stopping)?;
        answer.await.unwrap_or(Err(Refusal::Stopping))
    }
}

/// What the thread owns besides the model.
struct Thread {
    waiting: mpsc::Receiver<Work>,
    admission: Arc<Admission>,
    info: Arc<Mutex<Option<Arc<ModelInfo>>>>,
}

impl Thread {
    /// Takes batches until there is nobody left to send any. A batch is of what came between two models.
    fn run(mut self) {
        let mut model: Option<Model> = None;
        let mut next = self.waiting.blocking_recv();
        while let Some(work) = next.take() {
            match work {
                Work::Model(new, done) => {
                    *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&new.info));
                    model = Some(new);
                    // Whoever brought it may have been told to stop.
                    let _ = done.send(());
                }
                Work::Picture(first) => match &model {
                    Some(model) => {
                        let (jobs, after) = self.gather(first, &model.costs);
                        next = after;
                        if !jobs.is_empty() {
                            run_batch(model, jobs, &self.admission);
                        }
                    }
                    // Pictures are taken in only when there is a model.
                    None => answer(first.reply, Err(Refusal::NotReady)),
                },
            }
            next = next.or_else(|| self.waiting.blocking_recv());
        }
    }

    /// The batch that begins with `first`, of what waits and is still wanted, as far as that pays and makes nobody late; and
    /// what came after it, if that has been looked at. It never waits for more to come.
    fn gather(&mut self, first: Job, costs: &BatchCosts) -> (Vec<Job>, Option<Work>) {
        let mut jobs: Vec<Job> = Vec::with_capacity(costs.size());
        let mut next = Some(Work::Picture(first));
        while let Some(work) = next {
            let Work::Picture(job) = work else { return (jobs, Some(work)) };
            let now = Instant::now();
            if job.deadline.is_some_and(|deadline| deadline <= now) {
                answer(job.reply, Err(Refusal::DeadlinePassed));
            } else if !job.reply.is_closed() {
                jobs.push(job);
            }
            let deadlines = jobs.iter().filter_map(|job| job.deadline);
            let fits = jobs.is_empty() || costs.fits(jobs.len(), deadlines, now);
            next = if fits { self.waiting.try_recv().ok() } else { None };
        }
        (jobs, None)
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
    let result = model.run(&pictures);
    admission.end(result.is_ok());
    drop((pictures, memory));
    let infer = begun.elapsed();
    match result {
        Ok(found) => {
            for ((reply, queue), mut detections) in replies.into_iter().zip(found) {
                detections.sort_by(|a, b| b.score.total_cmp(&a.score));
                answer(reply, Ok(Answer { model: Arc::clone(&model.info), detections, queue, infer }));
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

/// Sends an answer; whoever waited for it may have gone.
fn answer(reply: oneshot::Sender<Result<Answer, Refusal>>, answer: Result<Answer, Refusal>) {
    if reply.send(answer).is_err() {
        tracing::debug!("a caller left before its answer");
    }
}

#[cfg(test)]
mod tests;
