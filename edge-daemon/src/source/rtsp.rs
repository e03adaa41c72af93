//! RTSP cameras: the source element, and the decoder for what it gives.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use gst::{glib, prelude::*};

use super::{
    RtspTransport, SourceSettings, h264,
    media_clock::MediaClock,
    misp::{self, Framing},
    pipeline::{decodebin, sink_pad},
    session::Progress,
};

/// Without a packet for this long, rtspsrc goes from UDP to TCP (microseconds).
const UDP_TIMEOUT_US: u64 = 2_000_000;
/// How long the RTSP connection may take to answer (microseconds); its own default is 20 s.
const TCP_TIMEOUT_US: u64 = 3_000_000;
/// After so many pictures without a key frame, the stream is taken as it is: some cameras refresh their picture bit by
/// bit and send none.
const LONGEST_WAIT_FOR_KEY_FRAME: u32 = 300;

pub(super) fn source(uri: &str, settings: &SourceSettings) -> Result<gst::Element, glib::BoolError> {
    let protocols = match settings.transport {
        RtspTransport::Auto => "tcp+udp",
        RtspTransport::Tcp => "tcp",
        RtspTransport::Udp => "udp",
    };
    let source = gst::ElementFactory::make("rtspsrc")
        .property("location", uri)
        .property_from_str("protocols", protocols)
        .property("latency", u32::try_from(settings.rtsp_latency.as_millis()).unwrap_or(u32::MAX))
        // Nothing is thrown away before it is decoded: servers send all pictures since the last key frame at once to who
        // joins, and a picture that refers to a lost one is lost, too. The newest decoded frame wins all the same.
        .property("drop-on-latency", false)
        .property("timeout", UDP_TIMEOUT_US)
        .property("tcp-timeout", TCP_TIMEOUT_US)
        .property("teardown-timeout", 0u64)
        .build()?;
    // Sound would only be thrown away, after it has used the link.
    source.connect("select-stream", false, |arguments| {
        let video = arguments
            .get(2)
            .and_then(|caps| caps.get::<gst::Caps>().ok())
            .and_then(|caps| caps.structure(0).map(|stream| stream.get::<&str>("media") == Ok("video")));
        Some(video.unwrap_or(true).to_value())
    });
    Ok(source)
}

/// Puts the decoder between a new pad of the RTSP source and the converter.
pub(super) fn decode(
    source: &gst::Element,
    pad: &gst::Pad,
    convert: &gst::Element,
    clock: &Arc<MediaClock>,
    progress: &Arc<Progress>,
) -> Result<(), glib::BoolError> {
    if sink_pad(convert)?.is_linked() {
        return Ok(());
    }
    let parent = source.parent().and_downcast::<gst::Pipeline>();
    let pipeline = parent.ok_or_else(|| glib::bool_error!("the source has left its pipeline"))?;
    let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
    let encoding = caps.structure(0).and_then(|stream| stream.get::<String>("encoding-name").ok());
    let first = if encoding.as_deref() == Some("H264") {
        let depay = gst::ElementFactory::make("rtph264depay").build()?;
        let parse = gst::ElementFactory::make("h264parse").build()?;
        let decode = h264::make()?;
        watch_media_time(&parse, clock);
        wait_for_key_frame(&parse, progress);
        let chain = [&depay, &parse, &decode];
        pipeline.add_many(chain)?;
        gst::Element::link_many([&depay, &parse, &decode, convert])?;
        // From the end, so that no element gets data before the next one is ready.
        chain.iter().rev().try_for_each(|element| element.sync_state_with_parent())?;
        depay
    } else {
        let decode = decodebin(convert)?;
        pipeline.add(&decode)?;
        decode.sync_state_with_parent()?;
        decode
    };
    pad.link(&sink_pad(&first)?).map_err(|error| glib::bool_error!("{error}"))?;
    Ok(())
}

/// Reads the media time of every access unit that leaves `parse`.
fn watch_media_time(parse: &gst::Element, clock: &Arc<MediaClock>) {
    let Some(pad) = parse.static_pad("src") else { return };
    let clock = Arc::clone(clock);
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
        if let Some(buffer) = info.buffer()
            && let Some(pts) = buffer.pts()
            && let Some(framing) = pad.current_caps().and_then(|caps| framing(&caps))
            && let Ok(unit) = buffer.map_readable()
            && let Some(time) = misp::media_time_us(&unit, framing)
        {
            clock.keep(pts.nseconds(), time);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Keeps everything before the first key frame from the decoder, which would make grey pictures of it.
fn wait_for_key_frame(parse: &gst::Element, progress: &Arc<Progress>) {
    let Some(pad) = parse.static_pad("src") else { return };
    let progress = Arc::clone(progress);
    let waited = AtomicU32::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer() else { return gst::PadProbeReturn::Ok };
        let key_frame = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        if key_frame || waited.fetch_add(1, Ordering::Relaxed) == LONGEST_WAIT_FOR_KEY_FRAME {
            return gst::PadProbeReturn::Remove;
        }
        // The camera is not silent.
        progress.alive();
        gst::PadProbeReturn::Drop
    });
}

/// The framing of H.264 `caps`; the fifth byte of the `avcC` record holds the size of the lengths.
fn framing(caps: &gst::CapsRef) -> Option<Framing> {
    let stream = caps.structure(0)?;
    if stream.get::<&str>("stream-format") == Ok("byte-stream") {
        return Some(Framing::StartCodes);
    }
    let record = stream.get::<gst::Buffer>("codec_data").ok()?;
    let record = record.map_readable().ok()?;
    Some(Framing::LengthPrefixed(usize::from(record.get(4)? & 3) + 1))
}
