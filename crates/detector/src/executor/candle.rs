//! A network by candle's own operations, on any device that candle knows.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::ops::softmax;
use candle_nn::{Conv2dConfig, Module};

use super::{Error, Head, Outputs, PictureMut, Weights};
use crate::graph::{Activation, ConvSpec, Graph, NodeId, Op, Residual, Size, Window};
use crate::precision::Precision;

/// Where candle computes, and how exactly.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) device: Device,
    /// What weights and layers are stored as. Pictures and outputs are in single precision.
    pub(crate) precision: Precision,
    /// The GPU's model; none on the processor.
    pub(crate) gpu: Option<String>,
}

impl Settings {
    /// On the processor.
    pub(crate) fn on_processor(precision: Precision) -> Self {
        Self { device: Device::Cpu, precision, gpu: None }
    }
}

/// A graph with its weights on a device.
#[derive(Debug)]
pub(crate) struct Layers {
    graph: Graph,
    convolutions: Vec<candle_nn::Conv2d>,
    /// For each layer, the earlier ones whose values nobody needs after it.
    spent: Vec<Vec<usize>>,
    /// Height and width of the pictures.
    size: Size,
    settings: Settings,
    running: Mutex<()>,
}

impl Layers {
    pub(super) fn new<E: From<Error>>(
        graph: &Graph,
        size: Size,
        settings: &Settings,
        weights: &mut dyn FnMut(&ConvSpec) -> std::result::Result<Weights, E>,
    ) -> std::result::Result<Self, E> {
        let Settings { device, precision, .. } = settings;
        let stored = |values: Tensor| values.to_dtype(precision.dtype());
        let mut convolutions = Vec::with_capacity(graph.convolutions().len());
        for spec in graph.convolutions() {
            let geometry = spec.geometry;
            let (weight, bias) = weights(spec)?;
            let shape = (geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel);
            let weight = Tensor::from_vec(weight, shape, device).and_then(stored).map_err(Error::from)?;
            let bias = Tensor::from_vec(bias, geometry.out_channels, device)
                .and_then(stored)
                .map_err(Error::from)?;
            // An odd kernel's padding is the same before and after the picture.
            let config = Conv2dConfig {
                padding: geometry.padding(),
                stride: geometry.stride,
                ..Conv2dConfig::default()
            };
            convolutions.push(candle_nn::Conv2d::new(weight, Some(bias), config));
        }
        device.synchronize().map_err(Error::from)?;
        let (spent, graph, settings) = (spent(graph), graph.clone(), settings.clone());
        Ok(Self { graph, convolutions, spent, size, settings, running: Mutex::new(()) })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn run<T>(
        &self,
        batch: usize,
        fill: &mut dyn FnMut(usize, PictureMut<'_>),
        read: impl FnOnce(&dyn Outputs) -> T,
    ) -> Result<T> {
        let (height, width) = self.size;
        let mut pixels = vec![0.0; batch * height * width * 3];
        for (picture, values) in pixels.chunks_exact_mut(height * width * 3).enumerate() {
            fill(picture, PictureMut::new(values, 3 * width, self.size));
        }
        let values = self.alone(|| {
            let pictures = Tensor::from_vec(pixels, (batch, height, width, 3), &self.settings.device)?;
            let outputs = self.compute(&pictures.permute((0, 3, 1, 2))?)?;
            let value = |output: &Tensor| {
                let (_, channels, rows, columns) = output.dims4()?;
                Ok((output.flatten_all()?.to_vec1::<f32>()?, channels, (rows, columns)))
            };
            outputs.iter().map(value).collect()
        })?;
        Ok(read(&Values(values)))
    }

    pub(super) fn forward(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        self.alone(|| self.compute(pictures))
    }

    /// Runs something on the device to its end, and nothing beside it: on a GPU, each thread has a stream of its own, and
    /// what one of them has queued another does not wait for.
    fn alone<T>(&self, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let _running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let result = run();
        let ended = self.settings.device.synchronize();
        let value = result?;
        ended.map(|()| value)
    }

    fn compute(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        // What takes the place of values that are not needed any more, so that their memory serves later layers.
        let nothing = Tensor::zeros((), DType::F32, &Device::Cpu)?;
        let mut values: Vec<Tensor> = Vec::with_capacity(self.graph.nodes().len());
        for (node, spent) in self.graph.nodes().iter().zip(&self.spent) {
            values.push(self.layer(&node.op, pictures, &values)?);
            for &layer in spent {
                values[layer] = nothing.clone();
            }
        }
        let single = |output: &NodeId| values[output.index()].to_dtype(DType::F32);
        self.graph.outputs().iter().map(single).collect()
    }

    /// What a layer makes of the values of those before it.
    fn layer(&self, op: &Op, pictures: &Tensor, values: &[Tensor]) -> Result<Tensor> {
        let of = |node: &NodeId| &values[node.index()];
        match op {
            Op::Picture => pictures.to_dtype(self.settings.precision.dtype())?.contiguous(),
            Op::Conv { convolution, input, residual } => {
                let sums = self.convolutions[*convolution].forward(of(input))?;
                let activation = self.graph.convolutions()[*convolution].activation;
                match residual {
                    None => activate(sums, activation),
                    Some((other, Residual::BeforeActivation)) => activate((sums + of(other))?, activation),
                    Some((other, Residual::AfterActivation)) => activate(sums, activation)? + of(other),
                }
            }
            Op::MaxPool { input, window } => max_pool(of(input), *window),
            Op::Upsample { input } => {
                let (_, _, height, width) = of(input).dims4()?;
                of(input).upsample_nearest2d(2 * height, 2 * width)
            }
            Op::DepthToSpace { input } => depth_to_space(of(input)),
            Op::Concat { inputs } => Tensor::cat(&inputs.iter().map(of).collect::<Vec<_>>(), 1),
            Op::Attention { query, key, value, scale } => attention(of(query), of(key), of(value), *scale),
        }
    }
}

/// For each layer, the earlier ones that it is the last to read, and that are no outputs.
fn spent(graph: &Graph) -> Vec<Vec<usize>> {
    let mut last: Vec<usize> = (0..graph.nodes().len()).collect();
    for (layer, node) in graph.nodes().iter().enumerate() {
        for input in node.op.inputs() {
            last[input.index()] = layer;
        }
    }
    let mut spent = vec![Vec::new(); last.len()];
    for (layer, &reader) in last.iter().enumerate() {
        if !graph.outputs().iter().any(|output| output.index() == layer) {
            spent[reader].push(layer);
        }
    }
    spent
}

/// Outputs of a batch: values, channels, rows and columns.
struct Values(Vec<(Vec<f32>, usize, Size)>);

impl Outputs for Values {
    fn head(&self, picture: usize, output: usize) -> Head<'_> {
        let (values, channels, size) = &self.0[output];
        let length = channels * size.0 * size.1;
        Head::plain(&values[picture * length..][..length], *channels, *size)
    }
}

fn activate(values: Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Identity => Ok(values),
        Activation::Relu => values.relu(),
        // Slopes are in `0..=1`.
        Activation::LeakyRelu(slope) => (&values * f64::from(slope))?.maximum(&values),
        Activation::Silu => values.silu(),
    }
}

/// The largest values of windows; what lies outside of the picture is less than any value.
fn max_pool(values: &Tensor, window: Window) -> Result<Tensor> {
    let (batch, channels, height, width) = values.dims4()?;
    // As many pixels after the picture as the last window needs.
    let after = |length: usize| {
        ((length.div_ceil(window.stride) - 1) * window.stride + window.size)
            .saturating_sub(length + window.before)
    };
    let least = |height: usize, width: usize| {
        Tensor::full(f32::MIN, (batch, channels, height, width), values.device())?.to_dtype(values.dtype())
    };
    let (bottom, right) = (after(height), after(width));
    let wide = Tensor::cat(&[&least(height, window.before)?, values, &least(height, right)?], 3)?;
    let width = window.before + width + right;
    let padded = Tensor::cat(&[&least(window.before, width)?, &wide, &least(bottom, width)?], 2)?;
    padded.max_pool2d_with_stride(window.size, window.stride)
}

/// In single precision, whatever the layers are stored as: sums over all pixels are long.
fn attention(query: &Tensor, key: &Tensor, value: &Tensor, scale: f32) -> Result<Tensor> {
    let single = |values: &Tensor| values.flatten_from(2)?.to_dtype(DType::F32);
    let (query, key, pixels) = (single(query)?, single(key)?, single(value)?);
    let scores = (query.transpose(1, 2)?.contiguous()?.matmul(&key.contiguous()?)? * f64::from(scale))?;
    let shares = softmax(&scores, 2)?;
    let means = pixels.contiguous()?.matmul(&shares.transpose(1, 2)?.contiguous()?)?;
    means.reshape(value.shape())?.to_dtype(value.dtype())
}

fn depth_to_space(values: &Tensor) -> Result<Tensor> {
    let (batch, channels, height, width) = values.dims4()?;
    // Row and column within the 2x2 pixels go beside those of the cell.
    values.reshape(vec![batch, 2, 2, channels / 4, height, width])?.permute([0, 3, 4, 1, 5, 2])?.reshape((
        batch,
        channels / 4,
        2 * height,
        2 * width,
    ))
}
