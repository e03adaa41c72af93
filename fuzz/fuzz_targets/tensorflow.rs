//! A TensorFlow graph is read within bounds of memory, or it is an error that can be printed.
#![no_main]

use libfuzzer_sys::fuzz_target;

const WHOLE: [&[u8]; 4] = [
    include_bytes!("../models/tensorflow/resnet18-scoped.pb"),
    include_bytes!("../models/tensorflow/resnet18-plain.pb"),
    include_bytes!("../models/tensorflow/darknet53-resize.pb"),
    include_bytes!("../models/tensorflow/darknet53-deconv.pb"),
];

fuzz_target!(|data: &[u8]| {
    let file = sluice_fuzz::file(data, &WHOLE);
    sluice_fuzz::bounded(&file, |file| {
        if let Err(error) = detector::testing::read_model(file, None) {
            assert!(!error.to_string().is_empty());
        }
    });
});
