//! Every way to compute a graph against the definition, on random graphs.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::cpu::{
    Settings,
    tests::{programs, programs_of_bytes, rounded_weights, rounding},
};
use super::*;
use crate::graph::{Activation, Geometry, NodeId, Norm, Op, Residual, Window};
use crate::testing::Random;

/// A value for each channel, row and column.
#[derive(Debug, Clone)]
struct Values {
    channels: usize,
    size: Size,
    values: Vec<f64>,
}

impl Values {
    fn new(channels: usize, size: Size, value: impl Fn(usize, usize, usize) -> f64) -> Self {
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

/// The definition of a graph, in `f64`: the values of its outputs.
fn reference(graph: &Graph, picture: &Values, weights: &[Weights]) -> Vec<Values> {
    outputs(graph, &layers(graph, picture, weights, &|_, value| value))
}

fn outputs(graph: &Graph, layers: &[Values]) -> Vec<Values> {
    graph.outputs().iter().map(|output| layers[output.index()].clone()).collect()
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

/// A random graph with all kinds of layers; the same for the same numbers. Its outputs may be any layers, which others may
/// read.
fn random_graph(random: &mut Random, layers: usize) -> Graph {
    let (mut graph, nodes) = random_layers(random, layers);
    for _ in 0..1 + below(random, 3) {
        graph.output(nodes[below(random, nodes.len())]);
    }
    graph.output(nodes[nodes.len() - 1]);
    graph
}

fn below(random: &mut Random, end: usize) -> usize {
    ((random.next() + 1.0) / 2.0 * end as f32) as usize % end
}

fn random_layers(random: &mut Random, layers: usize) -> (Graph, Vec<NodeId>) {
    let (mut graph, picture) = Graph::new();
    let conv = |graph: &mut Graph, random: &mut Random, input: NodeId, stride: usize| {
        let spec = ConvSpec {
            name: format!("conv{}", graph.convolutions().len()),
            geometry: Geometry {
                in_channels: 0,
                out_channels: 1 + below(random, 40),
                kernel: [1, 3, 3, 3, 5, 7][below(random, 6)],
                stride,
            },
            norm: Norm::Bias,
            activation: [
                Activation::Identity,
                Activation::Relu,
                Activation::LeakyRelu(0.1),
                Activation::Silu,
            ][below(random, 4)],
        };
        graph.conv(input, spec, None)
    };
    let stride = 1 + below(random, 2);
    let mut nodes = vec![(conv(&mut graph, random, picture, stride), stride - 1)];
    for _ in 0..layers {
        let (input, level) = nodes[below(random, nodes.len())];
        let same: Vec<NodeId> =
            nodes.iter().filter(|(_, other)| *other == level).map(|(node, _)| *node).collect();
        let next = match below(random, 10) {
            0 => {
                let size = 1 + below(random, 5);
                let window = Window { size, stride: 1, before: below(random, size) };
                (graph.max_pool(input, window), level)
            }
            1 if level > 0 => (graph.upsample(input), level - 1),
            2 if level > 0 => {
                let mut spec = graph.convolutions()[0].clone();
                spec.geometry =
                    Geometry { in_channels: 0, out_channels: 4 + 4 * below(random, 9), kernel: 1, stride: 1 };
                let wide = graph.conv(input, spec, None);
                (graph.depth_to_space(wide), level - 1)
            }
            3 => {
                let mut spec = graph.convolutions()[0].clone();
                spec.activation = Activation::Identity;
                spec.geometry =
                    Geometry { in_channels: 0, out_channels: 1 + below(random, 20), kernel: 1, stride: 1 };
                let query = graph.conv(input, spec.clone(), None);
                let key = graph.conv(same[below(random, same.len())], spec, None);
                let value = same[below(random, same.len())];
                (graph.attention(query, key, value, 0.3), level)
            }
            4 => {
                let count = 1 + below(random, 3);
                let inputs = (0..count).map(|_| same[below(random, same.len())]).collect();
                (graph.concat(inputs), level)
            }
            5 if level < 2 => (conv(&mut graph, random, input, 2), level + 1),
            6 | 7 => {
                let when = [Residual::BeforeActivation, Residual::AfterActivation][below(random, 2)];
                let mut spec = graph.convolutions()[0].clone();
                let kernel = [1, 3][below(random, 2)];
                spec.geometry =
                    Geometry { in_channels: 0, out_channels: graph.channels(input), kernel, stride: 1 };
                let from = same[below(random, same.len())];
                (graph.conv(from, spec, Some((input, when))), level)
            }
            _ => (conv(&mut graph, random, input, 1), level),
        };
        nodes.push(next);
    }
    (graph, nodes.into_iter().map(|(node, _)| node).collect())
}

/// Weights that keep the values' size through the layers.
fn random_weights(random: &mut Random, graph: &Graph) -> Vec<Weights> {
    let mut values = |count: usize, scale: f32| (0..count).map(|_| random.next() * scale).collect::<Vec<_>>();
    graph
        .convolutions()
        .iter()
        .map(|spec| {
            let spread = (3.0 / spec.geometry.depth() as f32).sqrt();
            (values(spec.geometry.weights(), spread), values(spec.geometry.out_channels, 0.5))
        })
        .collect()
}

fn picture(random: &mut Random, size: Size) -> Values {
    let values: Vec<f64> = (0..3 * size.0 * size.1).map(|_| f64::from(random.next().abs())).collect();
    Values { channels: 3, size, values }
}

fn tensor(pictures: &[Values]) -> Tensor {
    let size = pictures[0].size;
    let values: Vec<f32> =
        pictures.iter().flat_map(|picture| &picture.values).map(|value| *value as f32).collect();
    Tensor::from_vec(values, (pictures.len(), 3, size.0, size.1), &Device::Cpu).unwrap()
}

/// Fails unless the outputs are those of the definition to `1e-4` of the largest.
fn assert_same(what: &str, graph: &Graph, pictures: &[Values], weights: &[Weights], outputs: &[Tensor]) {
    assert_near(what, graph, pictures, weights, outputs, 1e-4);
}

/// Fails unless the outputs are those of the definition to a share of the largest.
fn assert_near(
    what: &str,
    graph: &Graph,
    pictures: &[Values],
    weights: &[Weights],
    outputs: &[Tensor],
    share: f64,
) {
    for (picture, values) in pictures.iter().enumerate() {
        for (output, expected) in outputs.iter().zip(reference(graph, values, weights)) {
            let found = output.get(picture).unwrap();
            assert_eq!(found.dims(), [expected.channels, expected.size.0, expected.size.1], "{what}");
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let largest = expected.values.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
            for (found, expected) in found.iter().zip(&expected.values) {
                let difference = (f64::from(*found) - expected).abs();
                assert!(difference <= share * largest, "{what}: {found} instead of {expected}, of {largest}");
            }
        }
    }
}

/// Least and largest values of the convolutions' outputs.
fn ranges(graph: &Graph, pictures: &[Values], weights: &[Weights]) -> Vec<[f32; 2]> {
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

/// Fails unless the outputs are those of the definition with values rounded to bytes. Where a value lies in the middle
/// between two bytes, it may become either, which later layers see: a step is 1/255 of a layer's range.
fn assert_same_bytes(
    what: &str,
    graph: &Graph,
    pictures: &[Values],
    weights: &[Weights],
    ranges: &[[f32; 2]],
    found: &[Tensor],
) {
    let (rounding, weights) = (rounding(graph, ranges), rounded_weights(graph, weights));
    for (picture, values) in pictures.iter().enumerate() {
        let expected = outputs(graph, &layers(graph, values, &weights, &rounding));
        for (output, expected) in found.iter().zip(expected) {
            let found = output.get(picture).unwrap();
            assert_eq!(found.dims(), [expected.channels, expected.size.0, expected.size.1], "{what}");
            let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let largest = expected.values.iter().fold(1e-3, |most: f64, value| most.max(value.abs()));
            let differences: Vec<f64> = found
                .iter()
                .zip(&expected.values)
                .map(|(found, expected)| (f64::from(*found) - expected).abs() / largest)
                .collect();
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let most = differences.iter().copied().fold(0.0, f64::max);
            assert!(mean <= 0.01 && most <= 0.1, "{what}: differences of {mean} and at most {most}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_engine_computes_what_a_graph_says(
        seed in any::<u64>(),
        layers in 0..9usize,
        quarters in (1..8usize, 1..8usize),
        batch in 1..=3usize,
        threads in 1..=3usize,
    ) {
        let mut random = Random(seed);
        let graph = random_graph(&mut random, layers);
        let weights = random_weights(&mut random, &graph);
        // Sizes that halve twice, so that layers meet.
        let size = (4 * quarters.0, 4 * quarters.1);
        let pictures: Vec<Values> = (0..batch).map(|_| picture(&mut random, size)).collect();
        for (name, program) in programs(&graph, size, threads, &weights) {
            let outputs = program.forward(&tensor(&pictures)).unwrap();
            assert_same(&name, &graph, &pictures, &weights, &outputs);
        }
        let mut next = weights.iter();
        let layers = Executor::new(&Engine::Candle(Device::Cpu), &graph, size, &mut |_| {
            Ok::<_, Error>(next.next().unwrap().clone())
        });
        let outputs = layers.unwrap().forward(&tensor(&pictures)).unwrap();
        assert_same("candle", &graph, &pictures, &weights, &outputs);
    }

    #[test]
    fn bytes_compute_what_a_graph_says(
        seed in any::<u64>(),
        layers in 0..9usize,
        quarters in (1..8usize, 1..8usize),
        batch in 1..=3usize,
        threads in 1..=3usize,
    ) {
        let mut random = Random(seed);
        let graph = random_graph(&mut random, layers);
        let weights = random_weights(&mut random, &graph);
        let size = (4 * quarters.0, 4 * quarters.1);
        let pictures: Vec<Values> = (0..batch).map(|_| picture(&mut random, size)).collect();
        let ranges = ranges(&graph, &pictures, &weights);
        for (name, program) in programs_of_bytes(&graph, size, threads, &weights, &ranges) {
            let outputs = program.forward(&tensor(&pictures)).unwrap();
            assert_same_bytes(&name, &graph, &pictures, &weights, &ranges, &outputs);
        }
    }

    #[test]
    fn a_single_convolution_of_any_size(
        seed in any::<u64>(),
        (in_channels, out_channels) in (1..70usize, 1..70usize),
        (kernel, stride) in (prop::sample::select(vec![1, 3, 5, 7]), 1..=2usize),
        size in (1..40usize, 1..40usize),
        threads in 1..=3usize,
    ) {
        let mut random = Random(seed);
        let (mut graph, start) = Graph::new();
        let spec = |out_channels, kernel, stride| ConvSpec {
            name: "conv".into(),
            geometry: Geometry { in_channels: 0, out_channels, kernel, stride },
            norm: Norm::Bias,
            activation: Activation::LeakyRelu(0.1),
        };
        let first = graph.conv(start, spec(in_channels, 1, 1), None);
        let second = graph.conv(first, spec(out_channels, kernel, stride), None);
        graph.output(second);
        let weights = random_weights(&mut random, &graph);
        let pictures = [picture(&mut random, size)];
        for (name, program) in programs(&graph, size, threads, &weights) {
            let outputs = program.forward(&tensor(&pictures)).unwrap();
            assert_same(&name, &graph, &pictures, &weights, &outputs);
        }
        let ranges = ranges(&graph, &pictures, &weights);
        for (name, program) in programs_of_bytes(&graph, size, threads, &weights, &ranges) {
            let outputs = program.forward(&tensor(&pictures)).unwrap();
            assert_same_bytes(&name, &graph, &pictures, &weights, &ranges, &outputs);
        }
    }
}

#[test]
fn a_run_does_not_depend_on_the_one_before() {
    let mut random = Random(7);
    let graph = random_graph(&mut random, 8);
    let weights = random_weights(&mut random, &graph);
    let size = (16, 24);
    let pictures: Vec<Values> = (0..4).map(|_| picture(&mut random, size)).collect();
    for (name, program) in programs(&graph, size, 2, &weights) {
        // Larger and smaller batches share the arena; what an earlier one left there must not be seen.
        for pictures in [&pictures[..1], &pictures[..], &pictures[2..3], &pictures[1..3]] {
            let outputs = program.forward(&tensor(pictures)).unwrap();
            assert_same(&name, &graph, pictures, &weights, &outputs);
        }
    }
    let ranges = ranges(&graph, &pictures, &weights);
    for (name, program) in programs_of_bytes(&graph, size, 2, &weights, &ranges) {
        for pictures in [&pictures[..1], &pictures[..], &pictures[2..3], &pictures[1..3]] {
            let outputs = program.forward(&tensor(pictures)).unwrap();
            assert_same_bytes(&name, &graph, pictures, &weights, &ranges, &outputs);
        }
    }
}

/// A convolution that has several places may read the picture in one, numbers in another and bytes of several ranges, at
/// several sizes.
#[test]
fn a_convolution_has_several_places() {
    let spec = |name: &str, out_channels| ConvSpec {
        name: name.into(),
        geometry: Geometry { in_channels: 0, out_channels, kernel: 3, stride: 1 },
        norm: Norm::Bias,
        activation: Activation::LeakyRelu(0.1),
    };
    let (mut graph, start) = Graph::new();
    let shared = graph.declare(start, spec("shared", 3));
    let first = graph.place(shared, start, None);
    let second = graph.place(shared, first, None);
    let widened = graph.conv(second, spec("wide", 3), None);
    let third = graph.place(shared, widened, None);
    let larger = graph.upsample(third);
    let fourth = graph.place(shared, larger, None);
    graph.output(first);
    graph.output(fourth);
    let mut random = Random(11);
    let mut weights = random_weights(&mut random, &graph);
    weights[1].0.iter_mut().for_each(|weight| *weight *= 20.0);
    let (size, pictures) = ((12, 20), [picture(&mut random, (12, 20))]);
    for (name, program) in programs(&graph, size, 2, &weights) {
        let outputs = program.forward(&tensor(&pictures)).unwrap();
        assert_same(&name, &graph, &pictures, &weights, &outputs);
    }
    let ranges = ranges(&graph, &pictures, &weights);
    for (name, program) in programs_of_bytes(&graph, size, 2, &weights, &ranges) {
        // The shared one's weights meet bytes in some of its places only, so that no rounded definition is the whole one.
        let outputs = program.forward(&tensor(&pictures)).unwrap();
        assert_near(&name, &graph, &pictures, &weights, &outputs, 0.1);
    }
}

/// Sums of bytes that might not fit into 32 bits are not computed.
#[test]
fn deep_convolutions_are_right() {
    let spec = |name: &str, out_channels, kernel| ConvSpec {
        name: name.into(),
        geometry: Geometry { in_channels: 0, out_channels, kernel, stride: 1 },
        norm: Norm::Bias,
        activation: Activation::Identity,
    };
    let (mut graph, start) = Graph::new();
    let first = graph.conv(start, spec("first", 8192, 1), None);
    let second = graph.conv(first, spec("second", 2, 3), None);
    graph.output(second);
    // All of one sign, so that they add up.
    let weights: Vec<Weights> = graph
        .convolutions()
        .iter()
        .map(|spec| (vec![0.01; spec.geometry.weights()], vec![0.0; spec.geometry.out_channels]))
        .collect();
    let pictures = [Values::new(3, (4, 4), |_, _, _| 1.0)];
    let ranges = ranges(&graph, &pictures, &weights);
    for (name, program) in programs_of_bytes(&graph, (4, 4), 1, &weights, &ranges) {
        let outputs = program.forward(&tensor(&pictures)).unwrap();
        assert_near(&name, &graph, &pictures, &weights, &outputs, 0.01);
    }
}

#[test]
fn what_the_kernels_cannot_do_is_said() {
    let spec = |kernel, stride| ConvSpec {
        name: "odd one".into(),
        geometry: Geometry { in_channels: 0, out_channels: 4, kernel, stride },
        norm: Norm::Bias,
        activation: Activation::Relu,
    };
    let problem = |graph: &Graph| {
        let mut weights = |spec: &ConvSpec| {
            Ok::<_, Error>((vec![0.0; spec.geometry.weights()], vec![0.0; spec.geometry.out_channels]))
        };
        Executor::new(&Engine::Cpu(Settings::default()), graph, (8, 8), &mut weights).unwrap_err().to_string()
    };
    let (mut graph, picture) = Graph::new();
    graph.conv(picture, spec(3, 3), None);
    assert_eq!(
        problem(&graph),
        "the convolution odd one has a kernel of 3 and a stride of 3; kernels are odd, strides 1 or 2"
    );
    let (mut graph, picture) = Graph::new();
    graph.upsample(picture);
    assert_eq!(problem(&graph), "layer 1 reads the picture itself, which only convolutions may");
    let (mut graph, picture) = Graph::new();
    let conv = graph.conv(picture, spec(3, 1), None);
    let half = graph.conv(picture, spec(3, 2), None);
    graph.concat(vec![conv, half]);
    assert_eq!(problem(&graph), "the layers 3 and 2 meet with 8x8 and 4x4 pixels");
}
