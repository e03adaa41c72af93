//! Darknet's files against OpenCV's DNN module: `fixtures/darknet` holds networks and what OpenCV found with them;
//! `make.py` there makes both.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use detector::{Detector, DeviceKind, LoadOptions};
use image::{Rgb, RgbImage};
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    /// Height and width.
    input: (u32, u32),
    classes: usize,
    seed: u32,
    /// In the order of the configuration: from the coarsest to the finest.
    heads: Vec<Vec<f32>>,
    /// Class, score, x_min, y_min, x_max, y_max.
    detections: Vec<(u32, f32, f32, f32, f32, f32)>,
}

/// As `make.py` draws it.
fn picture((height, width): (u32, u32), seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let blocks = (x / 8 + 1) * (y / 8 + 3) * (37 + 11 * c);
            (x * (3 + 2 * c) + y * (5 + c) + blocks + 57 * seed) as u8
        }))
    })
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/darknet").join(name)
}

fn golden(name: &str) -> Golden {
    let golden = std::fs::read(fixture(&format!("{name}.json"))).expect("the fixture is there");
    serde_json::from_slice(&golden).expect("make.py wrote it")
}

/// Raw heads within 1e-3 of OpenCV's, whatever computes them.
fn assert_heads(name: &str) {
    let golden = golden(name);
    for device in [DeviceKind::Cpu, DeviceKind::CpuThroughCandle] {
        let options = LoadOptions { device, ..LoadOptions::default() };
        let detector = Detector::load(&fixture(&format!("{name}.weights")), &options).expect("sound files");
        let (height, width) = golden.input;
        let picture = picture(golden.input, golden.seed);
        let pixels = picture.into_raw().into_iter().map(|value| f32::from(value) / 255.0).collect();
        let shape = (1, height as usize, width as usize, 3);
        let planes = Tensor::from_vec(pixels, shape, &Device::Cpu)
            .and_then(|pixels| pixels.permute((0, 3, 1, 2))?.contiguous())
            .expect("a picture's pixels");
        let heads = detector.heads(&planes).expect("a picture of the input's size");
        assert_eq!(heads.len(), golden.heads.len());
        for (head, expected) in heads.iter().rev().zip(&golden.heads) {
            let values: Vec<f32> = head.flatten_all().and_then(|head| head.to_vec1()).expect("a head");
            assert_eq!(values.len(), expected.len());
            let differences = values.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
            let largest = differences.fold(0.0, f32::max);
            println!("{name} {device:?}: {:?} within {largest:.1e}", head.dims());
            assert!(largest <= 1e-3, "{name} {device:?}: {largest}");
        }
    }
}

/// The same classes in the same order, scores within 1e-3, boxes within 0.05 pixels.
fn assert_parity(name: &str) {
    assert_heads(name);
    let golden = golden(name);
    for file in [format!("{name}.cfg"), format!("{name}.weights")] {
        let detector = Detector::load(&fixture(&file), &LoadOptions::default()).expect("sound files");
        let info = detector.info();
        assert_eq!((info.name.as_str(), info.family.as_str()), (name, "yolov3-darknet"));
        assert_eq!((info.input_height, info.input_width), golden.input);
        assert_eq!(info.classes.len(), golden.classes);
        let found =
            &detector.detect(&[picture(golden.input, golden.seed)]).expect("a picture with pixels")[0];
        let classes: Vec<u32> = found.iter().map(|found| found.class_id).collect();
        let expected: Vec<u32> = golden.detections.iter().map(|expected| expected.0).collect();
        assert_eq!(classes, expected, "{file}");
        let (mut score_error, mut box_error) = (0.0f32, 0.0f32);
        for (found, expected) in found.iter().zip(&golden.detections) {
            score_error = score_error.max((found.score - expected.1).abs());
            let sides = [
                (found.bbox.x_min, expected.2),
                (found.bbox.y_min, expected.3),
                (found.bbox.x_max, expected.4),
                (found.bbox.y_max, expected.5),
            ];
            box_error =
                sides.iter().fold(box_error, |error, (found, expected)| error.max((found - expected).abs()));
            assert!(score_error <= 1e-3 && box_error <= 0.05, "{file}: {found:?} instead of {expected:?}");
        }
        assert!(found.len() > 20, "{file}: only {} detections", found.len());
        let count = found.len();
        println!(
            "{file}: {count} detections, scores within {score_error:.1e}, boxes within {box_error:.1e} pixels"
        );
    }
}

#[test]
fn yolov3() {
    assert_parity("yolov3");
}

#[test]
fn yolov3_with_spatial_pyramid_pooling() {
    assert_parity("yolov3-spp");
}

#[test]
fn yolov3_tiny() {
    assert_parity("yolov3-tiny");
}
