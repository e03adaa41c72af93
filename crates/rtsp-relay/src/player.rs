//! Feeds one clip to its viewers, round after round, at the clip's own pace.
//!
//! All viewers of a path share one media. It exists while there is a viewer; the first one starts the clip from
//! its beginning. The clip never ends for them: there is no seek and no end of stream, only times that go on.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use gst::ClockTime;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;

use crate::{Clip, media};

/// What may wait in a media before the thread that feeds it has to wait, in bytes.
const MAX_WAITING: u64 = 8 * 1024 * 1024;

/// How often SPS and PPS are repeated: viewers join anywhere.
const PARAMETER_SETS_INTERVAL_S: u32 = 1;

/// How often to look whether the media plays yet.
const START_POLL: Duration = Duration::from_millis(5);

/// A media factory that plays `clip` for ever to all who come.
pub(crate) fn factory(path: &str, clip: Clip) -> gst_rtsp_server::RTSPMediaFactory {
    let factory = gst_rtsp_server::RTSPMediaFactory::new();
    factory.set_launch(&media::launch(PARAMETER_SETS_INTERVAL_S));
    factory.set_shared(true);
    factory.set_eos_shutdown(false);
    factory.set_latency(0);
    let path = path.to_owned();
    factory.connect_media_configure(move |_, media| match start(&path, &clip, media) {
        Ok(()) => tracing::info!(%path, "first viewer: playing from the start"),
        Err(error) => tracing::error!(%path, %error, "cannot play"),
    });
    factory
}

/// Starts the thread that feeds `media`; it ends when the media does.
fn start(path: &str, clip: &Clip, media: &gst_rtsp_server::RTSPMedia) -> Result<(), StartError> {
    let source = media::source(media).ok_or(StartError::NoSource)?;
    source.set_block(true);
    source.set_max_bytes(MAX_WAITING);
    source.set_caps(Some(&clip.caps));

    let (running, stopped) = channel::<()>();
    let clip = clip.clone();
    std::thread::Builder::new().name(format!("play {path}")).spawn(move || feed(&clip, &source, &stopped))?;

    // Dropping the sender is what stops the thread.
    let running = Mutex::new(Some(running));
    let path = path.to_owned();
    media.connect_unprepared(move |_| {
        if running.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!(%path, "last viewer left");
        }
    });
    Ok(())
}

/// Why a media cannot be fed.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the media has no source element")]
    NoSource,
    #[error("no thread to feed it: {0}")]
    Thread(#[from] std::io::Error),
}

/// Pushes the clip round after round until the media stops.
fn feed(clip: &Clip, source: &gst_app::AppSrc, stopped: &Receiver<()>) {
    let Some(start) = wait_for_start(source, stopped) else {
        return;
    };
    for round in 0_u64.. {
        for unit in clip.access_units.iter() {
            let round_start = start + clip.length * round;
            let due = round_start + unit.dts;
            let now = source.current_running_time().unwrap_or(due);
            if has_stopped(stopped, due.saturating_sub(now).into()) {
                return;
            }
            let mut buffer = unit.data.copy();
            {
                let buffer = buffer.make_mut();
                buffer.set_pts(round_start + unit.pts);
                buffer.set_dts(due);
                buffer.set_duration(unit.duration);
                buffer.set_flags(if unit.key {
                    gst::BufferFlags::empty()
                } else {
                    gst::BufferFlags::DELTA_UNIT
                });
            }
            if source.push_buffer(buffer).is_err() {
                return;
            }
        }
    }
}

/// The running time at which the media plays, or `None` if it stopped before.
fn wait_for_start(source: &gst_app::AppSrc, stopped: &Receiver<()>) -> Option<ClockTime> {
    loop {
        if let Some(now) = media::running_time(source) {
            return Some(now);
        }
        if has_stopped(stopped, START_POLL) {
            return None;
        }
    }
}

/// Waits for `timeout`; true as soon as the media has stopped.
fn has_stopped(stopped: &Receiver<()>, timeout: Duration) -> bool {
    stopped.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
}
