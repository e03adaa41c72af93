//! The whole program, with a tiny model, a clip made on the spot and a stub cloud.

#![expect(clippy::unwrap_used, reason = "what a test cannot do, it reports by panicking")]

mod support;

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use axum::{Json, Router, routing::post};
use detector::{Family, testing::write_random_model};
use edge_daemon::results;
use protocol::{
    record::{FrameRecord, Outcome},
    status::EdgeStatus,
};
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CLASSES: [&str; 4] = ["person", "helmet", "helmet_on", "helmet_off"];

/// A directory with a clip of `frames` frames and a model.
fn workplace(frames: u32) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    support::make_clip(&directory.path().join("clip.mp4"), frames, 0);
    let model = directory.path().join("little.safetensors");
    write_random_model(&model, Family::Yolov3Resnet18, 0.125, &CLASSES, (96, 128), 1).unwrap();
    directory
}

/// `edge-daemon` in `directory`, with nothing of the tester's environment that would set a flag.
fn edge_daemon(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge-daemon"));
    command.current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    let common = ["--video-url", "clip.mp4", "--model", "little.safetensors", "--out", "out"];
    edge_daemon(directory, &[&common, arguments].concat()).output().unwrap()
}

fn records(directory: &Path) -> Vec<FrameRecord> {
    let mut records = results::read(&directory.join("out/results.jsonl")).unwrap();
    records.sort_by_key(|record| record.frame);
    records
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A cloud that finds one person in every picture.
fn cloud(runtime: &Runtime) -> String {
    let answer = json!({
        "request_id": "r",
        "model": {"name": "big", "family": "f", "input_width": 320, "input_height": 320, "classes": CLASSES},
        "image": {"width": 320, "height": 240},
        "detections": [{"class": "person", "class_id": 0, "score": 0.9, "x_min": 10.0, "y_min": 10.0, "x_max": 50.0, "y_max": 90.0}],
        "timing": {"decode_ms": 0.0, "queue_ms": 0.0, "infer_ms": 0.0, "total_ms": 0.0},
    });
    let router = Router::new().route("/infer", post(move || async move { Json(answer) }));
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    url
}

fn interrupt(child: &Child) {
    let sent = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn an_unpaced_file_is_judged_whole_and_scored() {
    let runtime = Runtime::new().unwrap();
    let url = cloud(&runtime);
    let work = workplace(12);
    let output = run(
        work.path(),
        &["--unpaced", "--hem-name", "CloudOnly", "--cloud-url", &url, "--queue", "2", "--status-json"],
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let records = records(work.path());
    assert_eq!(records.len(), 12);
    for (number, record) in records.iter().enumerate() {
        assert_eq!((record.frame, record.outcome), (number as u64, Outcome::Answered), "{record:?}");
        assert_eq!(record.media_time_us, Some(number as u64 * 40_000));
        assert_eq!((record.width, record.height), (320, 240));
    }
    let last: EdgeStatus =
        serde_json::from_str(String::from_utf8(output.stdout).unwrap().lines().last().unwrap()).unwrap();
    assert_eq!((last.captured, last.inferred, last.answered, last.queued), (12, 12, 12, 0));
    for directory in ["all_examples", "hard_example_cloud", "hard_example_edge"] {
        let first = work.path().join(format!("out/{directory}_inference_output/0.jpeg"));
        assert_eq!(std::fs::read(&first).unwrap()[..2], [0xff, 0xd8], "{}", first.display());
    }

    // Of the clip's frames only the first six are in the ground truth, each with the cloud's person.
    let images: Vec<_> = (0..6)
        .map(|id| json!({"id": id, "file_name": "x", "width": 320, "height": 240, "time_us": id * 40_000}))
        .collect();
    let annotations: Vec<_> = (0..6)
        .map(|id| json!({"id": id, "image_id": id, "category_id": 1, "bbox": [10, 10, 40, 80], "area": 3200, "iscrowd": 0}))
        .collect();
    let categories: Vec<_> =
        CLASSES.iter().enumerate().map(|(index, name)| json!({"id": index + 1, "name": name})).collect();
    let truth = json!({"info": {}, "images": images, "annotations": annotations, "categories": categories});
    std::fs::write(work.path().join("truth.json"), truth.to_string()).unwrap();
    let score = ["score", "--results", "out/results.jsonl", "--truth", "truth.json", "--video", "clip.mp4"];
    let output = edge_daemon(work.path(), &[&score[..], &["--model", "little.safetensors"]].concat())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let score: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&score["frames_scored"], &score["frames_unmatched"]), (&json!(6), &json!(6)));
    assert_eq!(score["map50_joint"], json!(1.0));
    assert!(score["map50_edge"].as_f64().unwrap() < 1.0);
    assert_eq!(score["classes"]["person"]["objects"], json!(6));
    // The "big" model is the little one here, at the same frames.
    assert_eq!(score["map50_cloud"], score["map50_edge"]);
}

#[test]
fn the_end_of_a_paced_file_records_what_the_dead_cloud_left() {
    let work = workplace(20);
    // Nobody listens on port 1.
    let cloud = ["--hem-name", "CloudOnly", "--cloud-url", "http://127.0.0.1:1"];
    let output = run(work.path(), &[&cloud[..], &["--keep-pictures", "0"]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let records = records(work.path());
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| matches!(record.outcome, Outcome::Expired | Outcome::Displaced)));
    let last = records.last().unwrap().upload.as_ref().unwrap();
    assert!(last.error.as_ref().unwrap().contains("shut down"));
    assert!(!work.path().join("out/all_examples_inference_output").exists());
}

#[test]
fn a_signal_ends_the_run_in_order() {
    let work = workplace(20);
    let common = ["--video-url", "clip.mp4", "--loop", "--model", "little.safetensors", "--out", "out"];
    let mut child =
        edge_daemon(work.path(), &[&common[..], &["--hem-name", "EdgeOnly", "--status-json"]].concat())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: EdgeStatus = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first.hard, 0);
    interrupt(&child);
    let last: EdgeStatus = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(records(work.path()).len() as u64, last.inferred);
    assert!(last.captured >= last.inferred);
}

#[test]
fn another_model_takes_over_and_a_broken_one_does_not() {
    let work = workplace(20);
    let common = ["--video-url", "clip.mp4", "--loop", "--model", "little.safetensors", "--out", "out"];
    let mut child =
        edge_daemon(work.path(), &[&common[..], &["--hem-name", "EdgeOnly", "--status-json"]].concat())
            .spawn()
            .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut until = |is_so: fn(&EdgeStatus) -> bool| {
        let status = lines.by_ref().take(60).map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        status.into_iter().find(is_so).expect("not so after a minute")
    };
    until(|status| status.inferred > 0);
    let (model, new) = (work.path().join("little.safetensors"), work.path().join("new"));
    std::fs::write(&new, "no model").unwrap();
    std::fs::rename(&new, &model).unwrap();
    let refused = until(|status| status.model_refusals == 1);
    assert_eq!(refused.model_swaps, 0);
    until(|status| status.model_refusals == 1);
    write_random_model(&new, Family::Yolov3Resnet18, 0.125, &CLASSES[..3], (96, 128), 2).unwrap();
    std::fs::rename(&new, &model).unwrap();
    let taken = until(|status| status.model_swaps == 1);
    assert!(taken.inferred > refused.inferred, "it went on");
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let log = stderr(&output);
    assert!(log.contains("the new model is refused: model file little.safetensors"), "{log}");
    assert!(
        log.contains("classes person,helmet,helmet_on,helmet_off became person,helmet,helmet_on"),
        "{log}"
    );
}

#[test]
fn it_says_whether_it_is_well() {
    let work = workplace(20);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("0.0.0.0:{port}");
    let health = || {
        // As a container's health check: what the daemon gets by its environment, it gets, too.
        let mut command = edge_daemon(work.path(), &["--health"]);
        command.env("SLUICE_LISTEN", &listen).output().unwrap()
    };
    let nobody = health();
    assert_eq!(nobody.status.code(), Some(1));
    assert!(stderr(&nobody).contains(&format!("nobody answers on 127.0.0.1:{port}")), "{}", stderr(&nobody));
    let common = ["--video-url", "clip.mp4", "--loop", "--model", "little.safetensors", "--out", "out"];
    let arguments = [&common[..], &["--hem-name", "EdgeOnly", "--listen", &listen, "--status-json"]].concat();
    let mut child = edge_daemon(work.path(), &arguments).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let well = health();
    assert_eq!(well.status.code(), Some(0), "{}", stderr(&well));
    assert!(String::from_utf8(well.stdout).unwrap().ends_with("is well\n"));
    interrupt(&child);
    assert!(child.wait().unwrap().success());
    assert_eq!(edge_daemon(work.path(), &["--health"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    // A cloud that takes the upload and never answers, and a long drain.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let work = workplace(20);
    let mut child = edge_daemon(
        work.path(),
        &[
            "--video-url",
            "clip.mp4",
            "--loop",
            "--model",
            "little.safetensors",
            "--hem-name",
            "CloudOnly",
            "--cloud-url",
            &url,
            "--drain",
            "1h",
            "--deadline",
            "1h",
        ],
    )
    .spawn()
    .unwrap();
    // The first upload has come.
    silent.set_nonblocking(true).unwrap();
    let mut upload = loop {
        match silent.accept() {
            Ok((upload, _)) => break upload,
            Err(_) => assert_eq!(child.try_wait().unwrap(), None, "the daemon runs until it uploads"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    upload.set_nonblocking(false).unwrap();
    upload.read_exact(&mut [0]).unwrap();
    interrupt(&child);
    // Signals of one kind are not counted: the second must find the first one handled.
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(log.map_while(Result::ok).any(|line| line.contains("a second signal")));
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn bad_usage_names_flag_or_variable() {
    let work = tempfile::tempdir().unwrap();
    let complain = |arguments: &[&str], variables: &[(&str, &str)]| {
        let output = edge_daemon(work.path(), arguments).envs(variables.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(complain(&[], &[]).contains("--video-url"));
    let rest = [("video_url", "x.mp4"), ("MODEL_URL", "m"), ("BIG_MODEL_IP", "10.0.0.1")];
    let with = |name, value| complain(&[], &[&rest[..], &[(name, value)]].concat());
    assert!(with("INFERENCE_TIMEOUT", "soon").contains("environment variable INFERENCE_TIMEOUT"));
    assert!(with("INPUT_SHAPE", "416").contains("environment variable INPUT_SHAPE"));
    assert!(with("HEM_NAME", "CrossEntropy").contains("class probabilities"));
    assert!(with("HEM_PARAMETERS", "{").contains("HEM_PARAMETERS"));
    assert!(complain(&["--deadline", "soon"], &rest).contains("'--deadline <TIME>'"));
}

#[test]
fn what_fails_exits_with_1_and_names_the_file() {
    let work = workplace(2);
    // An empty variable counts as unset.
    let mut command = edge_daemon(work.path(), &["--video-url", "none.mp4", "--hem-name", "EdgeOnly"]);
    let output =
        command.env("MODEL_URL", "little.safetensors").env("INFERENCE_TIMEOUT", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("none.mp4"), "{}", stderr(&output));
    std::fs::write(work.path().join("out"), "a file in the way").unwrap();
    let output = run(work.path(), &["--hem-name", "EdgeOnly"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("cannot open out"), "{}", stderr(&output));
}
