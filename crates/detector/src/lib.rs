//! Pixels to detections: YOLO networks, their weights, pre- and post-processing, evaluation.
//!
//! [`Detector`] is one type with one verb: load it, then detect a batch of pictures.
//!
//! # Layout
//!
//! - [`Detector`], [`LoadOptions`]: a model file made ready, and what may be set when loading it.
//! - [`Family`]: the network families and the constants that belong to each.
//! - `model_file`: a model file in one of its forms, its metadata and its convolution weights, checked and folded.
//! - `graph`: a network as a graph of layers, without weights or a way to compute it; `network`: those of the families.
//! - `executor`: what computes a graph: `executor::cpu` with the `kernels` for the processor's instruction set, behind one
//!   candle `CustomOp1`; `executor::candle` through candle's own operations, on a GPU.
//! - `letterbox`: a picture of any size to the network's input.
//! - `gpu`: the way to a GPU, and what may be in the way.
//! - [`give_back_memory`]: what a dropped model leaves behind.
//! - `decode`, `nms`: raw head outputs to boxes in the original picture's pixels.
//! - [`evaluate`]: average precision as COCO defines it.
//! - `picture` (feature): picture files to pixels, whatever they hold.
//! - `draw` (feature): detections drawn into pictures.
//! - `command` (feature `detect`): the command line program `detect`.
//!
//! # The model file
//!
//! A file is read in the form that its content shows; its name does not matter. The forms are:
//!
//! - the native one, safetensors;
//! - frozen TensorFlow graphs of two families;
//! - Darknet's `.cfg` and `.weights`, of which either may be named;
//! - ONNX models with the heads of YOLOv5 or YOLOv8, which YOLO11 has, too.
//!
//! The file is mapped, not read: each weight goes straight from it into the network.
//!
//! ## The native form
//!
//! Safetensors with `__metadata__`, all of whose values are strings:
//!
//! | key | value |
//! |---|---|
//! | `format`, `format_version` | `sluice-detector`, `1` |
//! | `name` | the model's name |
//! | `family` | `yolov3-resnet18`, `yolov3-darknet53`, `yolov3-darknet`, `yolov5` or `yolov8` |
//! | `classes` | JSON array of the class names in index order |
//! | `input` | JSON `[height, width]` in pixels, multiples of 32 |
//! | `score_threshold`, `iou_threshold` | in `0..=1` |
//! | `max_boxes` | most detections of a class in a picture; for `yolov5` and `yolov8`, of a picture |
//! | `activation_ranges` | for computing with bytes: JSON array of the least and largest value of each convolution's output that bytes tell apart, `[least, most]`, in the order of the convolutions below or of their first layers |
//!
//! The first two families are networks that are known by their names, and for them there are
//!
//! | key | value |
//! |---|---|
//! | `width` | channel multiplier: `c` channels become `max(8, 8 * ceil(c * width / 8))` |
//! | `channels` | in place of `width`: JSON array of each convolution's output channels, in the order below |
//! | `upsampling` | `nearest` (the default) or `transposed` |
//! | `leaky_slope` | slope of leaky activations, in `0..=1`; 0.1 by default |
//! | `anchors` | JSON `[width, height]` in input pixels, three for each of the strides 8, 16 and 32 |
//!
//! The others are any network with such heads, written out layer by layer. They differ in how pictures are scaled and boxes
//! chosen: for `yolov3-darknet` as by Darknet; for the other two as by Ultralytics' prediction, with YOLOv5's heads or with
//! those of YOLOv8, which have no anchors. For them there are
//!
//! | key | value |
//! |---|---|
//! | `layers` | JSON array of the layers below |
//! | `heads` | JSON array of outputs: `{"layer": number, "stride": input pixels a cell, "anchors": [[width, height], …]}`, anchors in input pixels. A head's channels are, for each anchor, x, y, width, height, objectness and the classes; for `yolov8`, for each of left, top, right and bottom the logits of the distances 0, 1, 2 and so on in cells, and then the classes |
//!
//! A layer's number is its position in the array, counted from 1; 0 is the picture. It reads layers that come before it:
//!
//! | `op` | other keys |
//! |---|---|
//! | `conv` | `name`; `input`; `channels` of the output; odd `kernel`; `stride`; `norm`: `batch`, `bias` or `none`; `activation`: `identity`, `relu`, `silu` or `{"leaky_relu": slope}`; `residual`, if a layer is added: `[layer, "before_activation"]` or `[layer, "after_activation"]`. Padded so that `n` pixels become `ceil(n / stride)`, the smaller half of `kernel - 1` before. Of two with one name, both have its weights |
//! | `max_pool` | `input`; `size`; `stride`; `before`: pixels of the first window before the picture. `n` pixels become `ceil(n / stride)` |
//! | `upsample` | `input`: each pixel four times |
//! | `depth_to_space` | `input`: four pixels of a quarter of the channels: upper left, upper right, lower left, lower right |
//! | `concat` | `inputs`: their channels one after the other |
//! | `attention` | `query`, `key`, `value`; `scale`: for each pixel the mean of `value` over all pixels, weighed by the softmax of `scale` times the products of its `query` with their `key` |
//!
//! Tensors are `f16` or `f32`. A convolution `c` has `c.weight` (out, in, row, column), which may also be `i8`, in steps of
//! `c.weight.scale` (out); and either `c.bn.gamma`,
//! `c.bn.beta`, `c.bn.mean` and `c.bn.variance`, or `c.bias`, or, for ResNet's shortcuts, neither. A tensor
//! `c.bn.epsilon` of one value replaces what batch norm adds to the variance (1e-5 for `yolov3-resnet18`,
//! 1e-6 for `yolov3-darknet`, 1e-3 for the others). Names in the known networks:
//!
//! - `yolov3-resnet18`: `conv1`; blocks `conv2_1` to `conv5_2` with `.conv1`, `.conv2` and, in the first block of
//!   the stages 3 to 5, `.shortcut`.
//! - `yolov3-darknet53`: `conv0`; `stage1.down` to `stage5.down`, each followed by `stage1.block1.conv1`,
//!   `stage1.block1.conv2` and so on.
//! - Both, for the heads of stride 32, 16 and 8: `head32.conv1` to `head32.conv6`, `head32.output`, and
//!   `head32.lateral` and `head16.lateral` towards the next finer head. An output's channels are, for each anchor,
//!   x, y, width, height, objectness and the classes. Where `upsampling` is `transposed`, a lateral is followed by
//!   `head32.upsample` or `head16.upsample`, a 1x1 convolution with a bias and four times its input's channels:
//!   those of the upper left pixel of 2x2, then of the upper right, the lower left and the lower right.
//!
//! The order of `channels` is that of the network: the backbone from the picture on, a ResNet block's `shortcut`
//! after its `conv2`, then `head32.conv1` to `head32.output`, `head32.lateral`, `head32.upsample` if there is one,
//! and so on.
//!
//! Tensors of other names are ignored.
//!
//! ## TensorFlow graphs
//!
//! A frozen `GraphDef` (`.pb`) in the layout NHWC, with weights of `f32` or `f16`. A graph is recognised by how
//! its operations hang together, not by their names, so that the outputs may be called `concat_17` or
//! `output/boxes`. Any number of classes, any channels and input size, `FusedBatchNorm` in all three versions or
//! folded into biases, upsampling by nearest neighbour or by transposed 2x2 convolutions. From the graph come
//!
//! - the input's size; where it is left open, that of Sedna's helmet example: 416x736 for ResNet-18, 544x544 for
//!   Darknet-53 (height x width);
//! - anchors, strides, slope and epsilons, and the number of classes. The classes have no names in it: they are
//!   called `class0`, `class1` and so on, unless [`LoadOptions::classes`] names them;
//! - for ResNet-18, the thresholds and limits of its non-maximum suppression. A Darknet-53 graph ends before that;
//!   its boxes are chosen as in Sedna's helmet example: scores above 0.3, overlaps of at most 0.4.
//!
//! A graph that computes anything else is an error which says where it departs from the network.
//!
//! ## Darknet
//!
//! A `.cfg` of the sections `convolutional`, `shortcut`, `route`, `upsample`, `maxpool`, `dropout` and `yolo`, and the
//! `.weights` of the same name. It is read as a model of the family `yolov3-darknet`: layer `n` of the configuration is
//! the convolution `layern`. Thresholds are those of its `yolo` sections (`thresh`, `nms_threshold`), or else Darknet's
//! own, 0.5 and 0.45. The classes are named by `.names` files beside it, if there are any.
//!
//! ## ONNX
//!
//! A model of one picture `[batch, 3, height, width]` of a fixed size, with its weights in the file (`f32`, or `f16` behind
//! `Cast`). Layers may be `Conv`, also in groups; `BatchNormalization` behind one; SiLU as `Sigmoid` and `Mul`, `Relu` or
//! `LeakyRelu`; `Add`; `Concat` and `Split` of channels; `MaxPool`; `Resize` or `Upsample` by two, nearest neighbour; and
//! YOLO11's attention over all pixels. The last operations must be those by which YOLOv5 or YOLOv8 make boxes of their heads,
//! without non-maximum suppression; they give anchors and strides. Layer names are `layer` and the position of the node. Classes are named by the exporter's note
//! `names`, if there is one. Scores above 0.25 count; overlaps are at most 0.45 for YOLOv5 and 0.7 for YOLOv8, and the most
//! boxes of a picture 1000 and 300.
//!
//! Convolutions in groups are computed as if they had none: the other weights are zeros.
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
mod calibration;
#[cfg(feature = "detect")]
pub mod command;
mod decode;
mod detector;
#[cfg(feature = "draw")]
pub mod draw;
pub mod evaluate;
mod executor;
mod family;
mod gpu;
mod graph;
mod letterbox;
mod memory;
mod model_file;
mod network;
mod nms;
#[cfg(feature = "picture")]
pub mod picture;
mod precision;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use detector::{CheckError, DetectError, Detector, DeviceKind, LoadOptions, Stages};
pub use executor::cpu::{LayerTime, Profile};
pub use family::{Family, UnknownFamily};
pub use gpu::{Capability, GpuError};
pub use kernels::{InstructionSet, UnknownInstructionSet};
pub use memory::give_back_memory;
pub use model_file::{LoadError, TensorProblem};
pub use precision::{Precision, UnknownPrecision};
