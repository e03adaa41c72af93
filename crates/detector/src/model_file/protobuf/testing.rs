//! Messages for tests.

use std::path::Path;

use proptest::prelude::*;

use crate::{Detector, LoadError, LoadOptions};

/// A file of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// What loading says of a file of this name with these bytes.
pub(crate) fn load(name: &str, bytes: &[u8]) -> Result<Detector, LoadError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Detector::load(&path, &LoadOptions { threads: Some(1.try_into().unwrap()), ..LoadOptions::default() })
}

/// A field of bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut message = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend(bytes);
    message
}

/// `bytes` with the first `from` in it replaced by `to` of the same length.
pub(crate) fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|window| window == from).expect("the fixture has it");
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes
}

/// Random numbers to write anywhere.
pub(crate) fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
}
