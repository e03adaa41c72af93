//! Small model files for tests.

use std::collections::HashMap;
use std::path::Path;
use std::{fs, io};

use safetensors::tensor::{Dtype, TensorView};

use crate::Family;
use crate::graph::{Activation, ConvSpec, Geometry, Graph, Norm, Residual, Window};
use crate::model_file::{HeadSpec, Metadata, Network, heads};
use crate::network::{Backbone, Channels, LEAKY_SLOPE, Upsampling};
#[cfg(feature = "testing")]
use crate::{LoadError, model_file};

/// The anchors of the files: those of YOLOv3, strides 8, 16 and 32.
const ANCHORS: [[[f32; 2]; 3]; 3] = [
    [[10.0, 13.0], [16.0, 30.0], [33.0, 23.0]],
    [[30.0, 61.0], [62.0, 45.0], [59.0, 119.0]],
    [[116.0, 90.0], [156.0, 198.0], [373.0, 326.0]],
];

/// Steps of the distance of a box's side, where there are no anchors.
const SIDE_STEPS: usize = 8;

/// Writes a valid model file with random weights, the same for the same arguments.
///
/// `width` is the channel multiplier (0.125 makes the smallest networks), `input` height and width in pixels.
/// What such a model finds means nothing, but it finds something in most pictures: its thresholds are a score
/// of 0.3 and an intersection over union of 0.4.
///
/// # Errors
///
/// If the file cannot be written.
pub fn write_random_model(
    path: &Path,
    family: Family,
    width: f64,
    classes: &[&str],
    input: (usize, usize),
    seed: u64,
) -> io::Result<()> {
    let (tensors, metadata) = random_model(family, width, classes, input, seed);
    write_model(path, &tensors, metadata)
}

/// What [`write_random_model`] writes.
///
/// # Errors
///
/// What the serializer says; the arguments do not make it fail.
pub fn random_model_file(
    family: Family,
    width: f64,
    classes: &[&str],
    input: (usize, usize),
    seed: u64,
) -> io::Result<Vec<u8>> {
    let (tensors, metadata) = random_model(family, width, classes, input, seed);
    safetensors(&tensors, metadata)
}

/// Reads a model file from memory, its weights included, without making its network ready; of Darknet's pair, `bytes` is
/// one file and `other` the other one.
///
/// # Errors
///
/// As loading the file.
#[cfg(feature = "testing")]
pub fn read_model(bytes: &[u8], other: Option<&[u8]>) -> Result<(), LoadError> {
    model_file::read(bytes, other)
}

/// A tensor's shape and values.
pub(crate) type Tensors = HashMap<String, (Vec<usize>, Vec<f32>)>;

/// Tensors and metadata of a random model.
pub(crate) fn random_model(
    family: Family,
    width: f64,
    classes: &[&str],
    input: (usize, usize),
    seed: u64,
) -> (Tensors, HashMap<String, String>) {
    let (network, heads) = match Backbone::of(family) {
        Some(backbone) => {
            let (channels, upsampling) = (Channels::Multiplied(width), Upsampling::Nearest);
            (Network::Known { backbone, channels, upsampling, leaky_slope: LEAKY_SLOPE }, heads(ANCHORS))
        }
        None => written(family, width, classes.len()),
    };
    let metadata = Metadata {
        name: format!("random-{seed}"),
        family,
        network,
        classes: classes.iter().map(|&class| class.to_owned()).collect(),
        input,
        heads,
        score_threshold: 0.3,
        iou_threshold: 0.4,
        max_boxes: 50,
        ranges: None,
    };
    let mut random = Random(seed);
    let mut tensors = Tensors::new();
    for spec in metadata.graph().convolutions() {
        let geometry = spec.geometry;
        let mut insert = |suffix: &str, shape: Vec<usize>, centre: f32, spread: f32| {
            let values = (0..shape.iter().product()).map(|_| centre + spread * random.next()).collect();
            tensors.insert(format!("{}.{suffix}", spec.name), (shape, values));
        };
        // The standard deviation that keeps the variance through ReLU (He et al., 2015); a uniform
        // distribution over ±1 has one of 1/√3.
        let spread = (6.0 / geometry.depth() as f32).sqrt();
        let shape = vec![geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel];
        insert("weight", shape, 0.0, spread);
        let channels = || vec![geometry.out_channels];
        match spec.norm {
            Norm::Batch => {
                insert("bn.gamma", channels(), 0.8, 0.2);
                insert("bn.beta", channels(), 0.0, 0.1);
                insert("bn.mean", channels(), 0.0, 0.1);
                insert("bn.variance", channels(), 1.0, 0.2);
            }
            Norm::Bias => insert("bias", channels(), 0.0, 0.1),
            Norm::None => {}
        }
    }
    (tensors, metadata.values())
}

/// A network of a few layers with heads of the strides 16 and 32, for a family without a network of its own.
fn written(family: Family, width: f64, classes: usize) -> (Network, Vec<HeadSpec>) {
    let (mut graph, picture) = Graph::new();
    let conv = |graph: &mut Graph, input, out_channels, kernel, stride, residual| {
        let name = format!("layer{}", graph.nodes().len());
        let geometry = Geometry { in_channels: 0, out_channels, kernel, stride };
        let (norm, activation) = (Norm::Batch, Activation::LeakyRelu(LEAKY_SLOPE));
        graph.conv(input, ConvSpec { name, geometry, norm, activation }, residual)
    };
    let channels = (64.0 * width) as usize + 4;
    let mut fine = picture;
    for _ in 0..4 {
        let half = conv(&mut graph, fine, channels, 3, 2, None);
        fine = conv(&mut graph, half, channels, 3, 1, Some((half, Residual::AfterActivation)));
    }
    let coarse = graph.max_pool(fine, Window { size: 2, stride: 2, before: 0 });
    let coarse = conv(&mut graph, coarse, 2 * channels, 1, 1, None);
    let doubled = graph.upsample(coarse);
    let joined = graph.concat(vec![doubled, fine]);
    let outputs = [(joined, 16), (coarse, 32)];
    let heads = outputs.map(|(features, stride)| {
        let (anchors, out_channels) = if family.has_anchors() {
            (vec![[16.0, 30.0], [62.0, 45.0]], 2 * (5 + classes))
        } else {
            (Vec::new(), 4 * SIDE_STEPS + classes)
        };
        let geometry = Geometry { in_channels: 0, out_channels, kernel: 1, stride: 1 };
        let name = format!("head{stride}");
        let spec = ConvSpec { name, geometry, norm: Norm::Bias, activation: Activation::Identity };
        let output = graph.conv(features, spec, None);
        graph.output(output);
        HeadSpec { stride, anchors }
    });
    (Network::Written(graph), heads.into())
}

/// Writes tensors of `f32` and metadata as safetensors.
pub(crate) fn write_model(
    path: &Path,
    tensors: &Tensors,
    metadata: HashMap<String, String>,
) -> io::Result<()> {
    fs::write(path, safetensors(tensors, metadata)?)
}

/// Tensors of `f32` and metadata as safetensors.
fn safetensors(tensors: &Tensors, metadata: HashMap<String, String>) -> io::Result<Vec<u8>> {
    let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, (shape, values))| (name, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
        .collect();
    let views = bytes
        .iter()
        .map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(io::Error::other::<safetensors::SafeTensorError>)?;
    safetensors::serialize(views, Some(metadata)).map_err(io::Error::other)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): enough for weights that mean nothing.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A value in `-1..1`.
    pub(crate) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // 24 bits fill the mantissa of an f32.
        (bits >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Detector, LoadOptions};

    #[test]
    fn random_models_find_something() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("random.safetensors");
        let picture =
            image::RgbImage::from_fn(320, 180, |x, y| image::Rgb([x as u8, y as u8, (x ^ y) as u8]));
        for family in Family::ALL {
            for seed in 0..4 {
                write_random_model(&path, family, 0.125, &["person", "helmet"], (96, 160), seed).unwrap();
                let detector = Detector::load(&path, &LoadOptions::default()).unwrap();
                assert_eq!(detector.info().name, format!("random-{seed}"));
                let found = detector.detect(std::slice::from_ref(&picture)).unwrap();
                assert!(!found[0].is_empty(), "{family} of seed {seed}");
            }
        }
    }
}
