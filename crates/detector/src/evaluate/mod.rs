//! Average precision as COCO defines it, at an intersection over union of 0.5.
//!
//! The definition is `COCOeval` of the reference implementation (cocodataset/cocoapi,
//! `PythonAPI/pycocotools/cocoeval.py`) with one threshold, all areas and at most 100 detections of a class in
//! a picture: detections are matched greedily by score to the objects of their class; precision, made
//! monotone, is read at 101 recalls and averaged.
//!
//! - [`coco`]: ground truth in COCO's JSON form.
//! - [`average_precision`]: the figure, over any selection of pictures.

mod average_precision;
pub mod coco;
mod matching;

pub use average_precision::{ClassScore, Evaluation, Object, Sample, average_precision};
