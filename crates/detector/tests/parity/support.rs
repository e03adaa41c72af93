//! What the tests share.

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use detector::Detector;
use image::{Rgb, RgbImage};
use protocol::Detection;
use serde::de::DeserializeOwned;

/// Class, score, x_min, y_min, x_max, y_max.
pub(crate) type Expected = (u32, f32, f32, f32, f32, f32);

/// A file of the fixtures.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What was found with the model of this name.
pub(crate) fn golden<T: DeserializeOwned>(name: &str) -> T {
    let golden = std::fs::read(fixture(&format!("{name}.json"))).expect("the fixture is there");
    serde_json::from_slice(&golden).expect("make.py wrote it")
}

/// As each `make.py` draws it.
pub(crate) fn picture(width: u32, height: u32, seed: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            let blocks = (x / 8 + 1) * (y / 8 + 3) * (37 + 11 * c);
            (x * (3 + 2 * c) + y * (5 + c) + blocks + 57 * seed) as u8
        }))
    })
}

/// The raw heads of a picture of the input's size, `[1, channels, rows, columns]` each.
pub(crate) fn heads(detector: &Detector, picture: RgbImage) -> Vec<Tensor> {
    let shape = (1, picture.height() as usize, picture.width() as usize, 3);
    let pixels = picture.into_raw().into_iter().map(|value| f32::from(value) / 255.0).collect();
    let planes = Tensor::from_vec(pixels, shape, &Device::Cpu)
        .and_then(|pixels| pixels.permute((0, 3, 1, 2))?.contiguous())
        .expect("a picture's pixels");
    detector.heads(&planes).expect("a picture of the input's size")
}

/// A raw head is what is expected within 1e-3.
pub(crate) fn assert_head(name: &str, head: &Tensor, expected: &[f32]) {
    let values: Vec<f32> = head.flatten_all().and_then(|head| head.to_vec1()).expect("a head");
    assert_eq!(values.len(), expected.len());
    let differences = values.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
    let largest = differences.fold(0.0, f32::max);
    println!("{name}: {:?} within {largest:.1e}", head.dims());
    assert!(largest <= 1e-3, "{name}: {largest}");
}

/// How far scores, and sides of boxes in pixels, are from what is expected at most.
#[derive(Debug)]
pub(crate) struct Errors {
    pub(crate) score: f32,
    pub(crate) side: f32,
}

impl Errors {
    pub(crate) const BOUND_OF_SIDES: f32 = 0.05;

    pub(crate) fn new() -> Self {
        Self { score: 0.0, side: 0.0 }
    }

    /// The same classes in the same order, scores within `score`, boxes within 0.05 pixels.
    pub(crate) fn add(&mut self, case: &str, found: &[&Detection], expected: &[&Expected], score: f32) {
        let classes: Vec<u32> = found.iter().map(|found| found.class_id).collect();
        assert_eq!(classes, expected.iter().map(|expected| expected.0).collect::<Vec<u32>>(), "{case}");
        for (found, expected) in found.iter().zip(expected) {
            self.score = self.score.max((found.score - expected.1).abs());
            let sides = [
                (found.bbox.x_min, expected.2),
                (found.bbox.y_min, expected.3),
                (found.bbox.x_max, expected.4),
                (found.bbox.y_max, expected.5),
            ];
            for (found_side, expected_side) in sides {
                self.side = self.side.max((found_side - expected_side).abs());
            }
            assert!(
                self.score <= score && self.side <= Self::BOUND_OF_SIDES,
                "{case}: {found:?} instead of {expected:?}"
            );
        }
    }
}
