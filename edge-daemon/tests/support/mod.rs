//! A clip made on the spot.

use std::path::Path;

use gst::prelude::*;

/// Writes `frames` H.264 frames of 320x240 at 25 a second to `path`. With `b_frames`, pictures are decoded in
/// another order than they are shown, and the container shifts their times.
pub(crate) fn make_clip(path: &Path, frames: u32, b_frames: u32) {
    gst::init().unwrap();
    let pipeline = gst::parse::launch(&format!(
        "videotestsrc num-buffers={frames} pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1 \
         ! x264enc speed-preset=ultrafast bframes={b_frames} key-int-max=25 ! h264parse ! mp4mux \
         ! filesink location=\"{}\"",
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let ended = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    pipeline.set_state(gst::State::Null).unwrap();
    assert_eq!(ended.unwrap().type_(), gst::MessageType::Eos);
}
