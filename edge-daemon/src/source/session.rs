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
    opened: Instant,
    progress: Arc<Progress>,
    /// The URL with its password, which GStreamer likes to repeat in its messages.
    secret: String,
    shown: String,
}

/// How far a pipeline has come.
#[derive(Default)]
pub(super) struct Progress {
    frames: AtomicU64,
    /// Milliseconds from the opening to the last frame.
    last_frame_ms: AtomicU64,
}

impl Progress {
    pub(super) fn frame(&self, opened: Instant) {
        self.last_frame_ms.store(opened.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.frames.fetch_add(1, Ordering::Relaxed);
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
        let opened = Instant::now();
        let progress = Arc::new(Progress::default());
        let deliver = {
            let (deliver, progress) = (Arc::clone(deliver), Arc::clone(&progress));
            // Pictures that are on their way when `deliver` says no are dropped.
            let mut wanted = true;
            move |picture| {
                if wanted {
                    progress.frame(opened);
                    wanted = deliver(picture);
                }
                wanted
            }
        };
        let pipeline = pipeline::build(settings, deliver)?;
        // A pipeline that does not even start says why on its bus: `watch` reads it there.
        if let Err(error) = pipeline.set_state(gst::State::Playing) {
            debug!(%error, "the pipeline did not start");
        }
        let secret = match &settings.location {
            super::Location::Rtsp(uri) | super::Location::Uri(uri) => uri.clone(),
            super::Location::File(_) | super::Location::Device(_) => String::new(),
        };
        Ok(Self { pipeline, opened, progress, secret, shown: settings.location.to_string() })
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
            let last_frame = Duration::from_millis(self.progress.last_frame_ms.load(Ordering::Relaxed));
            let silence = self.opened.elapsed().saturating_sub(last_frame);
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
