//! One viewer's media.
//!
//! Every viewer has a media of its own, so that each starts at a key frame; they share the pictures' bytes, and
//! nothing is decoded or encoded.

use std::sync::{Arc, Weak};

use gst::glib::WeakRef;
use gst::prelude::*;
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPMedia, RTSPMediaFactory};

use super::pace::Pace;
use super::stream::{Picture, Stream};
use crate::media;

/// A viewer that has more bytes than this waiting loses pictures, from one key frame to the next.
const MAX_WAITING: u64 = 32 * 1024 * 1024;

/// A factory of media that play `stream`.
pub(super) fn factory(stream: &Arc<Stream>) -> RTSPMediaFactory {
    let factory = RTSPMediaFactory::new();
    // The pictures have SPS and PPS with them where they need them.
    factory.set_launch(&media::launch(0));
    factory.set_shared(false);
    factory.set_eos_shutdown(false);
    factory.set_latency(0);
    let stream = Arc::clone(stream);
    factory.connect_media_configure(move |_, media| {
        let client =
            RTSPContext::with_current_context(|context| context.client().map(|client| client.downgrade()));
        stream.join(media, client.flatten().unwrap_or_default());
    });
    factory
}

/// A viewer takes no more pictures.
#[derive(Debug)]
pub(super) struct Gone;

/// A viewer of a stream.
#[derive(Debug)]
pub(super) struct Viewer {
    source: gst_app::AppSrc,
    client: WeakRef<RTSPClient>,
    /// From when its media plays.
    pace: Option<Pace>,
    /// Whether pictures are left out until the next key frame.
    skipping: bool,
}

impl Viewer {
    /// The viewer for whom `media` was made; it leaves `stream` when the media ends.
    pub(super) fn new(media: &RTSPMedia, client: WeakRef<RTSPClient>, stream: &Arc<Stream>) -> Option<Self> {
        let source = media::source(media)?;
        source.set_block(false);
        source.set_max_bytes(0);
        media.connect_unprepared({
            let (stream, source): (Weak<Stream>, _) = (Arc::downgrade(stream), source.downgrade());
            move |_| {
                if let (Some(stream), Some(source)) = (stream.upgrade(), source.upgrade()) {
                    stream.leave(&source);
                }
            }
        });
        Some(Self { source, client, pace: None, skipping: false })
    }

    /// Whether it is fed through `source`.
    pub(super) fn has(&self, source: &gst_app::AppSrc) -> bool {
        self.source == *source
    }

    /// Sends `picture`; to a viewer that has just begun to play, all of `group`: the last key frame and what
    /// followed it, with `picture` at its end.
    pub(super) fn take(&mut self, picture: &Picture, group: &[Picture]) -> Result<(), Gone> {
        let Some(now) = media::running_time(&self.source) else {
            // It does not play yet, or pauses.
            self.skipping = self.pace.is_some();
            return Ok(());
        };
        if let Some(pace) = self.pace {
            return self.send(picture, pace, now);
        }
        let Some(first) = group.first() else {
            return Ok(());
        };
        let pace = *self.pace.insert(Pace::new(first.taken, now));
        group.iter().try_for_each(|picture| self.send(picture, pace, now))
    }

    fn send(&mut self, picture: &Picture, pace: Pace, now: gst::ClockTime) -> Result<(), Gone> {
        let full = self.source.current_level_bytes() > MAX_WAITING;
        self.skipping = full || self.skipping && !picture.key;
        if self.skipping {
            return Ok(());
        }
        let base = self.source.base_time().unwrap_or_default();
        let mut buffer = picture.data.copy();
        {
            let buffer = buffer.make_mut();
            buffer.set_pts(pace.due(picture.taken, base, now));
            buffer.set_dts(gst::ClockTime::NONE);
            buffer.set_flags(if picture.key {
                gst::BufferFlags::empty()
            } else {
                gst::BufferFlags::DELTA_UNIT
            });
        }
        let sample = gst::Sample::builder().buffer(&buffer).caps(&picture.caps).build();
        self.source.push_sample(&sample).map(drop).map_err(|_| Gone)
    }

    /// Ends its stream; returns its connection, which is still open.
    pub(super) fn end(self) -> WeakRef<RTSPClient> {
        if let Err(error) = self.source.end_of_stream() {
            tracing::debug!(%error, "a viewer left as its stream ended");
        }
        self.client
    }
}
