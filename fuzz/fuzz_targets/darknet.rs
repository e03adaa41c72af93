//! Darknet's configuration and weights are read within bounds of memory, or they are an error that can be printed. The
//! two are one input, with a zero byte between them.
#![no_main]

use libfuzzer_sys::fuzz_target;

macro_rules! pair {
    ($name:literal) => {
        (
            include_bytes!(concat!("../models/darknet/", $name, ".cfg")),
            include_bytes!(concat!("../models/darknet/", $name, ".weights")),
        )
    };
}

const WHOLE: [(&[u8], &[u8]); 3] = [pair!("yolov3"), pair!("yolov3-spp"), pair!("yolov3-tiny")];

fuzz_target!(|data: &[u8]| {
    let files = sluice_fuzz::file(data, &WHOLE.map(|(cfg, _)| cfg));
    let whole = data.first().and_then(|&first| usize::from(first).checked_sub(1));
    let (cfg, weights) = match whole {
        Some(index) => (files.as_slice(), WHOLE[index % WHOLE.len()].1),
        None => {
            let end = files.iter().position(|&byte| byte == 0).unwrap_or(files.len());
            (&files[..end], files.get(end + 1..).unwrap_or_default())
        }
    };
    // Either of the two may be the one that is named.
    let (named, other) = if data.len().is_multiple_of(2) { (cfg, weights) } else { (weights, cfg) };
    sluice_fuzz::bounded(named, |named| {
        if let Err(error) = detector::testing::read_model(named, Some(other)) {
            assert!(!error.to_string().is_empty());
        }
    });
});
