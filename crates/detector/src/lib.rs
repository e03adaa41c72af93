//! Pixels to detections: YOLOv3 networks, their weights, pre- and post-processing, evaluation.
//!
//! [`Detector`] is one type with one verb: load it, then detect a batch of pictures.
//!
//! # Layout
//!
//! - [`Detector`], [`LoadOptions`]: a model file made ready, and what may be set when loading it.
//! - [`Family`]: the network families and the constants that belong to each.
//! - `model_file`: a safetensors file, its metadata and its convolution weights, checked and folded.
//! - `network`: how the convolutions of a family are joined.
//! - `conv`: one convolution layer; the engine behind it is private to that module.
//! - `letterbox`: a picture of any size to the network's input.
//! - `decode`, `nms`: raw head outputs to boxes in the original picture's pixels.
//! - [`evaluate`]: average precision as COCO defines it, at an intersection over union of 0.5.
//!
//! # Examples
//!
//! ```no_run
//! use detector::{Detector, LoadOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let detector = Detector::load("model.safetensors".as_ref(), &LoadOptions::default())?;
//! let picture = image::RgbImage::new(1280, 720);
//! for detection in &detector.detect(&[picture])?[0] {
//!     println!("{} {:.2}", detection.class, detection.score);
//! }
//! # Ok(())
//! # }
//! ```

mod conv;
mod decode;
mod detector;
pub mod evaluate;
mod family;
mod letterbox;
mod model_file;
mod network;
mod nms;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use detector::{DetectError, Detector, DeviceKind, LoadOptions};
pub use family::{Family, UnknownFamily};
pub use model_file::{LoadError, TensorProblem};
