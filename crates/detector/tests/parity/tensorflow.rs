//! Frozen TensorFlow graphs against TensorFlow: `fixtures/tensorflow` holds graphs of both families and what
//! TensorFlow found with them; `make.py` there makes both.

use detector::{Detector, LoadOptions};
use serde::Deserialize;

use crate::support::{self, Errors, Expected, golden, picture};

#[derive(Deserialize)]
struct Golden {
    input: (u32, u32),
    classes: usize,
    pictures: Vec<Picture>,
}

#[derive(Deserialize)]
struct Picture {
    width: u32,
    height: u32,
    seed: u32,
    detections: Vec<Expected>,
}

fn fixture(name: &str) -> std::path::PathBuf {
    support::fixture(&format!("tensorflow/{name}"))
}

/// The score threshold of all fixtures.
const THRESHOLD: f32 = 0.3;

/// The same classes in the same order, scores within 1e-4, boxes within 0.05 pixels.
fn assert_parity(name: &str, family: &str) {
    let golden: Golden = golden(&format!("tensorflow/{name}"));
    let detector =
        Detector::load(&fixture(&format!("{name}.pb")), &LoadOptions::default()).expect("a sound graph");
    let info = detector.info();
    assert_eq!(info.family, family);
    assert_eq!(info.name, name);
    assert_eq!((info.input_height, info.input_width), golden.input);
    assert_eq!(info.classes.len(), golden.classes);
    let (mut errors, mut count) = (Errors::new(), 0);
    for &Picture { width, height, seed, ref detections } in &golden.pictures {
        let found = &detector.detect(&[picture(width, height, seed)]).expect("a picture with pixels")[0];
        // Rounding decides whether a score at the threshold counts; it suppresses nothing with a better one.
        let counts = |score: f32| score > THRESHOLD + 1e-4;
        let found: Vec<_> = found.iter().filter(|found| counts(found.score)).collect();
        let expected: Vec<_> = detections.iter().filter(|expected| counts(expected.1)).collect();
        errors.add(&format!("{name}, {width}x{height}"), &found, &expected, 1e-4);
        count += found.len();
    }
    assert!(count > 20, "{name}: only {count} detections");
    println!("{name}: {count} detections, {errors:?}");
}

#[test]
fn resnet18_with_scoped_outputs() {
    assert_parity("resnet18-scoped", "yolov3-resnet18");
}

#[test]
fn resnet18_with_plain_outputs_and_old_operations() {
    assert_parity("resnet18-plain", "yolov3-resnet18");
}

#[test]
fn darknet53_with_nearest_neighbour_upsampling() {
    assert_parity("darknet53-resize", "yolov3-darknet53");
}

#[test]
fn darknet53_with_transposed_convolutions_and_f16() {
    assert_parity("darknet53-deconv", "yolov3-darknet53");
}

#[test]
fn the_form_is_told_by_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    std::fs::copy(fixture("resnet18-plain.pb"), &path).unwrap();
    let detector = Detector::load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(detector.info().family, "yolov3-resnet18");
}

#[test]
fn classes_can_be_named() {
    let names = |names: &[&str]| LoadOptions {
        classes: Some(names.iter().map(|&name| name.to_owned()).collect()),
        ..LoadOptions::default()
    };
    let path = fixture("resnet18-plain.pb");
    let detector = Detector::load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(detector.info().classes, ["class0", "class1"]);
    let detector = Detector::load(&path, &names(&["person", "helmet"])).unwrap();
    assert_eq!(detector.info().classes, ["person", "helmet"]);
    for (bad, message) in [
        (names(&["person"]), "option classes: 1 names for the model's 2 classes"),
        (names(&["person", "person"]), "option classes: class \"person\" is named twice"),
    ] {
        assert_eq!(Detector::load(&path, &bad).unwrap_err().to_string(), message);
    }
}
