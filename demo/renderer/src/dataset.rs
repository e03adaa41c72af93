//! Training pictures: random stills on disk with their ground truth.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use image::RgbImage;
use jpeg_encoder::{ColorType, Encoder};
use rayon::prelude::*;

use crate::render::Canvas;
use crate::rng::Rng;
use crate::sensor::Sensor;
use crate::stage::random_still;
use crate::truth::{Coco, Image, Label, labels};

/// The name of the ground truth in the folder.
const TRUTH: &str = "truth.coco.json";

/// What to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder, made if it is not there.
    pub folder: PathBuf,
    /// Number of pictures.
    pub count: usize,
    /// The seed of all pictures.
    pub seed: u64,
    /// Width of the rendered picture in pixels.
    pub width: usize,
    /// Height of the rendered picture in pixels.
    pub height: usize,
    /// Width of the stored picture in pixels.
    pub store_width: usize,
    /// Best JPEG quality, 1..=100; some pictures get less.
    pub quality: u8,
    /// Threads; all processors if not given.
    pub threads: Option<NonZeroUsize>,
}

/// Renders one random still of a seed: the picture and its labels.
pub fn picture(
    canvas: &mut Canvas,
    seed: u64,
    number: u64,
    width: usize,
    height: usize,
) -> (RgbImage, Vec<Label>) {
    let mut rng = Rng::new(seed, number);
    let still = random_still(&mut rng, width, height);
    canvas.render_moving(&still.scene, &still.blurred, &still.view);
    let exposure = Sensor::meter(&canvas.light, still.exposure);
    let sensor = Sensor::random(exposure, still.dark, &mut rng);
    let labels = labels(&still.scene, &still.view, &canvas.surface);
    (sensor.take(&canvas.light, width, height), labels)
}

/// Renders, stores and describes all pictures.
///
/// # Errors
///
/// When the sizes make no picture or a file cannot be written; the incomplete set is removed.
pub fn make(options: &Options) -> anyhow::Result<()> {
    let made = make_all(options);
    if made.is_err() {
        // The first error tells what went wrong; files that were never made are no second one.
        for name in (0..options.count).map(file_name).chain([TRUTH.into()]) {
            let _missing = fs::remove_file(options.folder.join(name));
        }
        let _not_empty = fs::remove_dir(&options.folder);
    }
    made
}

fn make_all(options: &Options) -> anyhow::Result<()> {
    let Options { width, height, store_width, .. } = *options;
    if !(16..=8192).contains(&store_width) || !(64..=8192).contains(&width) || !(64..=8192).contains(&height)
    {
        bail!("no pictures of {width}x{height} stored {store_width} wide: sizes lie between 64 and 8192");
    }
    let store_height = store_width * height / width;
    fs::create_dir_all(&options.folder)
        .with_context(|| format!("cannot make the folder {}", options.folder.display()))?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads.map_or(0, NonZeroUsize::get))
        .build()
        .context("cannot start the rendering threads")?;
    let one = |canvas: &mut Canvas, number: usize| -> anyhow::Result<Vec<Label>> {
        let (picture, labels) = picture(canvas, options.seed, number as u64, width, height);
        let stored = shrink(&picture, store_width, store_height);
        // Decoded video is never as clean as a picture: some are compressed harder.
        let mut rng = Rng::new(options.seed, !(number as u64));
        let drop = if rng.chance(0.5) { rng.range(0.0, 0.5) } else { 0.0 };
        let quality = (f32::from(options.quality) * (1.0 - drop)) as u8;
        write_jpeg(&options.folder.join(file_name(number)), &stored, quality.clamp(1, 100))?;
        Ok(labels)
    };
    let all: Vec<Vec<Label>> = pool.install(|| {
        (0..options.count)
            .into_par_iter()
            .with_min_len(8)
            .map_init(Canvas::default, one)
            .collect::<anyhow::Result<_>>()
    })?;
    let mut coco = Coco::new("Rendered construction-site stills", options.seed);
    for (number, labels) in all.iter().enumerate() {
        let image = Image {
            id: number as u64,
            file_name: file_name(number),
            width: store_width as u32,
            height: store_height as u32,
            time_us: None,
        };
        coco.push(image, labels, store_width as f32 / width as f32);
    }
    write_coco(&options.folder.join(TRUTH), &coco)
}

fn file_name(number: usize) -> String {
    format!("{number:06}.jpg")
}

/// Writes a ground truth file.
///
/// # Errors
///
/// When the file cannot be written.
pub fn write_coco(path: &Path, coco: &Coco) -> anyhow::Result<()> {
    let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
    let mut file = BufWriter::new(file);
    serde_json::to_writer(&mut file, coco).with_context(|| format!("cannot write {}", path.display()))?;
    file.flush().with_context(|| format!("cannot write {}", path.display()))
}

fn write_jpeg(path: &Path, picture: &RgbImage, quality: u8) -> anyhow::Result<()> {
    let mut bytes = Vec::with_capacity(200_000);
    Encoder::new(&mut bytes, quality)
        .encode(picture.as_raw(), picture.width() as u16, picture.height() as u16, ColorType::Rgb)
        .with_context(|| format!("cannot encode {}", path.display()))?;
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// Shrinks with bilinear interpolation between the four nearest pixels, as the detectors' letterbox does.
fn shrink(picture: &RgbImage, width: usize, height: usize) -> RgbImage {
    let (from_width, from_height) = (picture.width() as usize, picture.height() as usize);
    if (width, height) == (from_width, from_height) {
        return picture.clone();
    }
    let spots = |to: usize, from: usize| -> Vec<(usize, usize, f32)> {
        let scale = from as f32 / to as f32;
        (0..to)
            .map(|at| {
                let place = ((at as f32 + 0.5) * scale - 0.5).clamp(0.0, (from - 1) as f32);
                let first = place as usize;
                (first, (first + 1).min(from - 1), place - first as f32)
            })
            .collect()
    };
    let (columns, rows) = (spots(width, from_width), spots(height, from_height));
    let raw = picture.as_raw();
    let mut bytes = Vec::with_capacity(width * height * 3);
    for (top, bottom, fy) in rows {
        let (top, bottom) = (&raw[top * from_width * 3..], &raw[bottom * from_width * 3..]);
        for &(left, right, fx) in &columns {
            for channel in 0..3 {
                let at = |line: &[u8], column: usize| f32::from(line[column * 3 + channel]);
                let upper = at(top, left) + (at(top, right) - at(top, left)) * fx;
                let lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * fx;
                bytes.push((upper + (lower - upper) * fy + 0.5) as u8);
            }
        }
    }
    RgbImage::from_raw(width as u32, height as u32, bytes)
        .unwrap_or_else(|| RgbImage::new(width as u32, height as u32))
}
