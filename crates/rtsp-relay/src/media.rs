//! What every viewer's media is made of: a source that the relay feeds, and the payloader behind it; and the form of what it
//! is fed with.

use gst::prelude::*;
use gst_rtsp_server::prelude::*;

/// The launch line of a media whose payloader repeats SPS and PPS every `config_interval` seconds, 0 for never.
///
/// Never before each key frame (-1): with several slices a key frame GStreamer 1.22 puts them between the slices
/// too, and readers that collect NAL units break there.
pub(crate) fn launch(config_interval: u32) -> String {
    format!(
        "( appsrc name=source format=time is-live=true \
         ! rtph264pay name=pay0 pt=96 config-interval={config_interval} aggregate-mode=zero-latency )"
    )
}

/// The form in which pictures are handled: access units of H.264 as byte streams.
pub(crate) fn access_units() -> gst::Caps {
    gst::Caps::builder("video/x-h264").field("stream-format", "byte-stream").field("alignment", "au").build()
}

/// The source of a media that was made from [`launch`].
pub(crate) fn source(media: &gst_rtsp_server::RTSPMedia) -> Option<gst_app::AppSrc> {
    media.element().downcast::<gst::Bin>().ok()?.by_name("source")?.downcast().ok()
}

/// The running time of `source` once it plays.
///
/// Before PLAYING the base time is 0 and the running time is the machine's uptime: pictures stamped with it
/// would lie hours ahead and never be sent.
pub(crate) fn running_time(source: &gst_app::AppSrc) -> Option<gst::ClockTime> {
    let plays = source.current_state() == gst::State::Playing
        && source.base_time().is_some_and(|base| base > gst::ClockTime::ZERO);
    if plays { source.current_running_time() } else { None }
}
