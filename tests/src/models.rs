//! Tiny models with random weights: what they find means nothing, how they are served is real.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use detector::{Family, testing::write_random_model};

const CLASSES: [&str; 4] = ["person", "helmet", "helmet_on", "helmet_off"];
/// The smallest channel multiplier.
const WIDTH: f64 = 0.125;

/// Writes a little model (yolov3-resnet18) into `directory`.
///
/// # Errors
///
/// The file cannot be written.
pub fn little(directory: &Path) -> Result<PathBuf> {
    write(directory.join("little.safetensors"), Family::Yolov3Resnet18, (96, 160))
}

/// Writes a big model (yolov3-darknet53) into `directory`.
///
/// # Errors
///
/// The file cannot be written.
pub fn big(directory: &Path) -> Result<PathBuf> {
    write(directory.join("big.safetensors"), Family::Yolov3Darknet53, (96, 96))
}

fn write(path: PathBuf, family: Family, input: (usize, usize)) -> Result<PathBuf> {
    write_random_model(&path, family, WIDTH, &CLASSES, input, 1)
        .with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
