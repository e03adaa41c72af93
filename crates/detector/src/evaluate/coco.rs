//! Ground truth and detections in COCO's JSON forms.

mod detections;

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use protocol::BoundingBox;
use serde::Deserialize;

use super::Object;

pub use detections::{from_json as detections_from_json, to_json as detections_to_json};

/// Why ground truth could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CocoError {
    /// The file could not be read.
    #[error("ground truth {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not COCO's JSON.
    #[error("ground truth is not in COCO's JSON form: {0}")]
    Json(#[from] serde_json::Error),
    /// Two categories have the same name.
    #[error("ground truth has two categories {0:?}; give them different names")]
    RepeatedName(String),
    /// A detection names an image or category that is not there, or has a score that is no number.
    #[error("detection {index} (from 0): {problem}")]
    Detection {
        /// Its place in the list.
        index: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The text is not COCO's JSON for detections.
    #[error(
        "detections are not in COCO's form, a list of objects with image_id, category_id, bbox and score: {0}"
    )]
    DetectionsJson(serde_json::Error),
    /// Two images, or two categories, have the same `id`.
    #[error("ground truth has two {what} with the id {id}")]
    Repeated {
        /// `images` or `categories`.
        what: &'static str,
        /// The `id`.
        id: u64,
    },
    /// An annotation names an image or category that is not there.
    #[error("annotation {annotation} names the {what} {id}, which is not there")]
    Dangling {
        /// The annotation's `id`.
        annotation: u64,
        /// `image` or `category`.
        what: &'static str,
        /// The `id` that it names.
        id: u64,
    },
}

/// A picture with its objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// COCO's `id`.
    pub id: u64,
    /// COCO's `file_name`.
    pub file_name: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// When the picture is shown in the clip that it comes from, in microseconds (an addition to COCO's form).
    pub time_us: Option<u64>,
    /// What is in it.
    pub objects: Vec<Object>,
}

/// Pictures with their objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Class names in the order of their category `id`.
    pub classes: Vec<String>,
    /// The category `id` of each class.
    pub category_ids: Vec<u64>,
    /// The pictures in the order of the file.
    pub images: Vec<Image>,
}

impl Dataset {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or as [`Dataset::from_json`].
    pub fn read(path: &Path) -> Result<Self, CocoError> {
        let json = std::fs::read(path).map_err(|source| CocoError::Open { path: path.to_owned(), source })?;
        Self::from_json(&json)
    }

    /// Reads COCO's JSON.
    ///
    /// # Errors
    ///
    /// If it is not in COCO's form, repeats an `id`, or names one that is not there.
    pub fn from_json(json: &[u8]) -> Result<Self, CocoError> {
        let mut file: File = serde_json::from_slice(json)?;
        file.categories.sort_by_key(|category| category.id);
        if let Some([first, _]) =
            file.categories.array_windows().find(|[first, second]| first.id == second.id)
        {
            return Err(CocoError::Repeated { what: "categories", id: first.id });
        }
        let mut named = HashSet::with_capacity(file.categories.len());
        if let Some(again) = file.categories.iter().find(|category| !named.insert(&category.name)) {
            return Err(CocoError::RepeatedName(again.name.clone()));
        }
        let mut position = HashMap::with_capacity(file.images.len());
        let mut images = Vec::with_capacity(file.images.len());
        for (index, image) in file.images.into_iter().enumerate() {
            if position.insert(image.id, index).is_some() {
                return Err(CocoError::Repeated { what: "images", id: image.id });
            }
            images.push(image.into());
        }
        let names: HashMap<u64, &String> =
            file.categories.iter().map(|category| (category.id, &category.name)).collect();
        for annotation in &file.annotations {
            let dangling = |what, id| CocoError::Dangling { annotation: annotation.id, what, id };
            let index =
                *position.get(&annotation.image_id).ok_or_else(|| dangling("image", annotation.image_id))?;
            let class = *names
                .get(&annotation.category_id)
                .ok_or_else(|| dangling("category", annotation.category_id))?;
            let image: &mut Image = &mut images[index];
            image.objects.push(annotation.object(class.clone()));
        }
        let category_ids = file.categories.iter().map(|category| category.id).collect();
        let classes = file.categories.into_iter().map(|category| category.name).collect();
        Ok(Self { classes, category_ids, images })
    }
}

#[derive(Deserialize)]
struct File {
    images: Vec<FileImage>,
    annotations: Vec<Annotation>,
    categories: Vec<Category>,
}

#[derive(Deserialize)]
struct FileImage {
    id: u64,
    #[serde(default)]
    file_name: String,
    width: u32,
    height: u32,
    time_us: Option<u64>,
}

impl From<FileImage> for Image {
    fn from(FileImage { id, file_name, width, height, time_us }: FileImage) -> Self {
        Self { id, file_name, width, height, time_us, objects: Vec::new() }
    }
}

#[derive(Deserialize)]
struct Annotation {
    #[serde(default)]
    id: u64,
    image_id: u64,
    category_id: u64,
    /// Left, top, width, height.
    bbox: [f32; 4],
    #[serde(default)]
    iscrowd: u8,
}

impl Annotation {
    fn object(&self, class: String) -> Object {
        let [x_min, y_min, width, height] = self.bbox;
        let bbox = BoundingBox { x_min, y_min, x_max: x_min + width, y_max: y_min + height };
        Object { class, bbox, crowd: self.iscrowd != 0 }
    }
}

#[derive(Deserialize)]
struct Category {
    id: u64,
    name: String,
}

#[cfg(test)]
mod tests;
