//! Video in: one pipeline after another, as long as the source shall be read.
//!
//! A camera is opened again whenever its pipeline ends, fails or falls silent: GStreamer reports a dead TCP server
//! as the end of the stream, and a server that merely hangs not at all. A file ends at its end, unless it
//! shall repeat.

mod element;
mod h264;
mod location;
mod media_clock;
pub mod misp;
mod pipeline;
mod rtsp;
mod session;

use std::{sync::Arc, time::Duration};

use image::RgbImage;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use session::{Ended, Session};

pub use location::Location;
pub use pipeline::load_elements;

/// The first and the longest pause before a source is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// What to read and how.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// Where the video is.
    pub location: Location,
    /// How an RTSP camera sends it.
    pub transport: RtspTransport,
    /// How long RTP packets may wait for late ones.
    pub rtsp_latency: Duration,
    /// A live source without a frame for this long is opened again.
    pub stall: Duration,
    /// Read a file as fast as it is taken, losing nothing, rather than at its own speed.
    pub unpaced: bool,
    /// Begin a file again at its end.
    pub repeat: bool,
}

/// How an RTSP camera sends its packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RtspTransport {
    /// UDP, and TCP if nothing comes.
    Auto,
    /// Interleaved in the RTSP connection.
    Tcp,
    /// RTP over UDP.
    Udp,
}

/// One decoded picture.
#[derive(Debug)]
pub struct Picture {
    /// Its time in the source's own media, in microseconds, if the source tells it.
    pub media_time_us: Option<u64>,
    /// Its pixels.
    pub image: RgbImage,
}

/// Where pictures go; false ends the source.
pub type Deliver = Arc<dyn Fn(Picture) -> bool + Send + Sync>;

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// GStreamer itself does not start.
    #[error("cannot start GStreamer: {0}")]
    Start(String),
    /// A plugin is not installed.
    #[error("GStreamer has no element {element}; install the package {package}")]
    MissingElement {
        /// The element.
        element: &'static str,
        /// The package that brings it on Debian and Ubuntu.
        package: &'static str,
    },
    /// No decoder of H.264 is installed.
    #[error(
        "GStreamer has no decoder for H.264: neither avdec_h264 nor openh264dec; install the package gstreamer1.0-libav \
         (faster) or gstreamer1.0-plugins-bad"
    )]
    NoDecoder,
    /// The pipeline cannot be made.
    #[error("cannot read {location}: {cause}")]
    Build {
        /// What was to be read.
        location: String,
        /// What GStreamer says.
        cause: String,
    },
    /// A file cannot be read (to its end).
    #[error(
        "cannot read {location}: {cause}. Check that the file exists and holds video that GStreamer can decode"
    )]
    File {
        /// The file.
        location: String,
        /// What GStreamer says.
        cause: String,
    },
    /// A file without a single frame.
    #[error("{location} holds no video frame")]
    Empty {
        /// The file.
        location: String,
    },
}

/// Reads until `stop`, the end of a file that does not repeat, or `deliver` says no. `reopened` is called each
/// time a live source had to be opened again. Blocks: run it on a thread of its own.
///
/// # Errors
///
/// A file that cannot be read, or missing GStreamer plugins. Trouble with a live source is logged and tried
/// again.
pub fn run(
    settings: &SourceSettings,
    deliver: &Deliver,
    stop: &CancellationToken,
    reopened: impl Fn(),
) -> Result<(), SourceError> {
    let location = &settings.location;
    let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
    while !stop.is_cancelled() {
        let session = Session::open(settings, deliver)?;
        let ended = session.watch(location.is_live().then_some(settings.stall), stop);
        let frames = session.frames();
        drop(session);
        let cause = match ended {
            Ended::Stopped => return Ok(()),
            Ended::EndOfStream if !location.is_live() => {
                if frames == 0 {
                    return Err(SourceError::Empty { location: location.to_string() });
                }
                info!(%location, frames, "end of the file");
                if settings.repeat {
                    continue;
                }
                return Ok(());
            }
            Ended::Error(cause) if !location.is_live() => {
                return Err(SourceError::File { location: location.to_string(), cause });
            }
            Ended::Error(cause) => cause,
            Ended::EndOfStream => "the other side ended the stream".to_owned(),
            Ended::Stalled(silence) => format!("no frame for {silence:.1?}"),
        };
        if frames > 0 {
            backoff.reset();
        }
        let pause = backoff.after_failure();
        warn!(%location, cause, frames, retry_in = ?pause, "the source is gone; opening it again");
        wait(pause, stop);
        if !stop.is_cancelled() {
            reopened();
        }
    }
    debug!(%location, "the source was told to stop");
    Ok(())
}

/// Sleeps in slices, so that a stop is noticed.
fn wait(pause: Duration, stop: &CancellationToken) {
    const SLICE: Duration = Duration::from_millis(100);
    let mut left = pause;
    while left > Duration::ZERO && !stop.is_cancelled() {
        std::thread::sleep(left.min(SLICE));
        left = left.saturating_sub(SLICE);
    }
}
