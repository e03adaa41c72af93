//! Pictures with their detections drawn into them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder};
use protocol::Detection;

use super::{Interrupt, output_file};
use crate::draw;

/// JPEG quality.
const QUALITY: u8 = 90;

/// Makes the directory for them.
pub(super) fn make_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))
}

/// Writes a picture with its detections as a JPEG file.
pub(super) fn write(
    picture: &RgbImage,
    detections: &[Detection],
    path: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    let (Ok(width), Ok(height)) = (u16::try_from(picture.width()), u16::try_from(picture.height())) else {
        bail!(
            "{}: a picture of {}x{} pixels does not fit into a JPEG file (65535 a side); leave out --draw",
            path.display(),
            picture.width(),
            picture.height()
        );
    };
    let mut jpeg = Vec::new();
    Encoder::new(&mut jpeg, QUALITY)
        .encode(&draw::annotated(picture, detections, None), width, height, ColorType::Rgb)
        .with_context(|| format!("cannot encode {}", path.display()))?;
    output_file::write(path, &jpeg, interrupt)
}
