//! A model file made ready to find objects in pictures.

use std::num::NonZeroUsize;
use std::path::Path;

use candle_core::{Device, Tensor};
use image::RgbImage;
use protocol::Detection;
use protocol::infer::ModelInfo;

use crate::conv::Engine;
use crate::decode::Decoder;
use crate::letterbox;
use crate::model_file::{self, LoadError, ModelFile};
use crate::network::Network;

/// Where the network runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceKind {
    /// The processor.
    #[default]
    Cpu,
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

/// A model made ready: pictures in, detections out.
///
/// Threads may share one detector; calls then also share its threads.
#[derive(Debug)]
pub struct Detector {
    network: Network,
    decoder: Decoder,
    info: ModelInfo,
    device: Device,
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
        let device = match options.device {
            DeviceKind::Cpu => Device::Cpu,
            DeviceKind::Cuda(index) => {
                Device::new_cuda(index).map_err(|source| LoadError::Device { index, source })?
            }
        };
        let engine = match options.device {
            DeviceKind::Cpu => Engine::tiled(options.threads).map_err(LoadError::Threads)?,
            DeviceKind::Cuda(_) => Engine::Candle(device.clone()),
        };
        let network = model_file::load_network(&file, &contents, &metadata, &engine)?;
        Ok(Self { network, info: metadata.info(), decoder: Decoder::new(metadata), device })
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
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let (height, width) = self.decoder.input();
        let mut pixels = vec![0.0; images.len() * 3 * height * width];
        for (index, (image, planes)) in
            images.iter().zip(pixels.chunks_exact_mut(3 * height * width)).enumerate()
        {
            if image.width() == 0 || image.height() == 0 {
                return Err(DetectError::EmptyPicture {
                    index,
                    width: image.width(),
                    height: image.height(),
                });
            }
            letterbox::letterbox(image, height, width, planes);
        }
        let input = Tensor::from_vec(pixels, (images.len(), 3, height, width), &self.device)?;
        let heads = self.network.forward(&input)?;
        let mut raw = Vec::with_capacity(heads.len());
        for head in &heads {
            raw.push(head.flatten_all()?.to_vec1::<f32>()?);
        }
        Ok(images
            .iter()
            .enumerate()
            .map(|(index, image)| {
                let part = |head: &Vec<f32>| {
                    let length = head.len() / images.len();
                    index * length..(index + 1) * length
                };
                let heads: [&[f32]; 3] =
                    [&raw[0][part(&raw[0])], &raw[1][part(&raw[1])], &raw[2][part(&raw[2])]];
                self.decoder.decode(heads, image.width(), image.height())
            })
            .collect())
    }

    /// The model's name, family, input size and classes.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }
}

#[cfg(test)]
mod tests;
