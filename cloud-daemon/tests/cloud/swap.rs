//! Another model while it serves: none lost, none mixed, and what is broken is refused.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use detector::picture::Header;
use detector::{Detector, Family, LoadOptions};
use protocol::Detection;
use protocol::infer::InferResponse;

use crate::source::store;
use crate::support::{Daemon, PATIENCE, command, get, infer, jpeg};

/// Requests come at this rate.
const PERIOD: Duration = Duration::from_millis(50);

/// Writes the model that is called `random-SEED`.
fn write_model(path: &Path, seed: u64) {
    let family = Family::Yolov3Resnet18;
    detector::testing::write_random_model(path, family, 0.125, &["person", "helmet"], (96, 96), seed)
        .unwrap();
}

/// A model's file, written elsewhere.
fn model_file(seed: u64) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    write_model(&path, seed);
    fs::read(path).unwrap()
}

/// What the models find in the picture, by their names, best score first.
fn expected(seeds: &[u64], picture: &[u8]) -> HashMap<String, Vec<Detection>> {
    let picture = Header::read(picture, 1 << 24).unwrap().decode(picture).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model");
    let find = |seed: &u64| {
        write_model(&path, *seed);
        let detector = Detector::load(&path, &LoadOptions::default()).unwrap();
        let mut found = detector.detect(std::slice::from_ref(&picture)).unwrap().remove(0);
        assert!(!found.is_empty());
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        (detector.info().name.clone(), found)
    };
    seeds.iter().map(find).collect()
}

/// The model that answers now.
fn model(address: SocketAddr) -> String {
    let reply = infer(address, "", &jpeg(64, 64));
    assert_eq!(reply.status, 200);
    serde_json::from_slice::<InferResponse>(&reply.body).unwrap().model.name
}

/// Ends the load, also when the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: not so after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// How many models have been taken and refused.
fn swaps(address: SocketAddr, outcome: &str) -> u32 {
    let text = String::from_utf8(get(address, "/metrics").body).unwrap();
    let name = format!("sluice_cloud_model_swaps_total{{outcome=\"{outcome}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

/// Replaces the file as careful programs do.
fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension("new");
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
fn under_load_none_is_lost_and_none_is_mixed() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("model.safetensors");
    write_model(&path, 1);
    let daemon = Daemon::start_with(directory, &path, &[]);
    daemon.until_ready();
    let address = daemon.address;
    let picture = jpeg(320, 180);
    let expected = expected(&[1, 2, 3], &picture);
    let stop = AtomicBool::new(false);
    let (replies, answered) = mpsc::channel();
    std::thread::scope(|scope| {
        let (stop, picture) = (&stop, &picture);
        let _stop = StopOnDrop(stop);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                let replies = replies.clone();
                scope.spawn(move || replies.send(infer(address, "", picture)).unwrap());
                std::thread::sleep(PERIOD);
            }
        });
        // By renaming.
        replace(&path, &model_file(2));
        until("the second model", || model(address) == "random-2");
        // A broken one: the second goes on.
        let third = model_file(3);
        replace(&path, &third[..third.len() / 2]);
        until("a refusal", || swaps(address, "refused") == 1);
        assert_eq!(model(address), "random-2");
        // In place, piece by piece.
        let mut file = fs::File::create(&path).unwrap();
        for piece in third.chunks(third.len() / 8) {
            file.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        until("the third model", || model(address) == "random-3");
        std::thread::sleep(10 * PERIOD);
    });
    assert_eq!(swaps(address, "taken"), 2);
    let mut by = HashMap::<String, usize>::new();
    for reply in answered {
        assert_eq!(reply.status, 200, "{reply:?}");
        let answer: InferResponse = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(answer.detections, expected[&answer.model.name], "by {}", answer.model.name);
        *by.entry(answer.model.name).or_default() += 1;
    }
    println!("answers by model: {by:?}");
    assert_eq!(by.len(), 3);
}

#[test]
fn sighup_has_it_look_at_once_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    write_model(&path, 1);
    let daemon = Daemon::start_with(directory, &path, &[]);
    daemon.until_ready();
    daemon.signal("HUP");
    assert_eq!(model(daemon.address), "random-1");
    replace(&path, b"no model");
    until("a refusal", || swaps(daemon.address, "refused") == 1);
    daemon.signal("HUP");
    until("another refusal", || swaps(daemon.address, "refused") == 2);
    replace(&path, &model_file(2));
    daemon.signal("HUP");
    until("the second model", || model(daemon.address) == "random-2");
}

#[test]
fn a_model_that_comes_to_be_at_a_server_is_found_by_asking() {
    let (address, content, _) = store(model_file(1));
    let directory = tempfile::tempdir().unwrap();
    let mut command = command();
    command
        .args(["--model", &format!("http://{address}/big.safetensors")])
        .env("MODEL_CACHE", directory.path().join("cache"))
        .env("MODEL_POLL_PERIOD_SECONDS", "1");
    let daemon = Daemon::run(directory, &mut command);
    daemon.until_ready();
    assert_eq!(model(daemon.address), "random-1");
    *content.lock().unwrap() = model_file(2);
    until("the second model", || model(daemon.address) == "random-2");
    *content.lock().unwrap() = b"<html>an error page</html>".to_vec();
    until("a refusal", || swaps(daemon.address, "refused") == 1);
    assert_eq!(model(daemon.address), "random-2");
}
