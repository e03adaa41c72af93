//! A burst that is read can be computed at any rate, and is no smaller at a higher one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shaper_common::units::{Burst, Rate};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else { return };
    match text.parse::<Burst>() {
        Ok(burst) => {
            let rates = [Rate::MIN, 64_000, 1_000_000_007, Rate::MAX].map(Rate::from_bits_per_second);
            let bytes: Vec<u64> = rates.into_iter().flatten().map(|rate| burst.at(rate).bytes()).collect();
            assert!(bytes.len() == rates.len() && bytes.is_sorted(), "{bytes:?}");
            if let Burst::Bytes(size) = burst {
                assert!(size.bytes() > 0);
                assert_eq!(size.to_string().parse(), Ok(burst));
            }
        }
        Err(error) => assert!(error.to_string().ends_with(error.expected())),
    }
});
