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
//! - [`evaluate`]: average precision as COCO defines it.
//! - `picture` (feature): picture files to pixels, whatever they hold.
//! - `draw` (feature): detections drawn into pictures.
//! - `command` (feature `detect`): the command line program `detect`.
//!
//! # The model file
//!
//! Safetensors with `__metadata__`, all of whose values are strings:
//!
//! | key | value |
//! |---|---|
//! | `format`, `format_version` | `sluice-detector`, `1` |
//! | `name` | the model's name |
//! | `family` | `yolov3-resnet18` or `yolov3-darknet53` |
//! | `width` | channel multiplier: `c` channels become `max(8, 8 * ceil(c * width / 8))` |
//! | `classes` | JSON array of the class names in index order |
//! | `input` | JSON `[height, width]` in pixels, multiples of 32 |
//! | `anchors` | JSON `[width, height]` in input pixels, three for each of the strides 8, 16 and 32 |
//! | `score_threshold`, `iou_threshold` | in `0..=1` |
//! | `max_boxes` | most detections of a class in a picture |
//!
//! Tensors are `f16` or `f32`. A convolution `c` has `c.weight` (out, in, row, column) and either `c.bn.gamma`,
//! `c.bn.beta`, `c.bn.mean` and `c.bn.variance`, or `c.bias`, or, for ResNet's shortcuts, neither. Names:
//!
//! - `yolov3-resnet18`: `conv1`; blocks `conv2_1` to `conv5_2` with `.conv1`, `.conv2` and, in the first block of
//!   the stages 3 to 5, `.shortcut`.
//! - `yolov3-darknet53`: `conv0`; `stage1.down` to `stage5.down`, each followed by `stage1.block1.conv1`,
//!   `stage1.block1.conv2` and so on.
//! - Both, for the heads of stride 32, 16 and 8: `head32.conv1` to `head32.conv6`, `head32.output`, and
//!   `head32.lateral` and `head16.lateral` towards the next finer head. An output's channels are, for each anchor,
//!   x, y, width, height, objectness and the classes.
//!
//! Tensors of other names are ignored.
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

#[cfg(feature = "detect")]
pub mod command;
mod conv;
mod decode;
mod detector;
#[cfg(feature = "draw")]
pub mod draw;
pub mod evaluate;
mod family;
mod letterbox;
mod model_file;
mod network;
mod nms;
#[cfg(feature = "picture")]
pub mod picture;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use detector::{DetectError, Detector, DeviceKind, LoadOptions};
pub use family::{Family, UnknownFamily};
pub use model_file::{LoadError, TensorProblem};
