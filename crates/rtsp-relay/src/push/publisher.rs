//! Takes the H.264 pictures out of what a publisher sends.

use std::sync::Arc;

use gst::ClockTime;
use gst::prelude::*;
use gst_rtsp_server::gst_sdp::{SDPMediaRef, SDPMessageRef};
use gst_rtsp_server::prelude::*;

use super::stream::{Picture, Stream};
use crate::{media, misp};

/// How long the packets of a push over UDP may wait for late ones, in milliseconds.
pub(crate) const RECEIVE_LATENCY_MS: u32 = 200;

/// The most tracks in one push.
const MAX_TRACKS: u32 = 8;

/// A picture's time may be this far from when it came; a publisher's clock that says something else is wrong.
const MAX_AGE: ClockTime = ClockTime::from_seconds(2);

/// Why a push cannot be received.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// No H.264 track was announced.
    #[error("no H.264 video among what was announced ({0}); push H.264: ffmpeg … -c:v libx264 …")]
    NotH264(String),
    /// Too many tracks were announced.
    #[error("{0} tracks were announced, more than {MAX_TRACKS}")]
    Tracks(u32),
    /// GStreamer refused.
    #[error("GStreamer failed: {0}")]
    Elements(#[from] gst::glib::BoolError),
    /// The media is not the relay's.
    #[error("the media is no bin")]
    NoBin,
}

/// Gives `media` a stream for each track that `sdp` announces: pictures of the first H.264 track go to `stream`,
/// everything else is thrown away, because a publisher that sends sound too expects it to be taken.
pub(crate) fn receive(
    stream: &Arc<Stream>,
    media: &gst_rtsp_server::RTSPMedia,
    sdp: &SDPMessageRef,
) -> Result<(), ReceiveError> {
    if sdp.medias_len() > MAX_TRACKS {
        return Err(ReceiveError::Tracks(sdp.medias_len()));
    }
    let tracks: Vec<_> = sdp.medias().map(encoding).collect();
    let video = tracks.iter().position(|encoding| encoding == "H264");
    let video = video.ok_or_else(|| ReceiveError::NotH264(tracks.join(", ")))?;
    let bin = media.element().downcast::<gst::Bin>().map_err(|_| ReceiveError::NoBin)?;
    for (index, encoding) in tracks.iter().enumerate() {
        let first = if index == video {
            depayloader(stream, &bin)?
        } else {
            tracing::warn!(path = %stream.path(), %encoding, "only H.264 video is passed on; this track is not");
            let unused = unused()?;
            bin.add(&unused)?;
            unused
        };
        let pad =
            first.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("an element has no input"))?;
        media.create_stream(&first, &pad);
    }
    Ok(())
}

/// The name of a track's encoding, in capitals.
fn encoding(track: &SDPMediaRef) -> String {
    let name = || {
        let format = track.format(0)?.parse().ok()?;
        let caps = track.caps_from_media(format)?;
        caps.structure(0)?.get::<String>("encoding-name").ok()
    };
    let kind = || track.media().unwrap_or("unknown").to_owned();
    name().unwrap_or_else(kind).to_ascii_uppercase()
}

fn unused() -> Result<gst::Element, gst::glib::BoolError> {
    gst::ElementFactory::make("fakesink").property("sync", false).property("async", false).build()
}

/// The elements that make pictures of RTP packets, in `bin`; returns the first one.
fn depayloader(stream: &Arc<Stream>, bin: &gst::Bin) -> Result<gst::Element, gst::glib::BoolError> {
    let make = gst::ElementFactory::make;
    let depay = make("rtph264depay").build()?;
    // SPS and PPS with every key frame, so that whoever joins there has them.
    let parse = make("h264parse").property("config-interval", -1).build()?;
    let stream = Arc::clone(stream);
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if let Some(picture) = picture(&sample, sink) {
            stream.push(picture);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    let sink = gst_app::AppSink::builder()
        .caps(&media::access_units())
        .sync(false)
        .async_(false)
        .enable_last_sample(false)
        .callbacks(callbacks.build())
        .build();
    bin.add_many([&depay, &parse, sink.upcast_ref()])?;
    gst::Element::link_many([&depay, &parse, sink.upcast_ref()])?;
    Ok(depay)
}

fn picture(sample: &gst::SampleRef, sink: &gst_app::AppSink) -> Option<Picture> {
    let buffer = sample.buffer()?;
    let now = sink.clock()?.time();
    let stamped = || {
        let segment = sample.segment()?.downcast_ref::<ClockTime>()?;
        Some(segment.to_running_time(buffer.pts()?)? + sink.base_time()?)
    };
    let taken = stamped().unwrap_or(now).clamp(now.saturating_sub(MAX_AGE), now);
    let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
        && misp::has_sequence_parameters(&buffer.map_readable().ok()?);
    let data = buffer.copy_region(gst::BufferCopyFlags::MEMORY, ..).ok()?;
    Some(Picture { data, caps: sample.caps_owned()?, taken, key })
}
