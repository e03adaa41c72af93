use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{checked, detect, failure, model, names, stdout, with_model};

const WIDTH: usize = 96;
const HEIGHT: usize = 64;
const PICTURES: usize = 7;

/// Grey pictures of gradients, 10 a second.
fn y4m() -> Vec<u8> {
    let mut stream = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1\n").into_bytes();
    for picture in 0..PICTURES {
        let brightness = |at: usize| (16 + (at % WIDTH + at / WIDTH + 20 * picture) % 200) as u8;
        stream.extend(b"FRAME\n");
        stream.extend((0..WIDTH * HEIGHT).map(brightness));
        // No colour: two planes of a quarter of the size.
        stream.extend([128; WIDTH * HEIGHT / 2]);
    }
    stream
}

/// The video as a file that only ffmpeg can read; without losses.
fn write_mkv(directory: &Path) {
    fs::write(directory.join("a.y4m"), y4m()).unwrap();
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-nostdin", "-v", "error", "-i", "a.y4m", "-pix_fmt", "yuv420p", "-c:v", "ffv1", "a.mkv"]);
    assert!(ffmpeg.current_dir(directory).status().unwrap().success());
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| checked(line, "detect-video")).collect()
}

/// Numbers and times of the pictures that were looked at.
fn looked_at(lines: &[Value]) -> Vec<(u64, f64)> {
    lines.iter().map(|line| (line["frame"].as_u64().unwrap(), line["time_s"].as_f64().unwrap())).collect()
}

#[test]
fn each_picture_is_a_line_whoever_reads_the_video() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_mkv(path);
    let found = |video: &str| {
        let text = stdout(&with_model(path, &["video", video, "--json", "--score-threshold", "0"]));
        let mut found = lines(&text);
        assert_eq!(
            looked_at(&found),
            [(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (5, 0.5), (6, 0.6)],
            "{video}"
        );
        assert!(!found[0]["detections"].as_array().unwrap().is_empty());
        found.iter_mut().for_each(|line| line["detect_ms"] = 0.into());
        found
    };
    for (here, through_ffmpeg) in found("a.y4m").iter().zip(found("a.mkv")) {
        assert!(*here == through_ffmpeg, "frame {}", here["frame"]);
    }
}

#[test]
fn some_pictures_of_standard_input_drawn() {
    let directory = tempfile::tempdir().unwrap();
    let model = model();
    let mut child = Command::new(env!("CARGO_BIN_EXE_detect"))
        .args(["video", "-", "--every", "2", "--frames", "3", "--draw", "drawn", "--threads", "1"])
        .args(["--input-shape", "64,96", "--model", model.to_str().unwrap()])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&y4m()).unwrap();
    let text = stdout(&child.wait_with_output().unwrap());
    let frames: Vec<&str> = text.lines().filter(|line| line.starts_with("frame ")).collect();
    assert_eq!(frames.len(), 3);
    assert!(frames[2].starts_with("frame 4  0.400 s  "), "{text}");
    assert_eq!(names(&directory.path().join("drawn")), ["000000.jpg", "000002.jpg", "000004.jpg"]);
}

#[test]
fn what_is_no_video_or_ends_early_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    write_mkv(path);
    fs::write(path.join("note.mp4"), "no video").unwrap();
    fs::write(path.join("empty.y4m"), "YUV4MPEG2 W96 H64 F10:1 Cmono\n").unwrap();
    let whole = y4m();
    fs::write(path.join("short.y4m"), &whole[..whole.len() - 1]).unwrap();
    // A playlist must not be followed.
    fs::write(path.join("list.m3u8"), "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n").unwrap();
    for (video, expected) in [
        ("nowhere.mp4", "cannot read nowhere.mp4: No such file"),
        ("note.mp4", "note.mp4: ffmpeg cannot read it: "),
        ("list.m3u8", "list.m3u8: ffmpeg cannot read it: "),
        ("empty.y4m", "there is no picture in empty.y4m"),
        ("short.y4m", "short.y4m: frame 6 is cut short"),
    ] {
        let said = failure(&with_model(path, &["video", video, "--json"]), 1);
        assert!(said.contains(expected), "{said}");
    }
    let output = with_model(path, &["video", "short.y4m", "--json"]);
    assert_eq!(lines(&String::from_utf8(output.stdout).unwrap()).len(), PICTURES - 1);
    let said = failure(&with_model(path, &["video", "a.mkv", "--max-pixels", "6143"]), 1);
    assert!(said.contains("a.mkv: its pictures have 96x64 pixels, more than the 6143 allowed"), "{said}");
}

#[test]
fn without_ffmpeg_the_next_step_is_told() {
    let directory = tempfile::tempdir().unwrap();
    write_mkv(directory.path());
    let model = model();
    let output = Command::new(env!("CARGO_BIN_EXE_detect"))
        .args(["video", "a.mkv", "--model", model.to_str().unwrap()])
        .current_dir(directory.path())
        .env("PATH", directory.path())
        .output()
        .unwrap();
    let said = failure(&output, 1);
    assert!(said.contains("a.mkv is no Y4M, and there is no ffmpeg to read it; install it"), "{said}");
}

#[test]
fn options_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    for bad in [["--every", "0"], ["--frames", "0"], ["--every", "x"]] {
        failure(&detect(directory.path(), &[&["video", "a.y4m", "--model", "m"][..], &bad].concat()), 2);
    }
}
