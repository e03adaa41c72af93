//! One pipeline from its start to its end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use gst::prelude::*;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Deliver, SourceError, SourceSettings, pipeline};

/// How often a running pipeline is looked at.
const POLL: gst::ClockTime = gst::ClockTime::from_mseconds(100);

/// A running pipeline; dropping it stops it.
pub(super) struct Session {
    pipeline: gst::Pipeline,
    progress: Arc<Progress>,
    /// The URL with its password, which GStreamer likes to repeat in its messages.
    secret: String,
    shown: String,
}

/// How far a pipeline has come.
pub(super) struct Progress {
    opened: Instant,
    frames: AtomicU64,
    /// Milliseconds from the opening to the last sign of life.
    alive_ms: AtomicU64,
}

impl Progress {
    fn new() -> Self {
        Self { opened: Instant::now(), frames: AtomicU64::new(0), alive_ms: AtomicU64::new(0) }
    }

    /// The source sends something.
    pub(super) fn alive(&self) {
        self.alive_ms.store(self.opened.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn frame(&self) {
        self.alive();
        self.frames.fetch_add(1, Ordering::Relaxed);
    }

    /// Since the last sign of life, or since the opening.
    fn silence(&self) -> Duration {
        let alive = Duration::from_millis(self.alive_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(alive)
    }
}

/// Why a pipeline is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was told to stop.
    Stopped,
    /// The end of the stream.
    EndOfStream,
    /// An error, in GStreamer's words.
    Error(String),
    /// No frame for this long.
    Stalled(Duration),
}

impl Session {
    pub(super) fn open(settings: &SourceSettings, deliver: &Deliver) -> Result<Self, SourceError> {
        let progress = Arc::new(Progress::new());
        let deliver = {
            let (deliver, progress) = (Arc::clone(deliver), Arc::clone(&progress));
            // Pictures that are on their way when `deliver` says no are dropped.
            let mut wanted = true;
            move |picture| {
                if wanted {
                    progress.frame();
                    wanted = deliver(picture);
                }
                wanted
            }
        };
        let pipeline = pipeline::build(settings, &progress, deliver)?;
        // A pipeline that does not even start says why on its bus: `watch` reads it there.
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            debug!(%error, "the pipeline did not start");
        }
        let secret = match &settings.location {
            super::Location::Rtsp(uri) | super::Location::Uri(uri) => uri.clone(),
            super::Location::File(_) | super::Location::Device(_) => String::new(),
        };
        Ok(Self { pipeline, progress, secret, shown: settings.location.to_string() })
    }

    /// Frames so far.
    pub(super) fn frames(&self) -> u64 {
        self.progress.frames.load(Ordering::Relaxed)
    }

    /// Waits for the end; `stall` is how long a live source may be silent.
    pub(super) fn watch(&self, stall: Option<Duration>, stop: &CancellationToken) -> Ended {
        let Some(bus) = self.pipeline.bus() else {
            return Ended::Error("the pipeline has no message bus".to_owned());
        };
        loop {
            if stop.is_cancelled() {
                return Ended::Stopped;
            }
            if let Some(message) = bus.timed_pop(POLL) {
                match message.view() {
                    gst::MessageView::Eos(_) => return Ended::EndOfStream,
                    gst::MessageView::Error(error) => {
                        return Ended::Error(self.words(&error.error(), error.debug().as_deref()));
                    }
                    gst::MessageView::Warning(warning) => {
                        let words = self.words(&warning.error(), warning.debug().as_deref());
                        warn!(location = self.shown, "{words}");
                    }
                    gst::MessageView::Latency(_) => {
                        if let Err(error) = self.pipeline.recalculate_latency() {
                            debug!(%error, "latency not recalculated");
                        }
                    }
                    _ => {}
                }
            }
            let silence = self.progress.silence();
            if stall.is_some_and(|stall| silence > stall) {
                return Ended::Stalled(silence);
            }
        }
    }

    /// An error in one line: its message, and the last line of its details, without the password.
    fn words(&self, error: &gst::glib::Error, details: Option<&str>) -> String {
        let details = details.and_then(|details| details.lines().last()).unwrap_or_default().trim();
        let words = if details.is_empty() { error.to_string() } else { format!("{error} ({details})") };
        if self.secret.is_empty() { words } else { words.replace(&self.secret, &self.shown) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.pipeline.set_state(gst::State::Null) {
            warn!(location = self.shown, %error, "the pipeline did not stop cleanly");
        }
    }
}
