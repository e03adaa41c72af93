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
    let named = || path.display().to_string();
    let mut file = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut file))
        .with_context(|| format!("cannot read {}", named()))?;
    ensure!(
        file.len() as u64 <= MAX_FILE,
        "{} has more than {MAX_FILE} bytes: no picture is so large",
        named()
    );
    // Decoders are not ours: one that panics must cost its own picture only.
    let decoded = catch_unwind(|| Header::read(&file, max_pixels).and_then(|header| header.decode(&file)));
    match decoded {
        Ok(picture) => picture.with_context(named),
        Err(_) => Err(anyhow!("{}: its decoder gave up; save the picture again, as PNG", named())),
    }
}
