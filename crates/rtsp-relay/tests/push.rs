//! Pushes to the relay with ffmpeg and GStreamer, and plays what is pushed.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gst::prelude::*;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rtsp_relay::clip::Clip;
use rtsp_relay::push::PushLimits;
use rtsp_relay::relay::Stopper;
use rtsp_relay::{Relay, plugins};
use support::{LONG, Process, Viewer, make_clip, nal_units, slices};

/// Where in `clip` each of the `received` pictures is.
fn positions(clip: &Clip, received: &[Vec<u8>]) -> Vec<usize> {
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
fn assert_in_order(clip: &Clip, received: &[Vec<u8>]) {
    let positions = positions(clip, received);
    for pair in positions.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % clip.access_units.len(), "{positions:?}");
    }
}

/// Waits until the stream is over, by its end or an error, and tells for how long.
fn wait_for_end(viewer: &Viewer) -> Duration {
    let start = Instant::now();
    let bus = viewer.pipeline.bus().unwrap();
    while start.elapsed() < LONG {
        // What waits in the sink would keep the end back.
        while viewer.sink.try_pull_sample(gst::ClockTime::ZERO).is_some() {}
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        if bus.timed_pop_filtered(gst::ClockTime::from_mseconds(20), &ends).is_some() {
            return start.elapsed();
        }
    }
    panic!("the stream has not ended after {LONG:?}");
}

/// What the server at `address` answers to a request of the kind `method` for `path`.
fn status(address: SocketAddr, method: &str, path: &str, body: &str) -> u16 {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    request(&stream, address, method, path, body)
}

/// As [`status`], on a connection that is there.
fn request(mut stream: &TcpStream, address: SocketAddr, method: &str, path: &str, body: &str) -> u16 {
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

/// Key frames two seconds apart: whoever joins at any time hardly joins at one.
const PICTURES: u32 = 50;
const ENCODER: &str = "x264enc speed-preset=ultrafast bframes=0 key-int-max=50 option-string=scenecut=0";

/// A relay that takes pushes, in this process; stopped when dropped.
struct Server {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(limits: PushLimits) -> Self {
        Self::start_with(Vec::new(), limits)
    }

    fn start_with(clips: Vec<(&str, Clip)>, limits: PushLimits) -> Self {
        plugins::init().unwrap();
        let clips = clips.into_iter().map(|(path, clip)| (path.parse().unwrap(), clip)).collect();
        let relay = Relay::listen("127.0.0.1:0".parse().unwrap(), clips, Some(limits)).unwrap();
        let (address, stopper) = (relay.address(), relay.stopper());
        Self { address, stopper, thread: Some(std::thread::spawn(move || relay.run())) }
    }

    fn url(&self, path: &str) -> String {
        format!("rtsp://{}{path}", self.address)
    }

    /// Waits until `path` can be viewed.
    fn wait_for(&self, path: &str) {
        let start = Instant::now();
        while status(self.address, "DESCRIBE", path, "") != 200 {
            assert!(start.elapsed() < LONG, "{path} is not published");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopper.stop();
        self.thread.take().unwrap().join().unwrap();
    }
}

const LIMITS: PushLimits = PushLimits { streams: 4, silence: Duration::from_secs(20) };

/// A process that pushes.
struct Publisher(Process);

impl Publisher {
    fn start(command: &mut Command) -> Self {
        Self(Process(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    /// ffmpeg that pushes `clip` for ever as it is.
    fn ffmpeg(clip: &Path, url: &str, options: &[&str]) -> Self {
        let mut command = Command::new("ffmpeg");
        command.args(["-hide_banner", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i"]);
        command.arg(clip).args(["-c", "copy"]).args(options).args(["-f", "rtsp", url]);
        Self::start(&mut command)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for it to fail; returns what it said.
    fn fails(mut self) -> String {
        let start = Instant::now();
        while self.0.0.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < LONG, "the publisher has not ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!self.0.0.wait().unwrap().success());
        std::io::read_to_string(self.0.0.stderr.take().unwrap()).unwrap()
    }
}

fn clip(dir: &Path) -> Clip {
    Clip::read(&make_clip(dir, PICTURES, ENCODER)).unwrap()
}

/// The stream begins with SPS, PPS and a key frame.
fn assert_begins_with_key_frame(picture: &[u8]) {
    let kinds: Vec<_> = nal_units(picture).iter().map(|nal| nal[0] & 0x1F).collect();
    for kind in [7, 8, 5] {
        assert!(kinds.contains(&kind), "NAL units {kinds:?}");
    }
}

/// Looks at more than a round of what is published at `url`.
fn check(clip: &Clip, url: &str, protocol: &str) {
    let received = Viewer::open(url, protocol).pictures(PICTURES as usize + 10);
    assert_begins_with_key_frame(&received[0]);
    assert_in_order(clip, &received);
}

#[test]
fn what_ffmpeg_pushes_is_played_from_its_first_key_frame_on() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let file = dir.path().join("clip.mp4");
    let server = Server::start(LIMITS);
    // ffmpeg's own choice is UDP.
    let _udp = Publisher::ffmpeg(&file, &server.url("/udp"), &[]);
    let _tcp = Publisher::ffmpeg(&file, &server.url("/site/tcp"), &["-rtsp_transport", "tcp"]);
    std::thread::scope(|scope| {
        for path in ["/udp", "/site/tcp"] {
            server.wait_for(path);
            for protocol in ["tcp", "udp"] {
                let (clip, url) = (&clip, server.url(path));
                scope.spawn(move || check(clip, &url, protocol));
            }
        }
    });
}

#[test]
fn what_is_pushed_with_sound_and_encoded_on_the_way_is_played_without_the_sound() {
    let dir = tempfile::tempdir().unwrap();
    make_clip(dir.path(), PICTURES, ENCODER);
    let server = Server::start(LIMITS);
    let url = server.url("/video1");
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "error", "-re", "-stream_loop", "-1", "-i"]);
    command.arg(dir.path().join("clip.mp4")).args(["-f", "lavfi", "-i", "sine"]);
    command.args(["-vcodec", "libx264", "-f", "rtsp", &url]);
    let _publisher = Publisher::start(&mut command);
    server.wait_for("/video1");
    // A second reader of another kind decodes it: libx264's own settings have B frames and rare key frames.
    let output = Command::new("ffprobe")
        .args(["-loglevel", "error", "-rtsp_transport", "tcp", "-read_intervals", "%+#30", "-count_frames"])
        .args(["-show_entries", "stream=codec_name,nb_read_frames", "-of", "csv=p=0", &url])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (codec, frames) = found.split_once(',').unwrap_or_else(|| panic!("{found}"));
    assert_eq!(codec, "h264", "the video alone: {found}");
    assert!(frames.parse::<u32>().unwrap() >= 20, "{found}");
}

#[test]
fn what_gstreamer_pushes_is_played_and_a_push_that_is_given_up_ends_for_its_viewers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(LIMITS);
    let launch = format!(
        "videotestsrc is-live=true ! video/x-raw,format=I420,width=320,height=240,framerate=25/1 ! {ENCODER} \
         ! rtspclientsink location={}",
        server.url("/video1")
    );
    let publisher = gst::parse::launch(&launch).unwrap();
    publisher.set_state(gst::State::Playing).unwrap();
    server.wait_for("/video1");
    let viewer = Viewer::open(&server.url("/video1"), "tcp");
    assert_begins_with_key_frame(&viewer.pictures(30)[0]);
    publisher.set_state(gst::State::Null).unwrap();
    wait_for_end(&viewer);
    assert_eq!(status(server.address, "DESCRIBE", "/video1", ""), 404);
    drop(dir);
}

#[test]
fn a_second_publisher_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let file = dir.path().join("clip.mp4");
    let server = Server::start(LIMITS);
    let _first = Publisher::ffmpeg(&file, &server.url("/video1"), &["-rtsp_transport", "tcp"]);
    server.wait_for("/video1");
    let viewer = Viewer::open(&server.url("/video1"), "tcp");
    let mut received = viewer.pictures(1);
    for transport in ["tcp", "udp"] {
        let second = Publisher::ffmpeg(&file, &server.url("/video1"), &["-rtsp_transport", transport]);
        let said = second.fails();
        assert!(said.contains("455 Method Not Valid in This State"), "{said}");
    }
    received.extend(viewer.pictures(PICTURES as usize));
    assert_in_order(&clip, &received);
}

#[test]
fn a_publisher_that_is_killed_ends_the_stream_and_frees_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let file = dir.path().join("clip.mp4");
    let server = Server::start(LIMITS);
    let url = server.url("/video1");
    for transport in ["tcp", "udp"] {
        let publisher = Publisher::ffmpeg(&file, &url, &["-rtsp_transport", transport]);
        server.wait_for("/video1");
        let viewers = ["tcp", "udp"].map(|protocol| Viewer::open(&url, protocol));
        viewers.iter().for_each(|viewer| {
            viewer.picture();
        });
        publisher.signal(Signal::SIGKILL);
        let waited = viewers.map(|viewer| wait_for_end(&viewer));
        // Long before the silence that the relay bears: the connection's end is what ends it.
        assert!(waited.iter().all(|waited| *waited < LIMITS.silence / 2), "{waited:?}");
        assert_eq!(status(server.address, "DESCRIBE", "/video1", ""), 404);
    }
    let _next = Publisher::ffmpeg(&file, &url, &[]);
    server.wait_for("/video1");
    check(&clip, &url, "tcp");
}

#[test]
fn a_publisher_that_falls_silent_ends_the_stream_and_frees_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let file = dir.path().join("clip.mp4");
    let server = Server::start(PushLimits { silence: Duration::from_secs(2), ..LIMITS });
    let url = server.url("/video1");
    // Stopped is what a publisher whose cable is out looks like: its connection stays.
    let silent = Publisher::ffmpeg(&file, &url, &["-rtsp_transport", "tcp"]);
    server.wait_for("/video1");
    let viewer = Viewer::open(&url, "tcp");
    viewer.picture();
    silent.signal(Signal::SIGSTOP);
    wait_for_end(&viewer);
    let _next = Publisher::ffmpeg(&file, &url, &["-rtsp_transport", "tcp"]);
    server.wait_for("/video1");
    silent.signal(Signal::SIGCONT);
    check(&clip, &url, "tcp");
}

#[test]
fn twenty_viewers_get_every_picture() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let server = Server::start(LIMITS);
    let _publisher = Publisher::ffmpeg(&dir.path().join("clip.mp4"), &server.url("/video1"), &[]);
    server.wait_for("/video1");
    std::thread::scope(|scope| {
        for viewer in 0..20 {
            let (clip, url) = (&clip, server.url("/video1"));
            scope.spawn(move || check(clip, &url, if viewer % 4 == 0 { "udp" } else { "tcp" }));
        }
    });
}

const SDP: &str = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n\
                   a=rtpmap:96 H264/90000\r\na=control:streamid=0\r\n";

#[test]
fn what_cannot_be_published_or_played_is_refused_by_the_reason_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start_with(vec![("/file", clip(dir.path()))], PushLimits { streams: 1, ..LIMITS });
    let address = server.address;
    let start = Instant::now();
    let announce = |path: &str, sdp: &str| status(address, "ANNOUNCE", path, sdp);
    assert_eq!(status(address, "DESCRIBE", "/video1", ""), 404);
    assert_eq!(status(address, "DESCRIBE", "/file", ""), 200);
    for path in ["/", "", "/a/../b", "/a?b", "/a%20b", &format!("/{}", "x".repeat(200))] {
        assert_eq!(announce(path, SDP), 400, "{path}");
    }
    assert_eq!(announce("/file", SDP), 405);
    assert_eq!(announce("/video1", &SDP.replace("H264", "H265")), 415);
    assert_eq!(announce("/video1", ""), 415);

    let publisher = TcpStream::connect(address).unwrap();
    assert_eq!(request(&publisher, address, "ANNOUNCE", "/video1", SDP), 200);
    assert_eq!(announce("/video1", SDP), 455);
    assert_eq!(announce("/video2", SDP), 503);
    // Announced, but nothing has come.
    assert_eq!(status(address, "DESCRIBE", "/video1", ""), 404);
    assert!(start.elapsed() < Duration::from_secs(15), "some answer took long: {:?}", start.elapsed());
    drop(publisher);
    let start = Instant::now();
    while announce("/video2", SDP) != 200 {
        assert!(start.elapsed() < LONG, "the path and the place of a publisher that left are not free");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_relay_that_was_not_told_to_take_pushes_takes_none() {
    plugins::init().unwrap();
    let relay = Relay::listen("127.0.0.1:0".parse().unwrap(), Vec::new(), None).unwrap();
    let (address, stopper) = (relay.address(), relay.stopper());
    let server = std::thread::spawn(move || relay.run());
    assert_eq!(status(address, "ANNOUNCE", "/video1", SDP), 405);
    stopper.stop();
    server.join().unwrap();
}

#[test]
fn the_program_stops_cleanly_amid_a_push() {
    let dir = tempfile::tempdir().unwrap();
    let clip = clip(dir.path());
    let relay = Command::new(env!("CARGO_BIN_EXE_rtsp-relay"))
        .args(["--accept-push", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut relay = Process(relay.unwrap());
    let mut line = String::new();
    let mut stdout = BufReader::new(relay.0.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let url = format!("{}video1", line.trim().strip_prefix("ready ").unwrap());
    let address = url.strip_prefix("rtsp://").unwrap().strip_suffix("/video1").unwrap().parse().unwrap();
    let _publisher = Publisher::ffmpeg(&dir.path().join("clip.mp4"), &url, &[]);
    let start = Instant::now();
    while status(address, "DESCRIBE", "/video1", "") != 200 {
        assert!(start.elapsed() < LONG);
        std::thread::sleep(Duration::from_millis(50));
    }
    let viewer = Viewer::open(&url, "tcp");
    assert!(!positions(&clip, &[viewer.picture()]).is_empty());
    kill(Pid::from_raw(relay.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_for_end(&viewer);
    assert_eq!(relay.0.wait().unwrap().code(), Some(0));
}
