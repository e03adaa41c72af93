//! Frozen TensorFlow graphs against TensorFlow: `fixtures/tensorflow` holds graphs of both families and what
//! TensorFlow found with them; `make.py` there makes both.

use std::path::{Path, PathBuf};

use detector::{Detector, LoadOptions};
use image::{Rgb, RgbImage};
use serde::Deserialize;

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
    /// Class, score, x_min, y_min, x_max, y_max.
    detections: Vec<(u32, f32, f32, f32, f32, f32)>,
}

impl Picture {
    /// As `make.py` draws it.
    fn draw(&self) -> RgbImage {
        RgbImage::from_fn(self.width, self.height, |x, y| {
            Rgb([0, 1, 2].map(|c| {
                let blocks = (x / 8 + 1) * (y / 8 + 3) * (37 + 11 * c);
                (x * (3 + 2 * c) + y * (5 + c) + blocks + 57 * self.seed) as u8
            }))
        })
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tensorflow").join(name)
}

/// The score threshold of all fixtures.
const THRESHOLD: f32 = 0.3;

/// The same classes in the same order, scores within 1e-4, boxes within 0.05 pixels.
fn assert_parity(name: &str, family: &str) {
    let golden = std::fs::read(fixture(&format!("{name}.json"))).expect("the fixture is there");
    let golden: Golden = serde_json::from_slice(&golden).expect("make.py wrote it");
    let detector =
        Detector::load(&fixture(&format!("{name}.pb")), &LoadOptions::default()).expect("a sound graph");
    let info = detector.info();
    assert_eq!(info.family, family);
    assert_eq!(info.name, name);
    assert_eq!((info.input_height, info.input_width), golden.input);
    assert_eq!(info.classes.len(), golden.classes);
    let (mut score_error, mut box_error, mut count) = (0.0f32, 0.0f32, 0);
    for picture in &golden.pictures {
        let found = &detector.detect(&[picture.draw()]).expect("a picture with pixels")[0];
        let case = format!("{name}, {}x{}", picture.width, picture.height);
        // Rounding decides whether a score at the threshold counts; it suppresses nothing with a better one.
        let counts = |score: f32| score > THRESHOLD + 1e-4;
        let found: Vec<_> = found.iter().filter(|found| counts(found.score)).collect();
        let expected: Vec<_> = picture.detections.iter().filter(|expected| counts(expected.1)).collect();
        let classes: Vec<u32> = found.iter().map(|found| found.class_id).collect();
        assert_eq!(classes, expected.iter().map(|expected| expected.0).collect::<Vec<u32>>(), "{case}");
        for (found, expected) in found.iter().zip(expected) {
            let difference = (found.score - expected.1).abs();
            assert!(difference <= 1e-4, "{case}: {found:?} instead of {expected:?}");
            score_error = score_error.max(difference);
            let sides = [
                (found.bbox.x_min, expected.2),
                (found.bbox.y_min, expected.3),
                (found.bbox.x_max, expected.4),
                (found.bbox.y_max, expected.5),
            ];
            for (found_side, expected_side) in sides {
                let difference = (found_side - expected_side).abs();
                assert!(difference <= 0.05, "{case}: {found:?} instead of {expected:?}");
                box_error = box_error.max(difference);
            }
        }
        count += found.len();
    }
    assert!(count > 20, "{name}: only {count} detections");
    println!(
        "{name}: {count} detections, scores within {score_error:.1e}, boxes within {box_error:.1e} pixels"
    );
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
