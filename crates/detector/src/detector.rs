//! A model file made ready to find objects in pictures.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use candle_core::Tensor;
use image::RgbImage;
use kernels::InstructionSet;
use protocol::Detection;
use protocol::infer::ModelInfo;

use crate::decode::Decoder;
#[cfg(feature = "detect")]
use crate::executor::Head;
use crate::executor::cpu::{self, Arithmetic, Profile};
use crate::executor::{Engine, Executor, PictureMut, candle};
use crate::gpu::Gpu;
use crate::letterbox;
use crate::model_file::{self, LoadError, ModelFile};
use crate::precision::Precision;

pub use check::CheckError;

/// Where the network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
    /// The processor through candle's own operations: many times slower, and there to compare with.
    CpuThroughCandle,
    /// The NVIDIA GPU of this index; needs a build with the feature `cuda`.
    Cuda(usize),
}

/// What may be set when a model is loaded; the default takes everything from the model file.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where the network runs.
    pub device: DeviceKind,
    /// Height and width of the network's input in pixels, multiples of 32, in place of the model file's.
    pub input: Option<(usize, usize)>,
    /// The classes' names in index order, in place of the model file's; TensorFlow graphs carry none.
    pub classes: Option<Vec<String>>,
    /// Threads for convolutions on the processor; by default what this process may use
    /// ([`std::thread::available_parallelism`]).
    pub threads: Option<NonZeroUsize>,
    /// The processor's vector instructions to use; by default the best that it has.
    pub instruction_set: Option<InstructionSet>,
    /// Bytes that the network's weights may take in memory, as far as that is possible. The more, the faster: a 3x3
    /// convolution has forms of its weights that take up to four times the memory and a third of the time. By default
    /// 2.3 times the plain weights, and no more than half of what the control group allows.
    pub weights_memory: Option<usize>,
    /// How exactly the network computes; by default with bytes where the model file is made for that and the processor has
    /// an instruction for it, and in single precision elsewhere. The processor has all but `f16`, a GPU all but `int8`.
    pub precision: Option<Precision>,
    /// Lowest score of a detection, in `0..=1`, in place of the model file's.
    pub score_threshold: Option<f32>,
    /// Intersection over union above which the lower score of two boxes is dropped, in `0..=1`, in place of
    /// the model file's.
    pub iou_threshold: Option<f32>,
}

/// Why a batch of pictures could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum DetectError {
    /// A picture without pixels.
    #[error("picture {index} of the batch is {width}x{height}: a picture needs at least one pixel")]
    EmptyPicture {
        /// Its position in the batch, from 0.
        index: usize,
        /// Its width in pixels.
        width: u32,
        /// Its height in pixels.
        height: u32,
    },
    /// The network itself failed, for example because the GPU's memory is exhausted.
    #[error("the network could not be run: {0}; a smaller batch or input needs less memory")]
    Network(#[from] candle_core::Error),
}

/// Where the time of a batch goes, from pixels to detections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// Scaling the pictures into the network's input.
    pub scaling: Duration,
    /// The network.
    pub network: Duration,
    /// From the network's outputs to boxes, and from those that overlap to the best.
    pub boxes: Duration,
    /// Boxes that reached the score threshold, of all pictures.
    pub candidates: usize,
}

/// A model made ready: pictures in, detections out.
///
/// Threads may share one detector; calls then also share its threads.
#[derive(Debug)]
pub struct Detector {
    network: Executor,
    decoder: Decoder,
    info: ModelInfo,
}

impl Detector {
    /// Reads the model file at `path`; its form is described in the [crate's documentation](crate#the-model-file).
    ///
    /// # Errors
    ///
    /// If the file cannot be read, is not a model file, lacks tensors or has them in other shapes, or if an
    /// option is out of its range or the device is not there.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, LoadError> {
        let file = ModelFile::open(path)?;
        let contents = file.contents()?;
        let metadata = contents.metadata.clone().with_options(options)?;
        let engine = match options.device {
            DeviceKind::Cpu => Engine::Cpu(cpu::Settings {
                threads: options.threads,
                weights: options.weights_memory,
                instruction_set: options.instruction_set,
                arithmetic: arithmetic(options, metadata.ranges.as_ref())?,
            }),
            DeviceKind::CpuThroughCandle => {
                let precision = numbers(options, &[Precision::F32, Precision::F16])?;
                Engine::Candle(candle::Settings::on_processor(precision))
            }
            DeviceKind::Cuda(index) => {
                let precision = numbers(options, &[Precision::F32, Precision::F16, Precision::Bf16])?;
                let error = |source| LoadError::Device { index, source: Box::new(source) };
                let gpu = Gpu::open(index, precision).map_err(error)?;
                Engine::Candle(candle::Settings { device: gpu.device, precision, gpu: Some(gpu.name) })
            }
        };
        let network = model_file::load_network(&file, &contents, &metadata, &engine)?;
        Ok(Self { network, info: metadata.info(), decoder: Decoder::new(metadata) })
    }

    /// The objects in each of `images`, in the pixels of each.
    ///
    /// The detections of a picture are grouped by class in index order, best score first within a class. The
    /// batch runs as one tensor, so its memory grows with its length.
    ///
    /// # Errors
    ///
    /// If a picture has no pixels, or the network fails on its device.
    pub fn detect(&self, images: &[RgbImage]) -> Result<Vec<Vec<Detection>>, DetectError> {
        self.detect_timed(images).map(|(detections, _)| detections)
    }

    /// What [`Detector::detect`] does, and where its time goes.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn detect_timed(&self, images: &[RgbImage]) -> Result<(Vec<Vec<Detection>>, Stages), DetectError> {
        if images.is_empty() {
            return Ok(Default::default());
        }
        if let Some((index, image)) =
            images.iter().enumerate().find(|(_, image)| image.width() == 0 || image.height() == 0)
        {
            let (width, height) = image.dimensions();
            return Err(DetectError::EmptyPicture { index, width, height });
        }
        let mut stages = Stages::default();
        let begin = Instant::now();
        let mut fill = |index: usize, picture: PictureMut<'_>| {
            let begin = Instant::now();
            letterbox::letterbox(self.decoder.family(), &images[index], picture);
            stages.scaling += begin.elapsed();
        };
        let (detections, boxes, candidates) = self.network.run(images.len(), &mut fill, |outputs| {
            let begin = Instant::now();
            let mut candidates = 0;
            let of = |(index, image): (usize, &RgbImage)| {
                let heads: Vec<_> = (0..self.decoder.heads()).map(|head| outputs.head(index, head)).collect();
                let found = self.decoder.candidates(&heads, image.width(), image.height());
                candidates += found.count();
                self.decoder.choose(found)
            };
            let detections = images.iter().enumerate().map(of).collect();
            (detections, begin.elapsed(), candidates)
        })?;
        stages.network = begin.elapsed().saturating_sub(stages.scaling + boxes);
        Ok((detections, Stages { boxes, candidates, ..stages }))
    }

    /// The network's raw outputs in the order of the model file's heads, usually from the finest to the coarsest, each
    /// `[batch, anchors * (5 + classes), rows, columns]`, of pictures `[batch, 3, height, width]` of the network's input
    /// size, RGB in `0..=1`, on the device of the network.
    ///
    /// # Errors
    ///
    /// If the pictures have another shape or lie elsewhere, or the network fails on its device.
    pub fn heads(&self, pictures: &Tensor) -> Result<Vec<Tensor>, DetectError> {
        Ok(self.network.forward(pictures)?)
    }

    /// What each layer takes for a batch of so many pictures on the processor: the median of `runs` runs; nothing on a GPU.
    pub fn profile(&self, runs: usize, batch: usize) -> Option<Profile> {
        match &self.network {
            Executor::Cpu(program) => Some(program.profile(runs, batch)),
            Executor::Candle(_) => None,
        }
    }

    /// The processor's vector instructions that the network runs on; none on a GPU.
    pub fn instruction_set(&self) -> Option<InstructionSet> {
        match &self.network {
            Executor::Cpu(program) => Some(program.instruction_set()),
            Executor::Candle(_) => None,
        }
    }

    /// How exactly the network computes.
    pub fn precision(&self) -> Precision {
        match &self.network {
            Executor::Cpu(program) => program.precision(),
            Executor::Candle(layers) => layers.settings().precision,
        }
    }

    /// The model of the GPU that the network runs on, such as `NVIDIA L4`; none on the processor.
    pub fn gpu(&self) -> Option<&str> {
        match &self.network {
            Executor::Cpu(_) => None,
            Executor::Candle(layers) => layers.settings().gpu.as_deref(),
        }
    }

    /// Calls `see` with what each convolution of the network puts out for a picture, by its number; the network computes on the
    /// processor in single precision.
    #[cfg(feature = "detect")]
    pub(crate) fn observe(&self, image: &RgbImage, see: &mut dyn FnMut(usize, &Head<'_>)) {
        let mut fill = |_: usize, picture: PictureMut<'_>| {
            letterbox::letterbox(self.decoder.family(), image, picture);
        };
        self.network.observe(&mut fill, see);
    }

    /// Gives back the memory for larger batches than of so many pictures, which came before, and holds what such a batch
    /// needs; on a GPU nothing is held.
    pub fn hold_memory_for(&self, batch: usize) {
        if let Executor::Cpu(program) = &self.network {
            program.hold_memory_for(batch);
        }
    }

    /// The model's name, family, input size and classes.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }
}

/// What the processor's kernels compute with; the file's ranges of activations as bytes are `known`.
fn arithmetic(options: &LoadOptions, known: Option<&Vec<[f32; 2]>>) -> Result<Arithmetic, LoadError> {
    let error = |problem: &str| Err(LoadError::Option { option: "precision", problem: problem.into() });
    match (options.precision, known) {
        (None, Some(ranges)) if cpu::multiplies_bytes(options.instruction_set) => {
            Ok(Arithmetic::Bytes(ranges.clone()))
        }
        (None | Some(Precision::F32), _) => Ok(Arithmetic::Single),
        (Some(Precision::Bf16), _) => Ok(Arithmetic::Halves),
        (Some(Precision::Int8), Some(ranges)) => Ok(Arithmetic::Bytes(ranges.clone())),
        (Some(Precision::Int8), None) => error(
            "int8 needs the ranges of the layers' outputs, which this model file lacks; `detect convert --int8 PICTURES` \
             makes a file that has them",
        ),
        (Some(Precision::F16), _) => error("f16 runs on a GPU only; on the processor, bf16 is as small"),
    }
}

/// What candle computes with, of those that the device has.
fn numbers(options: &LoadOptions, known: &[Precision]) -> Result<Precision, LoadError> {
    let precision = options.precision.unwrap_or(Precision::F32);
    if known.contains(&precision) {
        return Ok(precision);
    }
    let names: Vec<&str> = known.iter().map(|precision| precision.name()).collect();
    let problem = format!("{precision} does not run on that device, which has {}", names.join(", "));
    Err(LoadError::Option { option: "precision", problem })
}

mod check;
#[cfg(test)]
mod tests;
