//! Clips, viewers and raw requests, for the tests of this crate.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gst::prelude::*;
use rtsp_relay::clip::Clip;
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

/// Where in `clip` each of the `received` pictures is.
pub(crate) fn positions(clip: &Clip, received: &[Vec<u8>]) -> Vec<usize> {
    let sent: Vec<_> =
        clip.access_units.iter().map(|unit| slices(&unit.data.map_readable().unwrap())).collect();
    received
        .iter()
        .map(|picture| {
            let slices = slices(picture);
            sent.iter().position(|sent| *sent == slices).expect("a picture of the clip, whole")
        })
        .collect()
}

/// Access units in the order of `clip`, round after round, none left out.
pub(crate) fn assert_in_order(clip: &Clip, received: &[Vec<u8>]) {
    let positions = positions(clip, received);
    for pair in positions.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % clip.access_units.len(), "{positions:?}");
    }
}

/// GStreamer's own RTSP client.
pub(crate) struct Viewer {
    pipeline: gst::Pipeline,
    sink: gst_app::AppSink,
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

    /// The next access unit.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let end = Instant::now() + LONG;
        while Instant::now() < end {
            let error = self.pipeline.bus().unwrap().pop_filtered(&[gst::MessageType::Error]);
            assert!(error.is_none(), "{error:?}");
            if let Some(sample) = self.sink.try_pull_sample(gst::ClockTime::from_mseconds(100)) {
                return sample.buffer().unwrap().map_readable().unwrap().to_vec();
            }
        }
        panic!("no picture for {LONG:?}");
    }

    /// The next `count` access units.
    pub(crate) fn pictures(&self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.picture()).collect()
    }

    /// Waits until the stream is over, by its end or an error, and tells for how long.
    pub(crate) fn wait_for_end(&self) -> Duration {
        let start = Instant::now();
        let bus = self.pipeline.bus().unwrap();
        while start.elapsed() < LONG {
            // What waits in the sink would keep the end back.
            while self.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
            let ends = [gst::MessageType::Eos, gst::MessageType::Error];
            if bus.timed_pop_filtered(gst::ClockTime::from_mseconds(20), &ends).is_some() {
                return start.elapsed();
            }
        }
        panic!("the stream has not ended after {LONG:?}");
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

/// What the server at `address` answers to a request of the kind `method` for `path`.
pub(crate) fn status(address: SocketAddr, method: &str, path: &str, body: &str) -> u16 {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    request(&stream, address, method, path, body)
}

/// As [`status`], on a connection that is there.
pub(crate) fn request(
    mut stream: &TcpStream,
    address: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> u16 {
    let length = body.len();
    write!(
        stream,
        "{method} rtsp://{address}{path} RTSP/1.0\r\nCSeq: 1\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{line}"))
}
