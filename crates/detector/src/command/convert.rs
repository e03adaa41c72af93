//! `detect convert`: a model file written anew, in Sluice's own form.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::options::ConvertOptions;
use super::output_file::OutputFile;
use super::progress::Progress;
use super::{Interrupt, picture_file};
use crate::calibration::Calibration;
use crate::executor::Head;
use crate::model_file::{self, WeightForm};
use crate::{Detector, LoadOptions, Precision};

/// What the names of picture files end in.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

pub(super) fn run(options: &ConvertOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    // First of all, so that a target that cannot be written costs no work.
    let mut file = OutputFile::create(&options.target)?;
    let form = match &options.int8 {
        Some(pictures) => WeightForm::Int8(ranges(options, pictures, interrupt)?),
        None if options.f16 => WeightForm::F16,
        None => WeightForm::Same,
    };
    let converted = model_file::convert(&options.source, form)?;
    interrupt.check()?;
    file.write(&converted)?;
    // What has been written is read before it takes the place of what may be there.
    let target = options.target.display();
    Detector::load(file.part(), &LoadOptions::default())
        .with_context(|| format!("what was to become {target} cannot be read back; it is not kept"))?;
    file.finish(interrupt)?;
    Ok(writeln!(output, "{target}  {:.1} MB", converted.len() as f64 / 1e6)?)
}

/// The ranges of what the model's convolutions put out on the pictures in a directory.
fn ranges(options: &ConvertOptions, directory: &Path, interrupt: &Interrupt) -> Result<Vec<[f32; 2]>> {
    let pictures = pictures(directory, options.pictures as usize)?;
    let load = LoadOptions { precision: Some(Precision::F32), ..LoadOptions::default() };
    let detector = Detector::load(&options.source, &load)?;
    let mut calibration = Calibration::default();
    let mut progress = Progress::new(2 * pictures.len(), "pictures");
    type See = fn(&mut Calibration, usize, &Head<'_>);
    // What lies within a range is counted once the range is known.
    for see in [Calibration::widen as See, Calibration::count] {
        for path in &pictures {
            interrupt.check()?;
            progress.step();
            let picture = picture_file::read(path, options.pixels.max_pixels)?;
            detector.observe(&picture, &mut |convolution, output| see(&mut calibration, convolution, output));
        }
    }
    Ok(calibration.ranges())
}

/// At most `most` of the pictures in a directory, evenly spread over the order of their names.
fn pictures(directory: &Path, most: usize) -> Result<Vec<PathBuf>> {
    let is_picture = |path: &PathBuf| {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
        ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
    };
    let entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("cannot read the directory of pictures {}", directory.display()))?;
    let mut all: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_picture).collect();
    ensure!(
        !all.is_empty(),
        "there are no pictures in {}: files whose names end in {} are looked for",
        directory.display(),
        ENDINGS.join(", ")
    );
    all.sort_unstable();
    let count = all.len().min(most);
    Ok((0..count).map(|index| all[index * all.len() / count].clone()).collect())
}
