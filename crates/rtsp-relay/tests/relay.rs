//! Plays a clip to real RTSP clients and looks at every picture that arrives.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test by panicking")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rtsp_relay::clip::Clip;
use rtsp_relay::path::StreamPath;
use rtsp_relay::{Relay, misp, plugins};
use support::{Process, Viewer, make, make_clip, slices};

const FPS: u64 = 25;

/// Receives access units for `time`, over `protocol`.
fn receive(url: &str, protocol: &str, time: Duration) -> Vec<Vec<u8>> {
    let viewer = Viewer::open(url, protocol);
    let mut access_units = viewer.pictures(1);
    let end = Instant::now() + time;
    while Instant::now() < end {
        access_units.push(viewer.picture());
    }
    access_units
}

/// Every picture came, in order, for more than two rounds, and each stamp is on the picture that it names.
fn check(clip: &Clip, received: &[Vec<u8>]) {
    // A viewer may join in the middle of a picture and get its end without the stamp.
    let joined_late = received.first().is_some_and(|bytes| misp::time_of(bytes).is_none());
    let received = &received[usize::from(joined_late)..];
    assert!(received.len() >= 2 * clip.access_units.len(), "only {} pictures", received.len());
    let positions: Vec<_> = received
        .iter()
        .map(|bytes| {
            let time = misp::time_of(bytes).expect("a stamp");
            let position = clip
                .access_units
                .iter()
                .position(|unit| unit.media_time_us == time)
                .expect("a time of the clip");
            let sent = clip.access_units[position].data.map_readable().unwrap().to_vec();
            assert!(slices(bytes) == slices(&sent), "the stamp {time} is on another picture");
            position
        })
        .collect();
    for pair in positions.windows(2) {
        assert_eq!(pair[1], (pair[0] + 1) % clip.access_units.len(), "{positions:?}");
    }
}

fn plays_for_ever(encoder: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = make_clip(dir.path(), 25, encoder);
    let clip = Clip::read(&file).unwrap();
    assert_eq!(clip.access_units.len() as u64, FPS);
    assert_eq!(clip.length, gst::ClockTime::SECOND);
    let mut times: Vec<_> = clip.access_units.iter().map(|unit| unit.media_time_us).collect();
    times.sort_unstable();
    assert_eq!(times, (0..FPS).map(|n| n * 1_000_000 / FPS).collect::<Vec<_>>());

    let path: StreamPath = "/video1".parse().unwrap();
    let relay =
        Relay::listen("127.0.0.1:0".parse().unwrap(), vec![(path.clone(), clip.clone())], None).unwrap();
    let (url, stopper) = (relay.url(&path), relay.stopper());
    let server = std::thread::spawn(move || relay.run());
    std::thread::scope(|scope| {
        let over = |protocol| {
            let url = &url;
            scope.spawn(move || receive(url, protocol, Duration::from_secs(3)))
        };
        let (tcp, udp) = (over("tcp"), over("udp"));
        check(&clip, &tcp.join().unwrap());
        check(&clip, &udp.join().unwrap());
    });
    // Nobody watches for a while; the next one is served too. One that comes while the last one's stream is being taken
    // down would have to ask again.
    std::thread::sleep(Duration::from_millis(500));
    assert!(receive(&url, "tcp", Duration::from_millis(500)).len() > 5);
    stopper.stop();
    server.join().unwrap();
}

#[test]
fn two_viewers_get_every_picture_of_every_round() {
    plays_for_ever("x264enc speed-preset=ultrafast bframes=0 key-int-max=25");
}

#[test]
fn pictures_of_several_slices_shown_in_another_order_than_sent() {
    plays_for_ever(
        "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=25 option-string=slices=4",
    );
}

fn refusal(file: &Path) -> String {
    plugins::init().unwrap();
    Clip::read(file).unwrap_err().to_string()
}

#[test]
fn what_is_not_an_h264_clip_is_refused_by_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let clip = make_clip(dir.path(), 25, "x264enc");
    let whole = std::fs::read(&clip).unwrap();

    let missing = refusal(&dir.path().join("none.mp4"));
    assert!(missing.contains("none.mp4: cannot be read: No such file"), "{missing}");
    assert!(refusal(dir.path()).contains("is not a file"));

    let text = dir.path().join("text.mp4");
    std::fs::write(&text, "this is no video\n".repeat(100)).unwrap();
    assert!(refusal(&text).contains("is text/plain, not an MP4"), "{}", refusal(&text));

    let empty = dir.path().join("empty.mp4");
    std::fs::write(&empty, "").unwrap();
    assert!(refusal(&empty).contains("not an MP4"), "{}", refusal(&empty));

    let cut = dir.path().join("cut.mp4");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&cut).contains("cut short"), "{}", refusal(&cut));

    let raw = "videotestsrc num-buffers=5 ! video/x-raw,width=64,height=64,framerate=25/1";
    let mjpeg = make(dir.path(), "mjpeg.mov", &format!("{raw} ! jpegenc ! qtmux"));
    assert!(refusal(&mjpeg).contains("no H.264 video (found: image/jpeg)"), "{}", refusal(&mjpeg));

    let mkv = make(dir.path(), "clip.mkv", &format!("{raw} ! x264enc ! h264parse ! matroskamux"));
    assert!(refusal(&mkv).contains("video/x-matroska"), "{}", refusal(&mkv));
}

#[test]
fn the_program_says_when_it_is_ready_and_stops_cleanly() {
    let dir = tempfile::tempdir().unwrap();
    let clip = make_clip(dir.path(), 25, "x264enc");
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_rtsp-relay"));
        program
            .arg("--play")
            .arg(format!("/video1={}", clip.display()))
            .stderr(Stdio::piped())
            .stdout(Stdio::piped());
        program
    };
    let mut running = Process(program().args(["--listen", "127.0.0.1:0"]).spawn().unwrap());
    let mut line = String::new();
    let mut stdout = std::io::BufReader::new(running.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
    let url = line.trim().strip_prefix("ready ").unwrap().to_owned();
    assert!(receive(&url, "tcp", Duration::from_millis(200)).len() > 2);

    let address = url.strip_prefix("rtsp://").unwrap().strip_suffix("/video1").unwrap();
    let health = || {
        let mut health = Command::new(env!("CARGO_BIN_EXE_rtsp-relay"));
        health.arg("--health").env("SLUICE_LISTEN", address).output().unwrap()
    };
    let well = health();
    assert_eq!(well.status.code(), Some(0), "{well:?}");
    let second = program().args(["--listen", address]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("is in use"), "{second:?}");

    let foreign = program().args(["--listen", "192.0.2.1:8554"]).output().unwrap();
    assert_eq!(foreign.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&foreign.stderr).contains("192.0.2.1 is not an address of this machine"));

    let pid = nix::unistd::Pid::from_raw(running.0.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
    let gone = health();
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert!(String::from_utf8_lossy(&gone.stderr).contains(address), "{gone:?}");
}
