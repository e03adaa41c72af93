//! A model file in Sluice's own form is read within bounds of memory, or it is an error that can be printed.
#![no_main]

use std::sync::LazyLock;

use detector::Family;
use detector::testing::{random_model_file, read_model};
use libfuzzer_sys::fuzz_target;

/// A network that is known by its name, and three that are written out.
const FAMILIES: [Family; 4] = [Family::Yolov3Resnet18, Family::Yolov3Darknet, Family::Yolov5, Family::Yolov8];

/// With as few channels as there can be: what is read is the header, and of numbers one is like another.
static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let file = |family| random_model_file(family, 0.0, &["person"], (32, 32), 1).expect("a whole file");
    FAMILIES.map(file).into()
});

fuzz_target!(init: { LazyLock::force(&WHOLE); }, |data: &[u8]| {
    let whole: Vec<&[u8]> = WHOLE.iter().map(Vec::as_slice).collect();
    let file = sluice_fuzz::file(data, &whole);
    sluice_fuzz::bounded(&file, |file| {
        if let Err(error) = read_model(file, None) {
            assert!(!error.to_string().is_empty());
        }
    });
});
