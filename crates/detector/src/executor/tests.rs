//! Every way to compute a graph against the definition, on random graphs.

use candle_core::{Device, Tensor};
use proptest::prelude::*;

use super::cpu::{
    Arithmetic, Settings,
    tests::{programs, programs_of},
};
use super::definition::{Definition, Values, ranges};
use super::*;
use crate::graph::{Activation, Geometry, NodeId, Norm, Residual, Window};
use crate::precision::Precision;
use crate::testing::Random;

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

pub(super) fn tensor(pictures: &[Values]) -> Tensor {
    let size = pictures[0].size;
    let values: Vec<f32> =
        pictures.iter().flat_map(|picture| &picture.values).map(|value| *value as f32).collect();
    Tensor::from_vec(values, (pictures.len(), 3, size.0, size.1), &Device::Cpu).unwrap()
}

/// A graph made ready to run.
pub(super) fn made_ready(engine: &Engine, graph: &Graph, size: Size, weights: &[Weights]) -> Executor {
    let mut next = weights.iter();
    let mut weights = |_: &ConvSpec| Ok::<_, Error>(next.next().unwrap().clone());
    Executor::new(engine, graph, size, &mut weights).unwrap()
}

/// A random graph with its weights, and pictures for it.
pub(super) struct Case {
    pub(super) graph: Graph,
    pub(super) weights: Vec<Weights>,
    pub(super) size: Size,
    pub(super) pictures: Vec<Values>,
}

impl Case {
    /// The same for the same numbers. Sides are given in quarters, so that they halve twice and layers meet.
    pub(super) fn random(seed: u64, layers: usize, quarters: Size, batch: usize) -> Self {
        let mut random = Random(seed);
        let graph = random_graph(&mut random, layers);
        let weights = random_weights(&mut random, &graph);
        let size = (4 * quarters.0, 4 * quarters.1);
        let pictures = (0..batch).map(|_| picture(&mut random, size)).collect();
        Self { graph, weights, size, pictures }
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
        let Case { graph, weights, size, pictures } = Case::random(seed, layers, quarters, batch);
        let definition = Definition::of(&graph, &pictures, &weights);
        for (name, program) in programs(&graph, size, threads, &weights) {
            definition.assert_same(&name, &program.forward(&tensor(&pictures)).unwrap());
        }
        // A half has eleven bits, and candle rounds more often than once a layer.
        for (precision, share) in [(Precision::F32, 1e-4), (Precision::F16, 2e-2)] {
            let engine = Engine::Candle(candle::Settings::on_processor(precision));
            let layers = made_ready(&engine, &graph, size, &weights);
            definition.assert_near("candle", &layers.forward(&tensor(&pictures)).unwrap(), share);
        }
    }

    #[test]
    fn bytes_and_halves_compute_what_a_graph_says(
        seed in any::<u64>(),
        layers in 0..9usize,
        quarters in (1..8usize, 1..8usize),
        batch in 1..=3usize,
        threads in 1..=3usize,
    ) {
        let Case { graph, weights, size, pictures } = Case::random(seed, layers, quarters, batch);
        let bytes = Arithmetic::Bytes(ranges(&graph, &pictures, &weights));
        for arithmetic in [bytes, Arithmetic::Halves] {
            let definition = Definition::rounded(&graph, &pictures, &weights, &arithmetic);
            for (name, program) in programs_of(&arithmetic, None, &graph, size, threads, &weights) {
                definition.assert_same_steps(&name, &program.forward(&tensor(&pictures)).unwrap());
            }
        }
    }

    #[test]
    fn winograds_way_with_halves_and_bytes_comes_near(
        seed in any::<u64>(),
        layers in 0..9usize,
        quarters in (1..8usize, 1..8usize),
        batch in 1..=3usize,
        threads in 1..=3usize,
        tile in 2..=4usize,
    ) {
        let Case { graph, weights, size, pictures } = Case::random(seed, layers, quarters, batch);
        let definition = Definition::of(&graph, &pictures, &weights);
        for arithmetic in [Arithmetic::Bytes(ranges(&graph, &pictures, &weights)), Arithmetic::Halves] {
            for (name, program) in programs_of(&arithmetic, Some(tile), &graph, size, threads, &weights) {
                definition.assert_near(&name, &program.forward(&tensor(&pictures)).unwrap(), 0.2);
            }
        }
    }

    /// Products and sums of these are exact with halves and bytes, and so are those at the points of the smallest tile.
    #[test]
    fn small_whole_numbers_are_exact(
        seed in any::<u64>(),
        (in_channels, out_channels) in (1..150usize, 1..70usize),
        (kernel, stride) in (prop::sample::select(vec![1, 3, 3, 5]), 1..=2usize),
        size in (1..40usize, 1..40usize),
        threads in 1..=3usize,
    ) {
        let mut random = Random(seed);
        let (mut graph, start) = Graph::new();
        let spec = |name: &str, out_channels, kernel, stride| ConvSpec {
            name: name.into(),
            geometry: Geometry { in_channels: 0, out_channels, kernel, stride },
            norm: Norm::Bias,
            activation: Activation::Identity,
        };
        let first = graph.conv(start, spec("first", in_channels, 1, 1), None);
        let second = graph.conv(first, spec("second", out_channels, kernel, stride), None);
        graph.output(second);
        let mut weights = random_weights(&mut random, &graph);
        for (weights, bias) in &mut weights {
            weights.iter_mut().chain(bias).for_each(|value| *value = below(&mut random, 3) as f32 - 1.0);
        }
        let mut picture = picture(&mut random, size);
        picture.values.iter_mut().for_each(|value| *value = value.round());
        let pictures = [picture];
        let definition = Definition::of(&graph, &pictures, &weights);
        // A byte is a whole number, and 100 stands for 0.
        let bytes = Arithmetic::Bytes(vec![[-100.0, 155.0]; 2]);
        for arithmetic in [bytes, Arithmetic::Halves] {
            for tile in [None, Some(2)] {
                for (name, program) in programs_of(&arithmetic, tile, &graph, size, threads, &weights) {
                    definition.assert_near(&name, &program.forward(&tensor(&pictures)).unwrap(), 1e-5);
                }
            }
        }
    }

    #[test]
    fn a_single_convolution_of_any_size(
        seed in any::<u64>(),
        (in_channels, out_channels) in (1..150usize, 1..70usize),
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
        let definition = Definition::of(&graph, &pictures, &weights);
        for (name, program) in programs(&graph, size, threads, &weights) {
            definition.assert_same(&name, &program.forward(&tensor(&pictures)).unwrap());
        }
        let bytes = Arithmetic::Bytes(ranges(&graph, &pictures, &weights));
        for arithmetic in [bytes, Arithmetic::Halves] {
            let definition = Definition::rounded(&graph, &pictures, &weights, &arithmetic);
            for (name, program) in programs_of(&arithmetic, None, &graph, size, threads, &weights) {
                definition.assert_same_steps(&name, &program.forward(&tensor(&pictures)).unwrap());
            }
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
    // Larger and smaller batches share the arena; what an earlier one left there must not be seen.
    let batches = [&pictures[..1], &pictures[..], &pictures[2..3], &pictures[1..3]];
    let definitions = batches.map(|pictures| Definition::of(&graph, pictures, &weights));
    for (name, program) in programs(&graph, size, 2, &weights) {
        for (pictures, definition) in batches.iter().zip(&definitions) {
            definition.assert_same(&name, &program.forward(&tensor(pictures)).unwrap());
        }
    }
    let bytes = Arithmetic::Bytes(ranges(&graph, &pictures, &weights));
    for arithmetic in [bytes, Arithmetic::Halves] {
        let definitions =
            batches.map(|pictures| Definition::rounded(&graph, pictures, &weights, &arithmetic));
        for (name, program) in programs_of(&arithmetic, None, &graph, size, 2, &weights) {
            for (pictures, definition) in batches.iter().zip(&definitions) {
                definition.assert_same_steps(&name, &program.forward(&tensor(pictures)).unwrap());
            }
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
    let definition = Definition::of(&graph, &pictures, &weights);
    for (name, program) in programs(&graph, size, 2, &weights) {
        definition.assert_same(&name, &program.forward(&tensor(&pictures)).unwrap());
    }
    let bytes = Arithmetic::Bytes(ranges(&graph, &pictures, &weights));
    for (name, program) in programs_of(&bytes, None, &graph, size, 2, &weights) {
        // The shared one's weights meet bytes in some of its places only, so that no rounded definition is the whole one.
        definition.assert_near(&name, &program.forward(&tensor(&pictures)).unwrap(), 0.1);
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
    let bytes = Arithmetic::Bytes(ranges(&graph, &pictures, &weights));
    let definition = Definition::of(&graph, &pictures, &weights);
    for (name, program) in programs_of(&bytes, None, &graph, (4, 4), 1, &weights) {
        definition.assert_near(&name, &program.forward(&tensor(&pictures)).unwrap(), 0.01);
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
