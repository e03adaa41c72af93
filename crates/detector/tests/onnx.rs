//! ONNX models against ONNX Runtime: `fixtures/onnx` holds models and what it found with them; `make.py` there makes
//! both.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use detector::{Detector, DeviceKind, LoadError, LoadOptions};
use image::{Rgb, RgbImage};
use serde::Deserialize;

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
    /// Class, score, x_min, y_min, x_max, y_max.
    detections: Vec<(u32, f32, f32, f32, f32, f32)>,
}

/// As `make.py` draws it.
fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let blocks = (x / 8 + 1) * (y / 8 + 3) * (37 + 11 * c);
            (x * (3 + 2 * c) + y * (5 + c) + blocks + 57 * seed) as u8
        }))
    })
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx").join(name)
}

/// Raw heads within 1e-3 of ONNX Runtime's, whatever computes them.
fn assert_heads(name: &str, golden: &Golden) {
    for device in [DeviceKind::Cpu, DeviceKind::CpuThroughCandle] {
        let options = LoadOptions { device, ..LoadOptions::default() };
        let detector = Detector::load(&fixture(&format!("{name}.onnx")), &options).expect("a sound model");
        let (height, width) = golden.input;
        let pixels = picture(width, height, 1).into_raw();
        let pixels = pixels.into_iter().map(|value| f32::from(value) / 255.0).collect();
        let shape = (1, height as usize, width as usize, 3);
        let planes = Tensor::from_vec(pixels, shape, &Device::Cpu)
            .and_then(|pixels| pixels.permute((0, 3, 1, 2))?.contiguous())
            .expect("a picture's pixels");
        let heads = detector.heads(&planes).expect("a picture of the input's size");
        let parts = golden.heads.chunks(golden.heads.len() / heads.len());
        assert_eq!(heads.len(), parts.len());
        for (head, parts) in heads.iter().zip(parts) {
            let values: Vec<f32> = head.flatten_all().and_then(|head| head.to_vec1()).expect("a head");
            let expected = parts.concat();
            assert_eq!(values.len(), expected.len());
            let differences = values.iter().zip(&expected).map(|(found, expected)| (found - expected).abs());
            let largest = differences.fold(0.0, f32::max);
            println!("{name} {device:?}: {:?} within {largest:.1e}", head.dims());
            assert!(largest <= 1e-3, "{name} {device:?}: {largest}");
        }
    }
}

/// The same classes in the same order, scores within 1e-4, boxes within 0.05 pixels.
fn assert_parity(name: &str, family: &str) {
    let golden = std::fs::read(fixture(&format!("{name}.json"))).expect("the fixture is there");
    let golden: Golden = serde_json::from_slice(&golden).expect("make.py wrote it");
    assert_heads(name, &golden);
    let path = fixture(&format!("{name}.onnx"));
    let detector = Detector::load(&path, &LoadOptions::default()).expect("a sound model");
    let info = detector.info();
    assert_eq!((info.name.as_str(), info.family.as_str()), (name, family));
    assert_eq!((info.input_height, info.input_width), golden.input);
    assert_eq!(info.classes, ["person", "driver's seat"]);
    let (mut score_error, mut box_error) = (0.0f32, 0.0f32);
    for expected in &golden.pictures {
        let &Picture { width, height, seed, ref detections } = expected;
        let found = &detector.detect(&[picture(width, height, seed)]).expect("a picture with pixels")[0];
        let classes: Vec<u32> = found.iter().map(|found| found.class_id).collect();
        let expected: Vec<u32> = detections.iter().map(|expected| expected.0).collect();
        assert_eq!(classes, expected, "{name}, {width}x{height}");
        for (found, expected) in found.iter().zip(detections) {
            score_error = score_error.max((found.score - expected.1).abs());
            let sides = [
                (found.bbox.x_min, expected.2),
                (found.bbox.y_min, expected.3),
                (found.bbox.x_max, expected.4),
                (found.bbox.y_max, expected.5),
            ];
            box_error =
                sides.iter().fold(box_error, |error, (found, expected)| error.max((found - expected).abs()));
            assert!(score_error <= 1e-4 && box_error <= 0.05, "{name}: {found:?} instead of {expected:?}");
        }
        assert!(found.len() > 10, "{name}: only {} detections", found.len());
    }
    println!("{name}: scores within {score_error:.1e}, boxes within {box_error:.1e} pixels");
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
