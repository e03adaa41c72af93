//! A file to a picture.

use std::fs::File;
use std::io::Read;
use std::panic::catch_unwind;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};
use image::RgbImage;

use crate::picture::Header;

/// The largest file, in bytes: a picture of 40 million pixels has less, whatever its format.
const MAX_FILE: u64 = 512 << 20;

/// The upright picture in the file at `path`.
///
/// # Errors
///
/// If it cannot be read, is no picture or has more than `max_pixels` pixels: the error names the file.
pub(super) fn read(path: &Path, max_pixels: u64) -> Result<RgbImage> {
    decode(path, &bytes(path)?, max_pixels)
}

/// What is in the file at `path`.
///
/// # Errors
///
/// If it cannot be read or is larger than pictures are.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    let mut file = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut file))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(
        file.len() as u64 <= MAX_FILE,
        "{} has more than {MAX_FILE} bytes: no picture is so large",
        path.display()
    );
    Ok(file)
}

/// The upright picture of `file`, which is what is in the file at `path`.
///
/// # Errors
///
/// If it is no picture or has more than `max_pixels` pixels: the error names the file.
pub(super) fn decode(path: &Path, file: &[u8], max_pixels: u64) -> Result<RgbImage> {
    // Decoders are not ours: one that panics must cost its own picture only.
    let decoded = catch_unwind(|| Header::read(file, max_pixels).and_then(|header| header.decode(file)));
    match decoded {
        Ok(picture) => picture.with_context(|| path.display().to_string()),
        Err(_) => Err(anyhow!("{}: its decoder gave up; save the picture again, as PNG", path.display())),
    }
}
