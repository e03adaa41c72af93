//! ONNX models against ONNX Runtime: `fixtures/onnx` holds models and what it found with them; `make.py` there makes
//! both.

use detector::{Detector, DeviceKind, LoadError, LoadOptions};
use serde::Deserialize;

use crate::support::{self, Errors, Expected, assert_head, golden, heads, picture};

#[derive(Deserialize)]
struct Golden {
    /// Height and width.
    input: (u32, u32),
    /// Of a picture of the input's size and the seed 1; a head may be two values, boxes and scores.
    heads: Vec<Vec<f32>>,
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
    support::fixture(&format!("onnx/{name}"))
}

/// Raw heads within 1e-3 of ONNX Runtime's, whatever computes them.
fn assert_heads(name: &str, golden: &Golden) {
    for device in [DeviceKind::Cpu, DeviceKind::CpuThroughCandle] {
        let options = LoadOptions { device, ..LoadOptions::default() };
        let detector = Detector::load(&fixture(&format!("{name}.onnx")), &options).expect("a sound model");
        let (height, width) = golden.input;
        let heads = heads(&detector, picture(width, height, 1));
        let parts = golden.heads.chunks(golden.heads.len() / heads.len());
        assert_eq!(heads.len(), parts.len());
        for (head, parts) in heads.iter().zip(parts) {
            assert_head(&format!("{name} {device:?}"), head, &parts.concat());
        }
    }
}

/// The same classes in the same order, scores within 1e-4, boxes within 0.05 pixels.
fn assert_parity(name: &str, family: &str) {
    let golden: Golden = golden(&format!("onnx/{name}"));
    assert_heads(name, &golden);
    let path = fixture(&format!("{name}.onnx"));
    let detector = Detector::load(&path, &LoadOptions::default()).expect("a sound model");
    let info = detector.info();
    assert_eq!((info.name.as_str(), info.family.as_str()), (name, family));
    assert_eq!((info.input_height, info.input_width), golden.input);
    assert_eq!(info.classes, ["person", "driver's seat"]);
    let mut errors = Errors::new();
    for &Picture { width, height, seed, ref detections } in &golden.pictures {
        let found = &detector.detect(&[picture(width, height, seed)]).expect("a picture with pixels")[0];
        let (found, expected): (Vec<_>, Vec<_>) = (found.iter().collect(), detections.iter().collect());
        errors.add(&format!("{name}, {width}x{height}"), &found, &expected, 1e-4);
        assert!(found.len() > 10, "{name}: only {} detections", found.len());
    }
    println!("{name}: {errors:?}");
}

#[test]
fn yolov5_with_f16_weights() {
    assert_parity("yolov5", "yolov5");
}

#[test]
fn yolov8() {
    assert_parity("yolov8", "yolov8");
}

#[test]
fn yolo11() {
    assert_parity("yolo11", "yolov8");
}

#[test]
fn yolov8_with_batch_norms_and_boxes_and_scores_apart() {
    assert_parity("yolov8-apart", "yolov8");
}

#[test]
fn the_form_is_told_by_the_content() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    std::fs::copy(fixture("yolov8.onnx"), &path).unwrap();
    let detector = Detector::load(&path, &LoadOptions::default()).unwrap();
    assert_eq!(detector.info().family, "yolov8");
}

#[test]
fn a_model_cut_short_is_an_error_that_says_so() {
    let whole = std::fs::read(fixture("yolov8.onnx")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Detector::load(&path, &LoadOptions::default()).unwrap_err();
    assert!(matches!(error, LoadError::DamagedGraph { .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("is not a whole ONNX model") && said.contains("export it again"), "{said}");
}
