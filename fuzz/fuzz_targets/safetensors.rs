//! A model file in Sluice's own form is read within bounds of memory, or it is an error that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;

const WHOLE: [&[u8]; 2] = [
    include_bytes!("../../models/fixtures/yolov3-resnet18.safetensors"),
    include_bytes!("../../models/fixtures/yolov3-darknet53.safetensors"),
];

fuzz_target!(|data: &[u8]| {
    let file = sluice_fuzz::file(data, &WHOLE);
    sluice_fuzz::bounded(&file, |file| {
        if let Err(error) = detector::testing::read_model(file, None) {
            assert!(!error.to_string().is_empty());
        }
    });
});
