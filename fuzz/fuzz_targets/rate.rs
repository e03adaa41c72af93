//! A rate that is read prints and reads back as the same, and no time at it is too long.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use shaper_common::units::Rate;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<Rate>() {
        Ok(rate) => {
            assert!((Rate::MIN..=Rate::MAX).contains(&rate.bits_per_second()));
            assert_eq!(rate.to_string().parse(), Ok(rate));
            assert!(rate.bytes_in(Duration::ZERO) == 0 && rate.bytes_in(Duration::MAX) > 0);
        }
        Err(error) => assert!(error.to_string().ends_with(error.expected())),
    }
});
