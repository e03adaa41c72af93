//! Clips and viewers, for the tests of this crate.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use gst::prelude::*;
use rtsp_relay::plugins;

/// Longer than anything takes on a machine that has other work.
pub(crate) const LONG: Duration = Duration::from_secs(30);

/// Makes a file with GStreamer's own elements.
pub(crate) fn make(dir: &Path, name: &str, pipeline: &str) -> PathBuf {
    plugins::init().unwrap();
    let file = dir.join(name);
    let launch = format!("{pipeline} ! filesink location={}", file.display());
    let pipeline = gst::parse::launch(&launch).unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = pipeline.bus().unwrap().timed_pop_filtered(gst::ClockTime::from_seconds(30), &end).unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    file
}

/// So many pictures of H.264 at 25 a second in an MP4 file.
pub(crate) fn make_clip(dir: &Path, pictures: u32, encoder: &str) -> PathBuf {
    let source = format!(
        "videotestsrc pattern=ball num-buffers={pictures} ! video/x-raw,format=I420,width=320,height=240,framerate=25/1"
    );
    make(dir, "clip.mp4", &format!("{source} ! {encoder} ! h264parse ! mp4mux"))
}

/// The NAL units of an access unit in byte-stream form.
pub(crate) fn nal_units(access_unit: &[u8]) -> Vec<Vec<u8>> {
    let starts: Vec<_> =
        access_unit.windows(3).enumerate().filter(|(_, w)| *w == [0, 0, 1]).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([access_unit.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(start, end)| access_unit[start + 3..end].to_vec())
        .map(|mut nal| {
            while nal.last() == Some(&0) {
                nal.pop();
            }
            nal
        })
        .collect()
}

/// The slices of an access unit: what the decoder sees of the picture itself.
pub(crate) fn slices(access_unit: &[u8]) -> Vec<Vec<u8>> {
    nal_units(access_unit).into_iter().filter(|nal| (1..=5).contains(&(nal[0] & 0x1F))).collect()
}

/// GStreamer's own RTSP client.
pub(crate) struct Viewer {
    pub(crate) pipeline: gst::Pipeline,
    pub(crate) sink: gst_app::AppSink,
}

impl Viewer {
    /// Begins to play `url` over `protocol`, `tcp` or `udp`.
    pub(crate) fn open(url: &str, protocol: &str) -> Self {
        let launch = format!(
            "rtspsrc location={url} protocols={protocol} latency=100 ! rtph264depay ! \
             video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=sink sync=false"
        );
        let pipeline = gst::parse::launch(&launch).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("sink").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        Self { pipeline, sink }
    }

    /// The next access unit. Parameter sets that come in a buffer of their own, as GStreamer's client gives those of
    /// the session's description, are put before it.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let end = Instant::now() + LONG;
        while Instant::now() < end {
            let error = self.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
            assert!(error.is_none(), "{error:?}");
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
                bytes.extend_from_slice(&sample.buffer().unwrap().map_readable().unwrap());
                if !slices(&bytes).is_empty() {
                    return bytes;
                }
            }
        }
        panic!("no picture for {LONG:?}");
    }

    /// The next `count` access units.
    pub(crate) fn pictures(&self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.picture()).collect()
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// A running program; killed when dropped, so that it does not outlive a test that fails.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}
