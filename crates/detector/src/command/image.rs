//! `detect image`: the objects in pictures.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder};
use protocol::Detection;
use serde::Serialize;

use super::options::ImageOptions;
use super::{Interrupt, output_file, picture_file};
use crate::{Detector, draw};

/// JPEG quality of the pictures that are drawn.
const QUALITY: u8 = 90;

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
    let load = options.model.run.load_options(options.score_threshold);
    let detector = Detector::load(&options.model.path, &load)?;
    // After the model, so that one that cannot be loaded leaves no empty directory.
    let drawn = match &options.draw {
        Some(directory) => Some(drawn_paths(&options.pictures, directory)?),
        None => None,
    };
    let mut failed = 0;
    for (index, path) in options.pictures.iter().enumerate() {
        interrupt.check()?;
        let drawn = drawn.as_ref().map(|drawn| drawn[index].as_path());
        let name = path.display().to_string();
        match see(&detector, path, drawn, options.pixels.max_pixels, interrupt) {
            Ok(seen) => write_seen(output, &name, &seen, options.json)?,
            // No failure of the picture.
            Err(error) if error.is::<super::Interrupted>() => return Err(error),
            Err(error) => {
                failed += 1;
                let error = super::in_words(&error);
                eprintln!("detect: {error}");
                if options.json {
                    write_json(output, &Line::Failed { picture: &name, error: &error })?;
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
    let decode_ms = milliseconds(begin);
    let begin = Instant::now();
    let batch =
        detector.detect(std::slice::from_ref(&picture)).with_context(|| path.display().to_string())?;
    let detect_ms = milliseconds(begin);
    let mut detections: Vec<Detection> = batch.into_iter().flatten().collect();
    detections.sort_by(|a, b| b.score.total_cmp(&a.score));
    if let Some(drawn) = drawn {
        write_drawn(&draw::annotated(&picture, &detections, None), drawn, interrupt)?;
    }
    Ok(Seen { size: picture.dimensions(), detections, decode_ms, detect_ms })
}

fn milliseconds(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

fn write_seen(output: &mut dyn Write, name: &str, seen: &Seen, json: bool) -> Result<()> {
    let Seen { size: (width, height), detections, decode_ms, detect_ms } = seen;
    if json {
        let (width, height, decode_ms, detect_ms) = (*width, *height, *decode_ms, *detect_ms);
        return write_json(
            output,
            &Line::Seen { picture: name, width, height, detections, decode_ms, detect_ms },
        );
    }
    let found = match detections.len() {
        0 => "nothing".to_owned(),
        1 => "1 object".to_owned(),
        count => format!("{count} objects"),
    };
    writeln!(output, "{name}  {width}x{height}  {found}  {detect_ms:.0} ms")?;
    let longest = detections.iter().map(|found| found.class.chars().count()).max().unwrap_or(0);
    for Detection { class, score, bbox, .. } in detections {
        writeln!(
            output,
            "  {class:longest$}  {score:.3}  {:7.1} {:7.1}  to {:7.1} {:7.1}",
            bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max
        )?;
    }
    Ok(())
}

fn write_json(output: &mut dyn Write, line: &Line<'_>) -> Result<()> {
    let mut json = serde_json::to_vec(line)?;
    json.push(b'\n');
    // Whole lines, and at once: whoever waits for them gets them.
    output.write_all(&json)?;
    Ok(output.flush()?)
}

/// Where each picture is drawn; makes the directory.
fn drawn_paths(pictures: &[PathBuf], directory: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make the directory {}", directory.display()))?;
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

fn write_drawn(picture: &RgbImage, path: &Path, interrupt: &Interrupt) -> Result<()> {
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
        .encode(picture, width, height, ColorType::Rgb)
        .with_context(|| format!("cannot encode {}", path.display()))?;
    output_file::write(path, &jpeg, interrupt)
}
