//! Average precision as COCO defines it.
//!
//! The definition is `COCOeval` of the reference implementation (cocodataset/cocoapi,
//! `PythonAPI/pycocotools/cocoeval.py`) for boxes, with all areas and at most 100 detections of a class in a
//! picture: detections are matched greedily by score to the objects of their class; precision, made monotone, is
//! read at 101 recalls and averaged.
//!
//! - [`coco`]: ground truth and detections in COCO's JSON forms.
//! - [`average_precision`]: the figure at an intersection over union of 0.5, over any selection of pictures.
//! - [`summary`]: the figures at 0.5 and over 0.5 to 0.95, with the curves.

mod average_precision;
pub mod coco;
mod matching;
mod summary;

pub use average_precision::{ClassScore, Curve, Evaluation, Object, RECALLS, Sample, average_precision};
pub use summary::{ClassSummary, Summary, summary};
