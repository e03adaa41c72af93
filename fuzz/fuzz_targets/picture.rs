//! A picture is decoded within bounds of memory and of pixels, or it is an error that can be printed.
#![no_main]

use detector::picture::Header;
use libfuzzer_sys::fuzz_target;

/// Pixels that a picture may have. Few, so that a header that promises many costs no time.
const MAX_PIXELS: u64 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    sluice_fuzz::bounded(data, |file| {
        let header = match Header::read(file, MAX_PIXELS) {
            Ok(header) => header,
            Err(error) => return assert!(!error.to_string().is_empty()),
        };
        assert!(header.pixels() <= MAX_PIXELS);
        match header.decode(file) {
            Ok(picture) => {
                let sides = (picture.width(), picture.height());
                let stored = (header.width, header.height);
                assert!(sides == stored || sides == (stored.1, stored.0), "{sides:?} of {stored:?}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
});
