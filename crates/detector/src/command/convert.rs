//! `detect convert`: a model file written anew, in Sluice's own form.

use std::io::Write;

use anyhow::{Context, Result};

use super::Interrupt;
use super::options::ConvertOptions;
use super::output_file::OutputFile;
use crate::model_file;
use crate::{Detector, LoadOptions};

pub(super) fn run(options: &ConvertOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    // First of all, so that a target that cannot be written costs no work.
    let mut file = OutputFile::create(&options.target)?;
    let converted = model_file::convert(&options.source, options.f16)?;
    interrupt.check()?;
    file.write(&converted)?;
    // What has been written is read before it takes the place of what may be there.
    let target = options.target.display();
    Detector::load(file.part(), &LoadOptions::default())
        .with_context(|| format!("what was to become {target} cannot be read back; it is not kept"))?;
    file.finish(interrupt)?;
    Ok(writeln!(output, "{target}  {:.1} MB", converted.len() as f64 / 1e6)?)
}
