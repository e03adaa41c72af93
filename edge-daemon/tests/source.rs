//! The source against files that the test makes, and against nobody.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use edge_daemon::source::{self, Deliver, RtspTransport, SourceError, SourceSettings, load_elements};
use tokio_util::sync::CancellationToken;

fn settings(location: &str) -> SourceSettings {
    SourceSettings {
        location: location.parse().unwrap(),
        transport: RtspTransport::Tcp,
        rtsp_latency: Duration::from_millis(100),
        stall: Duration::from_secs(5),
        unpaced: true,
        repeat: false,
    }
}

/// Reads to the end; the media times and sizes of all pictures.
fn read(settings: &SourceSettings) -> Result<Vec<(Option<u64>, u32, u32)>, SourceError> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let deliver: Deliver = {
        let seen = Arc::clone(&seen);
        Arc::new(move |picture| {
            let (width, height) = picture.image.dimensions();
            seen.lock().unwrap().push((picture.media_time_us, width, height));
            true
        })
    };
    load_elements(&settings.location)?;
    source::run(settings, &deliver, &CancellationToken::new(), || panic!("a file is not opened again"))?;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    Ok(seen)
}

#[test]
fn an_unpaced_file_gives_every_frame_with_its_time() {
    let directory = tempfile::tempdir().unwrap();
    // A name that must be escaped in a URI.
    let clip = directory.path().join("a clip #1.mp4");
    for b_frames in [0, 2] {
        support::make_clip(&clip, 30, b_frames);
        let frames = read(&settings(clip.to_str().unwrap())).unwrap();
        let expected: Vec<_> = (0..30).map(|frame| (Some(frame * 40_000), 320, 240)).collect();
        assert_eq!(frames, expected, "with {b_frames} B-frames");
    }
}

#[test]
fn a_paced_file_takes_its_time() {
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip.mp4");
    support::make_clip(&clip, 26, 0);
    let begun = Instant::now();
    let frames = read(&SourceSettings { unpaced: false, ..settings(clip.to_str().unwrap()) }).unwrap();
    // From the first frame to the last it is one second; a slow machine takes longer.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(frames.len(), 26);
}

#[test]
fn a_repeating_file_begins_again_until_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip.mp4");
    support::make_clip(&clip, 10, 0);
    let stop = CancellationToken::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let deliver: Deliver = {
        let (seen, stop) = (Arc::clone(&seen), stop.clone());
        Arc::new(move |picture| {
            let mut seen = seen.lock().unwrap();
            seen.push(picture.media_time_us.unwrap());
            if seen.len() == 25 {
                stop.cancel();
            }
            seen.len() < 25
        })
    };
    let settings = SourceSettings { repeat: true, ..settings(clip.to_str().unwrap()) };
    load_elements(&settings.location).unwrap();
    source::run(&settings, &deliver, &stop, || panic!("a loop is not a reconnect")).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 25);
    assert_eq!((seen[10], seen[20], seen[24]), (0, 0, 160_000));
}

#[test]
fn what_is_no_video_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing.mp4");
    let error = read(&settings(missing.to_str().unwrap())).unwrap_err().to_string();
    assert!(error.contains("missing.mp4"), "{error}");
    let text = directory.path().join("text.mp4");
    std::fs::write(&text, "not a video").unwrap();
    let error = read(&settings(text.to_str().unwrap())).unwrap_err().to_string();
    assert!(error.contains("text.mp4"), "{error}");
}

#[test]
fn a_camera_that_is_not_there_is_tried_again() {
    let stop = CancellationToken::new();
    let tries = AtomicU32::new(0);
    // Nobody listens on port 1.
    let settings = SourceSettings { unpaced: false, ..settings("rtsp://user:secret@127.0.0.1:1/video1") };
    load_elements(&settings.location).unwrap();
    let deliver: Deliver = Arc::new(|_| true);
    source::run(&settings, &deliver, &stop, || {
        if tries.fetch_add(1, Ordering::Relaxed) == 2 {
            stop.cancel();
        }
    })
    .unwrap();
    assert_eq!(tries.load(Ordering::Relaxed), 3);
}

#[test]
fn a_camera_that_falls_silent_is_given_up() {
    // Takes connections and never says a word.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let stop = CancellationToken::new();
    let settings = SourceSettings {
        stall: Duration::from_millis(500),
        unpaced: false,
        ..settings(&format!("rtsp://{}/video1", listener.local_addr().unwrap()))
    };
    load_elements(&settings.location).unwrap();
    let deliver: Deliver = Arc::new(|_| true);
    let begun = Instant::now();
    source::run(&settings, &deliver, &stop, || stop.cancel()).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500));
}
