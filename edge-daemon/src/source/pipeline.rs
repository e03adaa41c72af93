//! The GStreamer pipelines.
//!
//! Every pipeline ends in `videoconvertscale ! video/x-raw,format=RGB ! appsink`; what comes before depends on the
//! source. H.264 cameras get an explicit chain: automatic plugging would choose NAL alignment, which costs a
//! frame of latency and splits pictures of several slices (GStreamer 1.22).

use std::sync::Arc;

use gst::{glib, prelude::*};
use gst_video::prelude::*;
use image::RgbImage;
use tracing::debug;

use super::{
    Location, Picture, SourceError, SourceSettings, element::loads, h264, media_clock::MediaClock, rtsp,
    session::Progress,
};

/// Elements that no source does without, and the Debian packages that bring them.
const ELEMENTS: [(&str, &str); 3] = [
    ("videoconvertscale", "gstreamer1.0-plugins-base"),
    ("uridecodebin", "gstreamer1.0-plugins-base"),
    ("h264parse", "gstreamer1.0-plugins-bad"),
];
/// Elements for RTSP cameras.
const RTSP_ELEMENTS: [(&str, &str); 2] =
    [("rtspsrc", "gstreamer1.0-plugins-good"), ("rtph264depay", "gstreamer1.0-plugins-good")];
/// Elements for local cameras.
const DEVICE_ELEMENTS: [(&str, &str); 1] = [("v4l2src", "gstreamer1.0-plugins-good")];

/// Starts GStreamer and loads what `location` needs: from a cold disk that takes seconds, in which the frames of a camera that
/// plays already would wait for the decoder and grow old.
///
/// # Errors
///
/// Names the missing element and the package that brings it.
pub fn load_elements(location: &Location) -> Result<(), SourceError> {
    gst::init().map_err(|error| SourceError::Start(error.to_string()))?;
    let more: &[_] = match location {
        Location::Rtsp(_) => &RTSP_ELEMENTS,
        Location::Device(_) => &DEVICE_ELEMENTS,
        Location::File(_) | Location::Uri(_) => &[],
    };
    match ELEMENTS.iter().chain(more).find(|(element, _)| !loads(element)) {
        Some(&(element, package)) => Err(SourceError::MissingElement { element, package }),
        None => h264::find().map(|decoder| debug!(element = decoder.element, "decodes H.264")),
    }
}

/// Builds the pipeline for `settings`; `deliver` gets each picture on GStreamer's thread, and ends the stream by
/// returning false. `progress` is told of data that give no picture yet.
pub(super) fn build(
    settings: &SourceSettings,
    progress: &Arc<Progress>,
    deliver: impl FnMut(Picture) -> bool + Send + 'static,
) -> Result<gst::Pipeline, SourceError> {
    try_build(settings, progress, deliver).map_err(|cause| SourceError::Build {
        location: settings.location.to_string(),
        cause: cause.to_string(),
    })
}

fn try_build(
    settings: &SourceSettings,
    progress: &Arc<Progress>,
    deliver: impl FnMut(Picture) -> bool + Send + 'static,
) -> Result<gst::Pipeline, glib::BoolError> {
    let pipeline = gst::Pipeline::new();
    let clock = Arc::new(MediaClock::default());
    let convert = gst::ElementFactory::make("videoconvertscale").build()?;
    let sink = sink(settings, &clock, deliver);
    pipeline.add_many([&convert, sink.upcast_ref()])?;
    convert.link(&sink)?;
    match &settings.location {
        Location::Rtsp(uri) => {
            let source = rtsp::source(uri, settings)?;
            pipeline.add(&source)?;
            let (convert, progress) = (convert.downgrade(), Arc::clone(progress));
            source.connect_pad_added(move |source, pad| {
                if let Some(convert) = convert.upgrade()
                    && let Err(error) = rtsp::decode(source, pad, &convert, &clock, &progress)
                {
                    gst::element_error!(source, gst::CoreError::Pad, ("cannot decode the stream: {error}"));
                }
            });
        }
        Location::Device(path) => {
            let source = gst::ElementFactory::make("v4l2src")
                .property("device", path.to_string_lossy().as_ref())
                .build()?;
            let decode = decodebin(&convert)?;
            pipeline.add_many([&source, &decode])?;
            source.link(&decode)?;
        }
        Location::File(path) => {
            let absolute = std::path::absolute(path)
                .map_err(|error| glib::bool_error!("{}: {error}", path.display()))?;
            let uri = glib::filename_to_uri(absolute, None)
                .map_err(|error| glib::bool_error!("{}: {error}", path.display()))?;
            pipeline.add(&uri_source(&uri, &convert)?)?;
        }
        Location::Uri(uri) => pipeline.add(&uri_source(uri, &convert)?)?,
    }
    Ok(pipeline)
}

fn uri_source(uri: &str, convert: &gst::Element) -> Result<gst::Element, glib::BoolError> {
    let source = gst::ElementFactory::make("uridecodebin")
        .property("uri", uri)
        .property("caps", gst::Caps::builder("video/x-raw").any_features().build())
        .property("expose-all-streams", false)
        .build()?;
    link_video(&source, convert);
    Ok(source)
}

pub(super) fn decodebin(convert: &gst::Element) -> Result<gst::Element, glib::BoolError> {
    let decode = gst::ElementFactory::make("decodebin").build()?;
    link_video(&decode, convert);
    Ok(decode)
}

/// Links the first video pad that appears on `decoder`.
fn link_video(decoder: &gst::Element, convert: &gst::Element) {
    let convert = convert.downgrade();
    decoder.connect_pad_added(move |decoder, pad| {
        let Some(convert) = convert.upgrade() else { return };
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let video = caps.structure(0).is_some_and(|stream| stream.name().starts_with("video/"));
        let Ok(sink) = sink_pad(&convert) else { return };
        if video
            && !sink.is_linked()
            && let Err(error) = pad.link(&sink)
        {
            gst::element_error!(decoder, gst::CoreError::Pad, ("cannot use the video: {error}"));
        }
    });
}

pub(super) fn sink_pad(element: &gst::Element) -> Result<gst::Pad, glib::BoolError> {
    element.static_pad("sink").ok_or_else(|| glib::bool_error!("{} has no sink pad", element.name()))
}

fn sink(
    settings: &SourceSettings,
    clock: &Arc<MediaClock>,
    mut deliver: impl FnMut(Picture) -> bool + Send + 'static,
) -> gst_app::AppSink {
    let recorded = matches!(settings.location, Location::File(_) | Location::Uri(_));
    // A file's own time is its media time; a camera's presentation times begin when we connect.
    let own_time = matches!(settings.location, Location::File(_));
    let clock = Arc::clone(clock);
    let mut layout: Option<(gst::Caps, gst_video::VideoInfo)> = None;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let caps = sample.caps().ok_or(gst::FlowError::NotNegotiated)?;
        // The size may change in mid-stream.
        if layout.as_ref().is_none_or(|(known, _)| known.as_ref() != caps) {
            let info = gst_video::VideoInfo::from_caps(caps).map_err(|_| gst::FlowError::NotNegotiated)?;
            layout = Some((caps.to_owned(), info));
        }
        let (Some(buffer), Some((_, info))) = (sample.buffer(), &layout) else {
            return Err(gst::FlowError::Error);
        };
        let image = pixels(buffer, info).ok_or(gst::FlowError::Error)?;
        let media_time_us = if own_time {
            stream_time_us(&sample, buffer)
        } else {
            buffer.pts().and_then(|pts| clock.take(pts.nseconds()))
        };
        if deliver(Picture { media_time_us, image }) {
            Ok(gst::FlowSuccess::Ok)
        } else {
            Err(gst::FlowError::Eos)
        }
    });
    gst_app::AppSink::builder()
        .caps(&gst::Caps::builder("video/x-raw").field("format", "RGB").build())
        .sync(recorded && !settings.unpaced)
        .max_buffers(1)
        .drop(!settings.unpaced)
        .enable_last_sample(false)
        .callbacks(callbacks.build())
        .build()
}

/// The presentation time with the container's offsets and edit lists taken out.
fn stream_time_us(sample: &gst::SampleRef, buffer: &gst::BufferRef) -> Option<u64> {
    let segment = sample.segment()?.downcast_ref::<gst::ClockTime>()?;
    segment.to_stream_time(buffer.pts()?).map(gst::ClockTime::useconds)
}

/// Copies the rows out; GStreamer pads each to a multiple of four bytes.
fn pixels(buffer: &gst::BufferRef, info: &gst_video::VideoInfo) -> Option<RgbImage> {
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, info).ok()?;
    let (width, height) = (info.width(), info.height());
    let stride = usize::try_from(*frame.plane_stride().first()?).ok()?;
    let data = frame.plane_data(0).ok()?;
    let row = width as usize * 3;
    let mut pixels = Vec::with_capacity(row * height as usize);
    for line in data.chunks(stride).take(height as usize) {
        pixels.extend_from_slice(line.get(..row)?);
    }
    RgbImage::from_raw(width, height, pixels)
}
