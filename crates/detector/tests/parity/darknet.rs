//! Darknet's files against OpenCV's DNN module: `fixtures/darknet` holds networks and what OpenCV found with them;
//! `make.py` there makes both.

use detector::{Detector, DeviceKind, LoadOptions};
use serde::Deserialize;

use crate::support::{self, Errors, Expected, assert_head, heads, picture};

#[derive(Deserialize)]
struct Golden {
    /// Height and width.
    input: (u32, u32),
    classes: usize,
    seed: u32,
    /// In the order of the configuration: from the coarsest to the finest.
    heads: Vec<Vec<f32>>,
    detections: Vec<Expected>,
}

fn fixture(name: &str) -> std::path::PathBuf {
    support::fixture(&format!("darknet/{name}"))
}

fn golden(name: &str) -> Golden {
    support::golden(&format!("darknet/{name}"))
}

/// Raw heads within 1e-3 of OpenCV's, whatever computes them.
fn assert_heads(name: &str) {
    let golden = golden(name);
    for device in [DeviceKind::Cpu, DeviceKind::CpuThroughCandle] {
        let options = LoadOptions { device, ..LoadOptions::default() };
        let detector = Detector::load(&fixture(&format!("{name}.weights")), &options).expect("sound files");
        let (height, width) = golden.input;
        let heads = heads(&detector, picture(width, height, golden.seed));
        assert_eq!(heads.len(), golden.heads.len());
        for (head, expected) in heads.iter().rev().zip(&golden.heads) {
            assert_head(&format!("{name} {device:?}"), head, expected);
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
        let (height, width) = golden.input;
        let picture = picture(width, height, golden.seed);
        let found = &detector.detect(&[picture]).expect("a picture with pixels")[0];
        let (found, expected): (Vec<_>, Vec<_>) =
            (found.iter().collect(), golden.detections.iter().collect());
        let mut errors = Errors::new();
        errors.add(&file, &found, &expected, 1e-3);
        assert!(found.len() > 20, "{file}: only {} detections", found.len());
        println!("{file}: {} detections, {errors:?}", found.len());
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
