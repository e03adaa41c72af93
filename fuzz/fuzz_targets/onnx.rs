//! An ONNX model is read within bounds of memory, or it is an error that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;

const WHOLE: [&[u8]; 4] = [
    include_bytes!("../models/onnx/yolov5.onnx"),
    include_bytes!("../models/onnx/yolov8.onnx"),
    include_bytes!("../models/onnx/yolov8-apart.onnx"),
    include_bytes!("../models/onnx/yolo11.onnx"),
];

fuzz_target!(|data: &[u8]| {
    let file = sluice_fuzz::file(data, &WHOLE);
    sluice_fuzz::bounded(&file, |file| {
        if let Err(error) = detector::testing::read_model(file, None) {
            assert!(!error.to_string().is_empty());
        }
    });
});
