//! A network by candle's own operations, on any device that candle knows.

use candle_core::{Device, Result, Tensor};
use candle_nn::ops::{leaky_relu, softmax};
use candle_nn::{Conv2dConfig, Module};

use super::{Error, Head, Outputs, PictureMut, Weights};
use crate::graph::{Activation, ConvSpec, Graph, Op, Residual, Size, Window};

/// A graph with its weights on a device.
#[derive(Debug)]
pub(crate) struct Layers {
    graph: Graph,
    convolutions: Vec<candle_nn::Conv2d>,
    /// Height and width of the pictures.
    size: Size,
    device: Device,
}

impl Layers {
    pub(super) fn new<E: From<Error>>(
        graph: &Graph,
        size: Size,
        device: &Device,
        weights: &mut dyn FnMut(&ConvSpec) -> std::result::Result<Weights, E>,
    ) -> std::result::Result<Self, E> {
        let mut convolutions = Vec::with_capacity(graph.convolutions().len());
        for spec in graph.convolutions() {
            let geometry = spec.geometry;
            let (weight, bias) = weights(spec)?;
            let shape = (geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel);
            let weight = Tensor::from_vec(weight, shape, device).map_err(Error::from)?;
            let bias = Tensor::from_vec(bias, geometry.out_channels, device).map_err(Error::from)?;
            // An odd kernel's padding is the same before and after the picture.
            let config = Conv2dConfig {
                padding: geometry.padding(),
                stride: geometry.stride,
                ..Conv2dConfig::default()
            };
            convolutions.push(candle_nn::Conv2d::new(weight, Some(bias), config));
        }
        Ok(Self { graph: graph.clone(), convolutions, size, device: device.clone() })
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
        let pictures = Tensor::from_vec(pixels, (batch, height, width, 3), &self.device)?;
        let outputs = self.forward(&pictures.permute((0, 3, 1, 2))?.contiguous()?)?;
        let mut values = Vec::with_capacity(outputs.len());
        for output in &outputs {
            let (_, channels, rows, columns) = output.dims4()?;
            values.push((output.flatten_all()?.to_vec1::<f32>()?, channels, (rows, columns)));
        }
        Ok(read(&Values(values)))
    }

    pub(super) fn forward(&self, pictures: &Tensor) -> Result<Vec<Tensor>> {
        let mut values: Vec<Tensor> = Vec::with_capacity(self.graph.nodes().len());
        for node in self.graph.nodes() {
            let value = match &node.op {
                Op::Picture => pictures.clone(),
                Op::Conv { convolution, input, residual } => {
                    let sums = self.convolutions[*convolution].forward(&values[input.index()])?;
                    let activation = self.graph.convolutions()[*convolution].activation;
                    match residual {
                        None => activate(sums, activation)?,
                        Some((other, Residual::BeforeActivation)) => {
                            activate((sums + &values[other.index()])?, activation)?
                        }
                        Some((other, Residual::AfterActivation)) => {
                            (activate(sums, activation)? + &values[other.index()])?
                        }
                    }
                }
                Op::MaxPool { input, window } => max_pool(&values[input.index()], *window)?,
                Op::Upsample { input } => {
                    let (_, _, height, width) = values[input.index()].dims4()?;
                    values[input.index()].upsample_nearest2d(2 * height, 2 * width)?
                }
                Op::DepthToSpace { input } => depth_to_space(&values[input.index()])?,
                Op::Concat { inputs } => {
                    let inputs: Vec<&Tensor> = inputs.iter().map(|input| &values[input.index()]).collect();
                    Tensor::cat(&inputs, 1)?
                }
                Op::Attention { query, key, value, scale } => {
                    let [query, key, value] = [query, key, value].map(|node| &values[node.index()]);
                    attention(query, key, value, *scale)?
                }
            };
            values.push(value);
        }
        Ok(self.graph.outputs().iter().map(|output| values[output.index()].clone()).collect())
    }
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
        Activation::LeakyRelu(slope) => leaky_relu(&values, f64::from(slope)),
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
        Tensor::full(f32::MIN, (batch, channels, height, width), values.device())
    };
    let (bottom, right) = (after(height), after(width));
    let wide = Tensor::cat(&[&least(height, window.before)?, values, &least(height, right)?], 3)?;
    let width = window.before + width + right;
    let padded = Tensor::cat(&[&least(window.before, width)?, &wide, &least(bottom, width)?], 2)?;
    padded.max_pool2d_with_stride(window.size, window.stride)
}

fn attention(query: &Tensor, key: &Tensor, value: &Tensor, scale: f32) -> Result<Tensor> {
    let (query, key, pixels) = (query.flatten_from(2)?, key.flatten_from(2)?, value.flatten_from(2)?);
    let scores = (query.transpose(1, 2)?.contiguous()?.matmul(&key.contiguous()?)? * f64::from(scale))?;
    let shares = softmax(&scores, 2)?;
    pixels.contiguous()?.matmul(&shares.transpose(1, 2)?.contiguous()?)?.reshape(value.shape())
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
