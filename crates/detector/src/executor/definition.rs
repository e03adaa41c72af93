//! What a graph says, computed by the definition of its layers.

use candle_core::Tensor;

use super::Weights;
use super::cpu::Arithmetic;
use super::cpu::tests::{rounded_weights, rounding};
use crate::graph::{Activation, Geometry, Graph, NodeId, Op, Residual, Size};

/// The outputs of a graph for some pictures.
#[derive(Debug)]
pub(super) struct Definition {
    /// Of each picture.
    outputs: Vec<Vec<Values>>,
}

impl Definition {
    pub(super) fn of(graph: &Graph, pictures: &[Values], weights: &[Weights]) -> Self {
        Self::with(graph, pictures, weights, &|_, value| value)
    }

    /// With weights and layers rounded as they are stored.
    pub(super) fn rounded(
        graph: &Graph,
        pictures: &[Values],
        weights: &[Weights],
        arithmetic: &Arithmetic,
    ) -> Self {
        let weights = rounded_weights(graph, arithmetic, weights);
        Self::with(graph, pictures, &weights, &rounding(graph, arithmetic))
    }

    fn with(
        graph: &Graph,
        pictures: &[Values],
        weights: &[Weights],
        rounded: &dyn Fn(usize, f64) -> f64,
    ) -> Self {
        let of = |picture: &Values| {
            let layers = layers(graph, picture, weights, rounded);
            graph.outputs().iter().map(|output| layers[output.index()].clone()).collect()
        };
        Self { outputs: pictures.iter().map(of).collect() }
    }

    /// The differences of what was found from each picture's outputs, in shares of an output's largest value.
    fn differences(&self, what: &str, found: &[Tensor]) -> Vec<Vec<f64>> {
        let mut all = Vec::new();
        for (picture, outputs) in self.outputs.iter().enumerate() {
            for (found, expected) in found.iter().zip(outputs) {
                let found = found.get(picture).unwrap();
                assert_eq!(found.dims(), [expected.channels, expected.size.0, expected.size.1], "{what}");
                let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let largest = expected.values.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
                let difference =
                    |(found, expected): (&f32, &f64)| (f64::from(*found) - expected).abs() / largest;
                all.push(found.iter().zip(&expected.values).map(difference).collect());
            }
        }
        all
    }

    /// Fails unless the outputs are the definition's to `1e-4` of the largest.
    pub(super) fn assert_same(&self, what: &str, found: &[Tensor]) {
        self.assert_near(what, found, 1e-4);
    }

    /// Fails unless the outputs are the definition's to a share of the largest.
    pub(super) fn assert_near(&self, what: &str, found: &[Tensor], share: f64) {
        for differences in self.differences(what, found) {
            let most = most(&differences);
            assert!(most <= share, "{what}: differs by {most} of the largest");
        }
    }

    /// Fails unless the outputs are the definition's, rounded as values are stored. Where a value lies in the middle between
    /// two that can be stored, it may become either, which later layers see: of bytes a step is 1/255 of a layer's range, of
    /// halves 1/256 of a value.
    pub(super) fn assert_same_steps(&self, what: &str, found: &[Tensor]) {
        for differences in self.differences(what, found) {
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let most = most(&differences);
            assert!(mean <= 0.01 && most <= 0.1, "{what}: differences of {mean} and at most {most}");
        }
    }
}

/// The largest; not a number if one is none.
fn most(differences: &[f64]) -> f64 {
    differences.iter().fold(0.0, |most, &difference| if difference <= most { most } else { difference })
}

/// A value for each channel, row and column.
#[derive(Debug, Clone)]
pub(super) struct Values {
    pub(super) channels: usize,
    pub(super) size: Size,
    pub(super) values: Vec<f64>,
}

impl Values {
    pub(super) fn new(channels: usize, size: Size, value: impl Fn(usize, usize, usize) -> f64) -> Self {
        let mut values = Vec::with_capacity(channels * size.0 * size.1);
        for channel in 0..channels {
            for y in 0..size.0 {
                values.extend((0..size.1).map(|x| value(channel, y, x)));
            }
        }
        Self { channels, size, values }
    }

    fn get(&self, channel: usize, y: usize, x: usize) -> f64 {
        self.values[(channel * self.size.0 + y) * self.size.1 + x]
    }

    /// Zero outside.
    fn padded(&self, channel: usize, y: isize, x: isize) -> f64 {
        match (usize::try_from(y), usize::try_from(x)) {
            (Ok(y), Ok(x)) if y < self.size.0 && x < self.size.1 => self.get(channel, y, x),
            _ => 0.0,
        }
    }
}

fn activate(value: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Identity => value,
        Activation::Relu => value.max(0.0),
        Activation::LeakyRelu(slope) => value.max(f64::from(slope) * value),
        Activation::Silu => value / (1.0 + (-value).exp()),
    }
}

/// The definition of a graph, in `f64`: the values of all layers, each rounded as soon as it is known.
fn layers(
    graph: &Graph,
    picture: &Values,
    weights: &[Weights],
    rounded: &dyn Fn(usize, f64) -> f64,
) -> Vec<Values> {
    let sizes = graph.sizes(picture.size).unwrap();
    let mut values: Vec<Values> = Vec::new();
    for (index, node) in graph.nodes().iter().enumerate() {
        let of = |node: &NodeId| &values[node.index()];
        let (channels, size) = (node.channels, sizes[index]);
        let value = match &node.op {
            Op::Picture => picture.clone(),
            Op::Conv { convolution, input, residual } => {
                let spec = &graph.convolutions()[*convolution];
                let Geometry { in_channels, kernel, stride, .. } = spec.geometry;
                let (weight, bias) = &weights[*convolution];
                let input = of(input);
                Values::new(channels, size, |channel, y, x| {
                    let mut sum = f64::from(bias[channel]);
                    for c in 0..in_channels {
                        for i in 0..kernel {
                            for j in 0..kernel {
                                let at = |output: usize, tap: usize| {
                                    (output * stride + tap) as isize - spec.geometry.padding() as isize
                                };
                                let weight = weight[((channel * in_channels + c) * kernel + i) * kernel + j];
                                sum += f64::from(weight) * input.padded(c, at(y, i), at(x, j));
                            }
                        }
                    }
                    match residual {
                        None => activate(sum, spec.activation),
                        Some((other, Residual::BeforeActivation)) => {
                            activate(sum + of(other).get(channel, y, x), spec.activation)
                        }
                        Some((other, Residual::AfterActivation)) => {
                            activate(sum, spec.activation) + of(other).get(channel, y, x)
                        }
                    }
                })
            }
            Op::MaxPool { input, window } => {
                let input = of(input);
                Values::new(channels, size, |channel, y, x| {
                    let range = |output: usize, length: usize| {
                        let start = (output * window.stride) as isize - window.before as isize;
                        (start.max(0) as usize)..((start + window.size as isize) as usize).min(length)
                    };
                    let mut most = f64::NEG_INFINITY;
                    for y in range(y, input.size.0) {
                        for x in range(x, input.size.1) {
                            most = most.max(input.get(channel, y, x));
                        }
                    }
                    most
                })
            }
            Op::Upsample { input } => {
                Values::new(channels, size, |channel, y, x| of(input).get(channel, y / 2, x / 2))
            }
            Op::DepthToSpace { input } => Values::new(channels, size, |channel, y, x| {
                of(input).get((y % 2 * 2 + x % 2) * channels + channel, y / 2, x / 2)
            }),
            Op::Concat { inputs } => {
                let values = inputs.iter().flat_map(|input| of(input).values.clone()).collect();
                Values { channels, size, values }
            }
            Op::Attention { query, key, value, scale } => {
                let (query, key, value) = (of(query), of(key), of(value));
                let pixels: Vec<Size> = (0..size.0).flat_map(|y| (0..size.1).map(move |x| (y, x))).collect();
                let shares: Vec<Vec<f64>> = pixels
                    .iter()
                    .map(|&(y, x)| {
                        let score = |&(j, i): &Size| {
                            let product = |c| query.get(c, y, x) * key.get(c, j, i);
                            (0..query.channels).map(product).sum::<f64>() * f64::from(*scale)
                        };
                        let exponentials: Vec<f64> = pixels.iter().map(|at| score(at).exp()).collect();
                        let all: f64 = exponentials.iter().sum();
                        exponentials.iter().map(|value| value / all).collect()
                    })
                    .collect();
                Values::new(channels, size, |channel, y, x| {
                    let of_pixel = |(&(j, i), share): (&Size, &f64)| share * value.get(channel, j, i);
                    pixels.iter().zip(&shares[y * size.1 + x]).map(of_pixel).sum()
                })
            }
        };
        let rounded = value.values.iter().map(|value| rounded(index, *value)).collect();
        values.push(Values { values: rounded, ..value });
    }
    values
}

/// Least and largest values of the convolutions' outputs.
pub(super) fn ranges(graph: &Graph, pictures: &[Values], weights: &[Weights]) -> Vec<[f32; 2]> {
    let mut ranges = vec![[0.0f32; 2]; graph.convolutions().len()];
    for picture in pictures {
        let layers = layers(graph, picture, weights, &|_, value| value);
        for (node, Values { values, .. }) in graph.nodes().iter().zip(&layers) {
            if let Op::Conv { convolution, .. } = node.op {
                ranges[convolution] = values.iter().fold(ranges[convolution], |[least, most], value| {
                    [least.min(*value as f32), most.max(*value as f32)]
                });
            }
        }
    }
    ranges
}
