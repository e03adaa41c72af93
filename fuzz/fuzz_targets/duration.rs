//! A time that is read has a number and a unit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shaper_common::units::duration;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match duration(text) {
        Ok(_) => {
            assert!(text.starts_with(|c: char| c.is_ascii_digit() || c == '.'));
            assert!(text.ends_with(|c: char| c.is_ascii_alphabetic()));
        }
        Err(error) => assert!(error.to_string().ends_with(error.expected())),
    }
});
