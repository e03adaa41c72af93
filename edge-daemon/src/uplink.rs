//! Hard frames on their way to the cloud.
//!
//! # Policy
//!
//! - The queue holds a set number of frames. The next one sent is the newest; when a newer one finds no room, the
//!   oldest is displaced. Fresh answers are worth more than old ones, and a queue in order would make every
//!   answer late as soon as the link is too narrow.
//! - Each frame has a deadline, counted from its capture. It bounds waiting, sending and the answer.
//! - While the cloud cannot be reached nothing is tried but at growing intervals; frames keep their places and
//!   expire by their own deadlines. A connection lost in mid-upload is tried again, three times in all.
//! - A refusal (4xx, 5xx, an answer that cannot be read) is final for that frame. `503` and `429` with
//!   `Retry-After` make everybody wait so long.
//!
//! Whatever happens, the edge's own result stands.

mod breaker;
mod client;
mod hard_frame;
mod picture;
mod queue;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use protocol::record::{FrameRecord, Outcome};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{frame::Frame, http_url::HttpUrl, little::Judged, lock::lock, status::Counters};
use breaker::Breaker;
use client::{CloudClient, Reply};
use hard_frame::HardFrame;
use queue::Queue;

pub use picture::Size;

/// How often one frame may be begun over a connection that then breaks.
const MAX_LOST: u32 = 3;

/// Takes every frame that nothing more can happen to.
pub type Finished = Arc<dyn Fn(Arc<Frame>, FrameRecord) + Send + Sync>;

/// How to upload.
#[derive(Debug, Clone)]
pub struct UplinkSettings {
    /// The cloud.
    pub cloud: HttpUrl,
    /// How many hard frames may wait.
    pub capacity: usize,
    /// A full queue makes the little model wait, instead of displacing the oldest frame.
    pub wait_for_room: bool,
    /// How long after its capture an answer for a frame is still wanted.
    pub deadline: Duration,
    /// Uploads on the wire at a time.
    pub uploads: usize,
    /// Largest size of an uploaded picture; without it, the cloud model's own input size as its answers tell it.
    pub size: Option<Size>,
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// How long an upload on the wire may go on after a stop.
    pub drain: Duration,
}

/// The uplink: its queue, its connection and its tasks.
pub struct Uplink {
    settings: UplinkSettings,
    queue: Queue,
    client: CloudClient,
    breaker: Mutex<Breaker>,
    size: Mutex<Size>,
    counters: Arc<Counters>,
    finished: Finished,
}

impl Uplink {
    /// Makes the uplink; nothing is sent before [`Self::run`].
    ///
    /// # Errors
    ///
    /// If the HTTP client cannot be made.
    pub fn new(
        settings: UplinkSettings,
        counters: Arc<Counters>,
        finished: Finished,
    ) -> Result<Self, reqwest::Error> {
        Ok(Self {
            queue: Queue::new(settings.capacity, settings.wait_for_room),
            client: CloudClient::new(&settings.cloud, settings.uploads)?,
            breaker: Mutex::new(Breaker::default()),
            size: Mutex::new(settings.size.unwrap_or(Size::DEFAULT)),
            settings,
            counters,
            finished,
        })
    }

    /// Takes a hard frame. Returns at once, unless the uplink was told to wait for room.
    pub fn submit(&self, judged: Judged) {
        if let Some(displaced) = self.queue.push(HardFrame::new(judged, self.settings.deadline)) {
            self.finish(displaced, Outcome::Displaced);
        }
    }

    /// Makes [`Self::submit`] wait for room no longer: the end is near.
    pub fn hurry(&self) {
        self.queue.lose_patience();
    }

    /// No more frames will come; [`Self::run`] returns when the last one is done.
    pub fn close(&self) {
        self.queue.close();
    }

    /// Uploads until the queue is closed and empty, or until `stop`: then uploads on the wire have
    /// [`UplinkSettings::drain`] to finish, and every frame still waiting is recorded as expired. Stop it only
    /// when no more frames are submitted.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut senders = JoinSet::new();
        for _ in 0..self.settings.uploads {
            let (uplink, stop) = (Arc::clone(&self), stop.clone());
            senders.spawn(async move { uplink.send_frames(&stop).await });
        }
        tokio::select! {
            _ = senders.join_all() => {}
            never = self.expire_frames() => match never {},
        }
        for mut frame in self.queue.take_all() {
            frame.cut("the edge was shut down before the upload");
            self.finish(frame, Outcome::Expired);
        }
    }

    async fn send_frames(&self, stop: &CancellationToken) {
        while let Some(frame) = self.next(stop).await {
            self.send(frame, stop).await;
        }
    }

    /// The newest frame, once the breaker allows to try; `None` when there will be none or on `stop`.
    async fn next(&self, stop: &CancellationToken) -> Option<HardFrame> {
        let mut changes = self.queue.changes();
        loop {
            changes.borrow_and_update();
            if stop.is_cancelled() {
                return None;
            }
            let open_until = lock(&self.breaker).open_until(Instant::now());
            if open_until.is_none()
                && let Some(frame) = self.queue.take_newest()
            {
                return Some(frame);
            }
            if self.queue.is_finished() {
                return None;
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                _ = changes.changed() => {}
                () = sleep_until(open_until) => {}
            }
        }
    }

    /// One attempt for one frame, and what follows from its outcome.
    async fn send(&self, mut frame: HardFrame, stop: &CancellationToken) {
        if frame.deadline <= Instant::now() {
            return self.finish(frame, Outcome::Expired);
        }
        let picture = match self.encode(&frame).await {
            Ok(picture) => picture,
            Err(error) => {
                frame.cut(&error);
                return self.finish(frame, Outcome::Failed);
            }
        };
        if frame.begin(picture.jpeg.len() as u64, picture.size) {
            self.counters.uploaded();
        }
        let begun = Instant::now();
        let reply = tokio::select! {
            biased;
            reply = self.client.infer(picture.jpeg, frame.frame.number, frame.deadline) => reply,
            () = sleep_until(Some(frame.deadline)) => {
                frame.cut("no answer before the deadline");
                return self.finish(frame, Outcome::Expired);
            }
            () = drained(stop, self.settings.drain) => {
                frame.cut("the edge was shut down during the upload");
                return self.finish(frame, Outcome::Expired);
            }
        };
        let now = Instant::now();
        match reply {
            Reply::Answered(response) => {
                if lock(&self.breaker).success() {
                    info!(cloud = %self.settings.cloud, "the cloud answers again");
                }
                if self.settings.size.is_none() {
                    self.adopt(Size {
                        width: response.model.input_width,
                        height: response.model.input_height,
                    });
                }
                frame.answered(*response, now - begun);
                self.finish(frame, Outcome::Answered);
            }
            Reply::Busy { retry_after, error } => {
                lock(&self.breaker).hold(now, retry_after);
                warn!(cloud = %self.settings.cloud, error, ?retry_after, "the cloud is busy");
                self.put_back(frame, &error);
            }
            Reply::Refused { error } => {
                lock(&self.breaker).success();
                warn!(cloud = %self.settings.cloud, frame = frame.frame.number, error, "the cloud refused a frame");
                frame.cut(&error);
                self.finish(frame, Outcome::Failed);
            }
            Reply::Unreachable { error, connected } => {
                let retry_in = lock(&self.breaker).failure(now);
                warn!(cloud = %self.settings.cloud, error, ?retry_in, "the cloud cannot be reached");
                frame.lost += u32::from(connected);
                if frame.lost >= MAX_LOST {
                    frame.cut(&error);
                    return self.finish(frame, Outcome::Failed);
                }
                self.put_back(frame, &error);
            }
        }
    }

    async fn encode(&self, frame: &HardFrame) -> Result<picture::Encoded, String> {
        let (image, size, quality) = (Arc::clone(&frame.frame), *lock(&self.size), self.settings.quality);
        match tokio::task::spawn_blocking(move || picture::encode(&image.image, size, quality)).await {
            Ok(Ok(encoded)) => Ok(encoded),
            Ok(Err(error)) => Err(format!("cannot encode the picture: {error}")),
            Err(error) => Err(format!("cannot encode the picture: {error}")),
        }
    }

    fn adopt(&self, input: Size) {
        let mut size = lock(&self.size);
        if input.width > 0 && input.height > 0 && *size != input {
            info!(from = %*size, to = %input, "uploads take the cloud model's input size");
            *size = input;
        }
    }

    fn put_back(&self, mut frame: HardFrame, error: &str) {
        frame.cut(error);
        if let Some(displaced) = self.queue.put_back(frame) {
            self.finish(displaced, Outcome::Displaced);
        }
    }

    async fn expire_frames(&self) -> Infallible {
        let mut changes = self.queue.changes();
        loop {
            changes.borrow_and_update();
            for frame in self.queue.take_expired(Instant::now()) {
                self.finish(frame, Outcome::Expired);
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = sleep_until(self.queue.first_deadline()) => {}
            }
        }
    }

    fn finish(&self, frame: HardFrame, outcome: Outcome) {
        let (frame, record) = frame.into_record(outcome);
        (self.finished)(frame, record);
    }
}

/// Sleeps until `at`; for ever without it.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns `drain` after `stop`.
async fn drained(stop: &CancellationToken, drain: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(drain).await;
}
