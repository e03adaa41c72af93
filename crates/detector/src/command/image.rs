//! `detect image`: the objects in pictures.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use protocol::Detection;
use serde::Serialize;

use super::options::ImageOptions;
use super::{Interrupt, drawn, finding, lines, picture_file};
use crate::Detector;

/// One line: `docs/schema/detect-image.schema.json`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Seen {
        picture: &'a str,
        width: u32,
        height: u32,
        /// Best score first.
        detections: &'a [Detection],
        decode_ms: f64,
        detect_ms: f64,
    },
    Failed {
        picture: &'a str,
        error: &'a str,
    },
}

pub(super) fn run(options: &ImageOptions, interrupt: &Interrupt, output: &mut dyn Write) -> Result<()> {
    let detector = options.find.detector()?;
    // After the model, so that one that cannot be loaded leaves no empty directory.
    let drawn_paths = match &options.draw {
        Some(directory) => Some(drawn_paths(&options.pictures, directory)?),
        None => None,
    };
    let mut failed = 0;
    for (index, path) in options.pictures.iter().enumerate() {
        interrupt.check()?;
        let drawn = drawn_paths.as_ref().map(|paths| paths[index].as_path());
        let name = path.display().to_string();
        match see(&detector, path, drawn, options.find.pixels.max_pixels, interrupt) {
            Ok(seen) => write_seen(output, &name, &seen, options.json)?,
            // No failure of the picture.
            Err(error) if error.is::<super::Interrupted>() => return Err(error),
            Err(error) => {
                failed += 1;
                let error = super::in_words(&error);
                eprintln!("detect: {error}");
                if options.json {
                    lines::write_json(output, &Line::Failed { picture: &name, error: &error })?;
                }
            }
        }
    }
    ensure!(failed == 0, "{failed} of {} pictures failed", options.pictures.len());
    Ok(())
}

/// What came of one picture.
struct Seen {
    size: (u32, u32),
    /// Best score first.
    detections: Vec<Detection>,
    decode_ms: f64,
    detect_ms: f64,
}

fn see(
    detector: &Detector,
    path: &Path,
    drawn: Option<&Path>,
    max_pixels: u64,
    interrupt: &Interrupt,
) -> Result<Seen> {
    let begin = Instant::now();
    let picture = picture_file::read(path, max_pixels)?;
    let decode_ms = finding::milliseconds_since(begin);
    let (detections, detect_ms) =
        finding::find(detector, &picture).with_context(|| path.display().to_string())?;
    if let Some(drawn) = drawn {
        drawn::write(&picture, &detections, drawn, interrupt)?;
    }
    Ok(Seen { size: picture.dimensions(), detections, decode_ms, detect_ms })
}

fn write_seen(output: &mut dyn Write, name: &str, seen: &Seen, json: bool) -> Result<()> {
    let Seen { size: (width, height), detections, decode_ms, detect_ms } = seen;
    if json {
        let (width, height, decode_ms, detect_ms) = (*width, *height, *decode_ms, *detect_ms);
        return lines::write_json(
            output,
            &Line::Seen { picture: name, width, height, detections, decode_ms, detect_ms },
        );
    }
    let found = lines::count(detections);
    writeln!(output, "{name}  {width}x{height}  {found}  {detect_ms:.0} ms")?;
    lines::write_detections(output, detections)
}

/// Where each picture is drawn; makes the directory.
fn drawn_paths(pictures: &[PathBuf], directory: &Path) -> Result<Vec<PathBuf>> {
    drawn::make_directory(directory)?;
    let sources: Vec<Option<PathBuf>> =
        pictures.iter().map(|picture| fs::canonicalize(picture).ok()).collect();
    let mut taken: HashMap<PathBuf, &Path> = HashMap::new();
    let mut paths = Vec::with_capacity(pictures.len());
    for picture in pictures {
        let Some(stem) = picture.file_stem() else { bail!("{} is no file's name", picture.display()) };
        let mut name = stem.to_owned();
        name.push(".jpg");
        let path = directory.join(name);
        if let Some(other) = taken.insert(path.clone(), picture) {
            bail!(
                "{} and {} would both be drawn into {}; draw them into directories of their own",
                other.display(),
                picture.display(),
                path.display()
            );
        }
        if fs::canonicalize(&path).is_ok_and(|target| sources.contains(&Some(target))) {
            bail!("drawing would replace the picture {}; give another directory", path.display());
        }
        paths.push(path);
    }
    Ok(paths)
}
