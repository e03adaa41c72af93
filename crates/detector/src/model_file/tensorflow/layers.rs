//! The layers of a network, found in a graph from their outputs backwards.

use std::collections::HashMap;

use safetensors::Dtype;

use super::Departure;
use super::constant::constant;
use super::graph::{Graph, Id};
use crate::graph::Norm;
use crate::model_file::protobuf::Constant;
use crate::model_file::tensor::{Order, Tensor};
use crate::network::Backbone;

/// Most values of a small constant: paddings, slopes.
const SMALL: usize = 16;
/// Most output channels of a transposed convolution.
const MAX_BIASES: usize = 4096;

/// Collects the layers of a network on one backbone.
#[derive(Debug)]
pub(super) struct Layers<'g, 'a> {
    pub(super) graph: &'g Graph<'a>,
    pub(super) backbone: Backbone,
    /// Tensors by the names of the native form.
    pub(super) tensors: HashMap<String, Tensor<'a>>,
    /// The slope of the leaky activations met so far.
    pub(super) slope: Option<f32>,
}

/// A convolution as the network has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'n> {
    pub(super) name: &'n str,
    /// Height and width of the kernel.
    pub(super) kernel: usize,
    pub(super) stride: i64,
    pub(super) norm: Norm,
}

impl<'g, 'a> Layers<'g, 'a> {
    pub(super) fn new(graph: &'g Graph<'a>, backbone: Backbone) -> Self {
        Self { graph, backbone, tensors: HashMap::new(), slope: None }
    }

    /// A convolution with batch norm and activation that ends at `id`; returns what goes in.
    pub(super) fn activated(
        &mut self,
        id: Id,
        name: &str,
        (kernel, stride): (usize, i64),
    ) -> Result<Id, Departure> {
        let id = self.before_activation(id, name)?;
        self.convolution(id, Expected { name, kernel, stride, norm: Norm::Batch })
    }

    /// What the network's activation at `id` is applied to.
    pub(super) fn before_activation(&mut self, id: Id, place: &str) -> Result<Id, Departure> {
        match (self.backbone, self.graph.op(id)) {
            (Backbone::Resnet18, "Relu") => self.graph.source(id, 0, place),
            (Backbone::Darknet53, "LeakyRelu") => {
                // The operation's own default.
                let slope = self.graph.float(id, "alpha").unwrap_or(0.2);
                self.same_slope(id, slope, place)?;
                self.graph.source(id, 0, place)
            }
            // How TensorFlow before 1.13 wrote a leaky activation: the larger of a product and its factor.
            (Backbone::Darknet53, "Maximum") => {
                let sides = [self.graph.source(id, 0, place)?, self.graph.source(id, 1, place)?];
                for (product, value) in [(sides[0], sides[1]), (sides[1], sides[0])] {
                    if self.graph.op(product) != "Mul" {
                        continue;
                    }
                    for (factor, other) in [(0, 1), (1, 0)] {
                        let slope = constant(self.graph, product, factor, place)
                            .ok()
                            .and_then(|found| found.number());
                        let same = self.graph.source(product, other, place)? == value;
                        if let (Some(slope), true) = (slope, same) {
                            self.same_slope(id, slope as f32, place)?;
                            return Ok(value);
                        }
                    }
                }
                Err(self.departure(id, place, "a leaky activation"))
            }
            (Backbone::Resnet18, _) => Err(self.departure(id, place, "Relu")),
            (Backbone::Darknet53, _) => Err(self.departure(id, place, "LeakyRelu")),
        }
    }

    /// Every leaky activation has one slope.
    fn same_slope(&mut self, id: Id, slope: f32, place: &str) -> Result<(), Departure> {
        match self.slope.replace(slope) {
            Some(before) if before != slope => {
                let found = format!("{} with a slope of {slope}", self.graph.describe(id));
                Err(Departure {
                    place: place.into(),
                    found,
                    expected: format!("the slope of the others, {before}"),
                })
            }
            _ => Ok(()),
        }
    }

    /// A convolution, with what follows it, that ends at `id`; returns what goes in.
    pub(super) fn convolution(&mut self, id: Id, layer: Expected<'_>) -> Result<Id, Departure> {
        let place = layer.name;
        let conv = match (layer.norm, self.graph.op(id)) {
            (Norm::Batch, "FusedBatchNorm" | "FusedBatchNormV2" | "FusedBatchNormV3") => {
                self.batch_norm(id, place)?
            }
            // A batch norm may have been folded into a bias.
            (Norm::Batch | Norm::Bias | Norm::None, "BiasAdd") => self.bias(id, place, 1)?,
            (Norm::None, _) => id,
            (Norm::Batch, _) => return Err(self.departure(id, place, "FusedBatchNorm or BiasAdd")),
            (Norm::Bias, _) => return Err(self.departure(id, place, "BiasAdd")),
        };
        if self.graph.op(conv) != "Conv2D" {
            return Err(self.departure(conv, place, "Conv2D"));
        }
        let kernel = constant(self.graph, conv, 1, place)?;
        let shape = match kernel.shape[..] {
            [rows, columns, input, output] if rows == layer.kernel && columns == layer.kernel => {
                vec![output, input, rows, columns]
            }
            _ => {
                let expected = format!("a kernel of {0}x{0}", layer.kernel);
                return Err(self.shape_departure(conv, place, &kernel, expected));
            }
        };
        self.check_steps(conv, layer)?;
        self.insert(conv, place, "weight", kernel, shape, Order::OutLast)?;
        self.unpadded(conv, layer)
    }

    /// The convolution that a batch norm at `id` follows.
    fn batch_norm(&mut self, id: Id, place: &str) -> Result<Id, Departure> {
        if self.graph.flag(id, "is_training").unwrap_or(true) {
            let expected = "one that uses the moving averages (is_training false)";
            return Err(self.departure(id, place, expected));
        }
        self.check_layout(id, place)?;
        for (input, suffix) in [(1, "bn.gamma"), (2, "bn.beta"), (3, "bn.mean"), (4, "bn.variance")] {
            let vector = constant(self.graph, id, input, place)?;
            let shape = vector.shape.clone();
            self.insert(id, place, suffix, vector, shape, Order::Shape)?;
        }
        // The operation's own default.
        let epsilon = self.graph.float(id, "epsilon").unwrap_or(1e-4);
        self.tensors.insert(format!("{place}.bn.epsilon"), Tensor::number(epsilon));
        self.graph.source(id, 0, place)
    }

    /// What a bias at `id` is added to; the native form has it `times` over.
    pub(super) fn bias(&mut self, id: Id, place: &str, times: usize) -> Result<Id, Departure> {
        self.check_layout(id, place)?;
        let vector = constant(self.graph, id, 1, place)?;
        let shape = vector.shape.clone();
        if times == 1 {
            self.insert(id, place, "bias", vector, shape, Order::Shape)?;
        } else {
            let Some(values) = vector.numbers(MAX_BIASES) else {
                return Err(self.shape_departure(id, place, &vector, "a vector of biases".into()));
            };
            let once = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect::<Vec<u8>>();
            let tensor = Tensor::new(vec![times * values.len()], Dtype::F32, once.repeat(times));
            self.tensors.insert(format!("{place}.bias"), tensor);
        }
        self.graph.source(id, 0, place)
    }

    /// A transposed 2x2 convolution of stride 2 with a bias that ends at `id`, as the 1x1 convolution that makes
    /// the four pixels as channels; returns what goes in.
    pub(super) fn transposed(&mut self, id: Id, place: &str) -> Result<Id, Departure> {
        let conv = if self.graph.op(id) == "BiasAdd" { self.bias(id, place, 4)? } else { id };
        if self.graph.op(conv) != "Conv2DBackpropInput" {
            return Err(self.departure(conv, place, "ResizeNearestNeighbor or Conv2DBackpropInput"));
        }
        self.check_layout(conv, place)?;
        let kernel = constant(self.graph, conv, 1, place)?;
        let shape = match kernel.shape[..] {
            // Row, column, out, in: already in the order of the 1x1 convolution's outputs.
            [2, 2, output, input] if output <= MAX_BIASES => vec![4 * output, input, 1, 1],
            _ => return Err(self.shape_departure(conv, place, &kernel, "a kernel of 2x2".into())),
        };
        if !self.graph.has_sides(conv, "strides", 2) {
            return Err(self.departure(conv, place, "a stride of 2"));
        }
        if conv == id {
            let zeros = vec![0; 4 * shape[0]];
            self.tensors.insert(format!("{place}.bias"), Tensor::new(vec![shape[0]], Dtype::F32, zeros));
        }
        self.insert(conv, place, "weight", kernel, shape, Order::Shape)?;
        self.graph.source(conv, 2, place)
    }

    /// Checks stride, dilation and layout of a convolution.
    fn check_steps(&self, conv: Id, Expected { name, stride, .. }: Expected<'_>) -> Result<(), Departure> {
        self.check_layout(conv, name)?;
        if !self.graph.has_sides(conv, "strides", stride) {
            return Err(self.departure(conv, name, &format!("a stride of {stride}")));
        }
        match self.graph.integers(conv, "dilations") {
            Some(dilations) if dilations.iter().any(|&dilation| dilation != 1) => {
                Err(self.departure(conv, name, "no dilation"))
            }
            _ => Ok(()),
        }
    }

    /// Output channels of a convolution that has been collected.
    pub(super) fn channels(&self, name: &str) -> usize {
        self.tensors.get(&format!("{name}.weight")).map_or(0, |weight| weight.shape[0])
    }

    pub(super) fn check_layout(&self, id: Id, place: &str) -> Result<(), Departure> {
        match self.graph.text(id, "data_format") {
            None | Some("NHWC") => Ok(()),
            Some(_) => Err(self.departure(id, place, "the layout NHWC")),
        }
    }

    /// What goes into a convolution, before its explicit padding.
    fn unpadded(&self, conv: Id, layer: Expected<'_>) -> Result<Id, Departure> {
        let place = layer.name;
        let input = self.graph.source(conv, 0, place)?;
        let padding = self.graph.text(conv, "padding").unwrap_or_default();
        let before = (layer.kernel - 1) / 2;
        let after = layer.kernel - 1 - before;
        match (padding, layer.stride) {
            ("SAME", 1) => Ok(input),
            // A kernel of one pixel of an even axis is not padded.
            ("SAME" | "VALID", _) if layer.kernel == 1 && self.graph.op(input) != "Pad" => Ok(input),
            ("VALID", _) if self.graph.op(input) == "Pad" => {
                let found = constant(self.graph, input, 1, place)?.numbers(SMALL);
                let (before, after) = (before as f64, after as f64);
                let expected = [0.0, 0.0, before, after, before, after, 0.0, 0.0];
                if found.as_ref().is_some_and(|found| *found == expected) {
                    self.graph.source(input, 0, place)
                } else {
                    let expected = format!("{before} pixels before and {after} after each axis");
                    Err(Departure {
                        place: place.into(),
                        found: format!("{} by {found:?}", self.graph.describe(input)),
                        expected,
                    })
                }
            }
            _ => {
                let found = format!("{} padded {padding:?}", self.graph.describe(conv));
                let expected = if layer.stride == 1 {
                    "the padding SAME".into()
                } else {
                    format!("a Pad of {before} pixels before and {after} after each axis, then VALID")
                };
                Err(Departure { place: place.into(), found, expected })
            }
        }
    }

    /// Takes a constant as a tensor, if it holds weights.
    fn insert(
        &mut self,
        id: Id,
        place: &str,
        suffix: &str,
        constant: Constant<'a>,
        shape: Vec<usize>,
        order: Order,
    ) -> Result<(), Departure> {
        if !matches!(constant.dtype, Dtype::F16 | Dtype::F32) {
            let found = format!("{} with {:?} as {suffix}", self.graph.describe(id), constant.dtype);
            return Err(Departure { place: place.into(), found, expected: "float or half".into() });
        }
        self.tensors.insert(format!("{place}.{suffix}"), constant.into_tensor(shape, order));
        Ok(())
    }

    pub(super) fn departure(&self, id: Id, place: &str, expected: &str) -> Departure {
        Departure { place: place.into(), found: self.graph.describe(id), expected: expected.into() }
    }

    fn shape_departure(&self, id: Id, place: &str, constant: &Constant<'_>, expected: String) -> Departure {
        let found = format!("{} with the shape {:?}", self.graph.describe(id), constant.shape);
        Departure { place: place.into(), found, expected }
    }
}
