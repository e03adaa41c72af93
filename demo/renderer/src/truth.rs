//! Ground truth: the box of the visible pixels of every labelled object, and the COCO file.

use serde::{Deserialize, Serialize};

use crate::camera::View;
use crate::raster::{NOTHING, Surface, shape_of};
use crate::scene::{Class, Scene};

/// Objects of which less than this share is visible are not scored.
const LEAST_VISIBLE: f32 = 0.25;
/// People lower than this at a picture height of 720 are not scored, in pixels.
const LEAST_PERSON: f32 = 30.0;
/// Heads and helmets whose shorter side is less than this at a picture height of 720 are not scored, in pixels.
const LEAST_HEAD: f32 = 9.0;

/// One visible object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Label {
    /// Its class.
    pub class: Class,
    /// Left, upper, right and lower edge of its visible pixels; right and lower exclusive.
    pub bounds: [u32; 4],
    /// Number of its visible pixels.
    pub pixels: u32,
    /// The visible share of what it would cover alone, also counting what lies beyond the picture.
    pub visible: f32,
    /// Too small or too hidden to be scored.
    pub ignored: bool,
}

/// Reads the labels off a drawn surface.
pub fn labels(scene: &Scene, view: &View, surface: &Surface) -> Vec<Label> {
    let mut seen: Vec<(u32, [u32; 4])> = vec![(0, [u32::MAX, u32::MAX, 0, 0]); scene.objects.len()];
    let mut note = |object: usize, x: u32, y: u32| {
        let (count, [left, top, right, bottom]) = &mut seen[object];
        *count += 1;
        (*left, *top) = ((*left).min(x), (*top).min(y));
        (*right, *bottom) = ((*right).max(x + 1), (*bottom).max(y + 1));
    };
    for (row, line) in surface.identity.chunks_exact(view.width).enumerate() {
        for (column, &identity) in line.iter().enumerate() {
            if identity == NOTHING {
                continue;
            }
            if let Some(object) = scene.primitives[shape_of(identity)].object {
                note(object, column as u32, row as u32);
                if let Some(parent) = scene.objects[object].parent {
                    note(parent, column as u32, row as u32);
                }
            }
        }
    }
    let unit = view.height as f32 / 720.0;
    let rate = |(object, (pixels, bounds)): (usize, (u32, [u32; 4]))| {
        let class = scene.objects[object].class;
        let cover = &surface.cover[object];
        let inside = cover.bounds.map_or(0.0, |bounds| bounds.share_within(view.width, view.height));
        let visible = pixels as f32 / cover.pixels.max(1) as f32 * inside;
        let (wide, high) = ((bounds[2] - bounds[0]) as f32, (bounds[3] - bounds[1]) as f32);
        let small = match class {
            Class::Person => high < LEAST_PERSON * unit,
            _ => wide.min(high) < LEAST_HEAD * unit,
        };
        Label { class, bounds, pixels, visible, ignored: small || visible < LEAST_VISIBLE }
    };
    seen.into_iter().enumerate().filter(|(_, (pixels, _))| *pixels > 0).map(rate).collect()
}

/// A COCO file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Coco {
    /// What the file is.
    pub info: Info,
    /// The pictures.
    pub images: Vec<Image>,
    /// The objects.
    pub annotations: Vec<Annotation>,
    /// The classes.
    pub categories: Vec<Category>,
}

/// The description of a COCO file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Info {
    /// In words.
    pub description: String,
    /// The seed that makes the same pictures again.
    pub seed: u64,
}

/// A picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Image {
    /// Its number.
    pub id: u64,
    /// Its file, or its number with six digits.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Presentation time in microseconds, in a clip.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time_us: Option<u64>,
}

/// An object in a picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Annotation {
    /// Its number, from 1.
    pub id: u64,
    /// The picture.
    pub image_id: u64,
    /// The class, from 1.
    pub category_id: u32,
    /// Left, top, width and height in pixels.
    pub bbox: [f32; 4],
    /// Visible pixels.
    pub area: f32,
    /// 1: too small or too hidden to be scored; neither a hit nor a miss.
    pub iscrowd: u8,
}

/// A class.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Category {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: String,
}

impl Coco {
    /// A file without pictures.
    pub fn new(description: &str, seed: u64) -> Coco {
        let category =
            |(index, class): (usize, &Class)| Category { id: index as u32 + 1, name: class.name().into() };
        Coco {
            info: Info { description: description.into(), seed },
            images: Vec::new(),
            annotations: Vec::new(),
            categories: Class::ALL.iter().enumerate().map(category).collect(),
        }
    }

    /// Adds a picture and its labels, whose pixels are multiplied by `scale`.
    pub fn push(&mut self, image: Image, labels: &[Label], scale: f32) {
        let round = |value: f32| (value * 100.0).round() / 100.0;
        for label in labels {
            let edge = |value: u32, limit: u32| round((value as f32 * scale).min(limit as f32));
            let [left, top, right, bottom] = label.bounds;
            let (left, right) = (edge(left, image.width), edge(right, image.width));
            let (top, bottom) = (edge(top, image.height), edge(bottom, image.height));
            self.annotations.push(Annotation {
                id: self.annotations.len() as u64 + 1,
                image_id: image.id,
                category_id: label.class as u32 + 1,
                bbox: [left, top, right - left, bottom - top].map(round),
                area: round(label.pixels as f32 * scale * scale),
                iscrowd: u8::from(label.ignored),
            });
        }
        self.images.push(image);
    }
}
