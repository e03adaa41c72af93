//! Detections in COCO's form: one list for all pictures.

use std::collections::HashMap;

use protocol::{BoundingBox, Detection};
use serde::{Deserialize, Serialize};

use super::{CocoError, Dataset};

/// One detection as COCO writes it.
#[derive(Debug, Serialize, Deserialize)]
struct Found {
    image_id: u64,
    category_id: u64,
    /// Left, top, width, height.
    bbox: [f64; 4],
    score: f64,
}

/// The detections in each of `dataset`'s images, in the order of the list; a class's index is its place in
/// [`Dataset::classes`].
///
/// # Errors
///
/// If it is not in COCO's form, or a detection names an image or category that is not there.
pub fn from_json(json: &[u8], dataset: &Dataset) -> Result<Vec<Vec<Detection>>, CocoError> {
    let list: Vec<Found> = serde_json::from_slice(json).map_err(CocoError::DetectionsJson)?;
    let positions: HashMap<u64, usize> =
        dataset.images.iter().enumerate().map(|(index, image)| (image.id, index)).collect();
    let mut detections = vec![Vec::new(); dataset.images.len()];
    for (index, found) in list.into_iter().enumerate() {
        let error = |problem| CocoError::Detection { index, problem };
        let image = *positions
            .get(&found.image_id)
            .ok_or_else(|| error(format!("image {} is not in the ground truth", found.image_id)))?;
        let class = dataset
            .category_ids
            .binary_search(&found.category_id)
            .map_err(|_| error(format!("category {} is not in the ground truth", found.category_id)))?;
        let [x, y, width, height] = found.bbox;
        let score = found.score as f32;
        let bbox = BoundingBox {
            x_min: x as f32,
            y_min: y as f32,
            x_max: (x + width) as f32,
            y_max: (y + height) as f32,
        };
        // What is finite in JSON need not be so in single precision.
        if ![bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max, score].iter().all(|value| value.is_finite()) {
            return Err(error("its box and its score must be numbers of single precision".into()));
        }
        detections[image].push(Detection {
            class: dataset.classes[class].clone(),
            // There is a category for each.
            class_id: class as u32,
            score,
            bbox,
        });
    }
    Ok(detections)
}

/// The detections in each of `dataset`'s images as COCO's list; those of classes that it does not have are left out.
///
/// # Errors
///
/// What the serializer says; plain numbers do not make it fail.
pub fn to_json(detections: &[Vec<Detection>], dataset: &Dataset) -> serde_json::Result<Vec<u8>> {
    let categories: HashMap<&String, u64> =
        dataset.classes.iter().zip(dataset.category_ids.iter().copied()).collect();
    let list: Vec<Found> = dataset
        .images
        .iter()
        .zip(detections)
        .flat_map(|(image, found)| found.iter().map(move |detection| (image.id, detection)))
        .filter_map(|(image_id, Detection { class, score, bbox, .. })| {
            let [left, top, right, bottom] = [bbox.x_min, bbox.y_min, bbox.x_max, bbox.y_max].map(f64::from);
            Some(Found {
                image_id,
                category_id: *categories.get(class)?,
                bbox: [left, top, right - left, bottom - top],
                score: f64::from(*score),
            })
        })
        .collect();
    serde_json::to_vec(&list)
}
