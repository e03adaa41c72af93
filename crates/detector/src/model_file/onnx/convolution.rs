//! A convolution of a model, as long as it may still take an activation on.

use std::ops::Range;

use super::Departure;
use super::features::{Feature, departure, square};
use super::model::{Model, Node};
use crate::graph::bounds::{MAX_CHANNELS, MAX_REACH};
use crate::graph::{Activation, ConvSpec, Geometry, Norm, Size};
use crate::model_file::protobuf::Constant;
use crate::model_file::tensor::{Order, Tensor, Within};

/// The end of the name of what a batch norm adds to the variance.
const EPSILON: &str = "bn.epsilon";

/// A convolution and what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct Convolution<'a> {
    pub(super) spec: ConvSpec,
    /// The node that it is, for messages.
    pub(super) place: String,
    /// The node's position.
    pub(super) index: usize,
    pub(super) input: Feature,
    /// Height and width of its output.
    pub(super) size: Size,
    weight: Tensor<'a>,
    /// The vectors of a bias or batch norm, by the names of the native form.
    vectors: Vec<(&'static str, Tensor<'a>)>,
}

impl<'a> Convolution<'a> {
    /// Most numbers that all convolutions with groups may have more than the file has.
    pub(super) const MAX_EXPANSION: usize = 64 << 20;
    /// Most numbers of one convolution with groups.
    const MAX_EXPANDED: usize = 8 << 20;

    /// Reads the node at `index`, which reads a layer of so many channels.
    ///
    /// Groups become a convolution without groups, and a kernel that is even or not in its middle a larger one, whose
    /// other weights are zero.
    pub(super) fn read(
        model: &Model<'a>,
        node: &Node<'a>,
        index: usize,
        (input, channels): (Feature, usize),
    ) -> Result<Self, Departure> {
        let weight = weights(model, node, 1)?;
        let groups = usize::try_from(node.integer("group").unwrap_or(1)).unwrap_or(0);
        let [kernel, stride, before] = square(node)?;
        let &[out_channels, group_inputs, rows, columns] = weight.shape.as_slice() else {
            return Err(departure(node, format!("weights of the shape {:?}", weight.shape), "four axes"));
        };
        if (rows, columns) != (kernel, kernel)
            || !(1..=MAX_CHANNELS).contains(&out_channels)
            || group_inputs.checked_mul(groups) != Some(channels)
            || !out_channels.is_multiple_of(groups.max(1))
        {
            let found = format!("weights of the shape {:?} in {groups} groups", weight.shape);
            let expected = format!("those of {channels} channels and a kernel of {kernel}");
            return Err(departure(node, found, &expected));
        }
        let after =
            node.integers("pads").and_then(|pads| usize::try_from(*pads.get(2)?).ok()).unwrap_or(before);
        let reach = before.max((kernel - 1).saturating_sub(before));
        let geometry = Geometry { in_channels: channels, out_channels, kernel: 2 * reach + 1, stride };
        let length =
            |pixels: usize| (pixels + before + after).checked_sub(kernel).map(|rest| rest / stride + 1);
        let size = (geometry.output_length(input.size.0), geometry.output_length(input.size.1));
        if geometry.kernel > MAX_REACH
            || (length(input.size.0), length(input.size.1)) != (Some(size.0), Some(size.1))
        {
            let found = format!(
                "a kernel of {kernel} with pads of {before} and {after} before {:?} pixels",
                input.size
            );
            return Err(departure(node, found, "one that leaves a stride's share of pixels, rounded up"));
        }
        if groups > 1 && geometry.weights() > Self::MAX_EXPANDED {
            let found = format!("{groups} groups of {out_channels} channels");
            return Err(departure(node, found, "smaller groups: they are computed as one"));
        }
        let shape = vec![out_channels, channels, geometry.kernel, geometry.kernel];
        let order = if groups == 1 && geometry.kernel == kernel {
            Order::Shape
        } else {
            Order::Within(Within { groups, kernel, first: reach - before })
        };
        let vectors = match node.input(2) {
            Some(_) => vec![("bias", vector(model, node, 2, out_channels)?)],
            None => Vec::new(),
        };
        let norm = if vectors.is_empty() { Norm::None } else { Norm::Bias };
        let name = format!("layer{index}");
        Ok(Self {
            spec: ConvSpec { name, geometry, norm, activation: Activation::Identity },
            place: node.describe(),
            index,
            input,
            size,
            weight: weight.into_tensor(shape, order),
            vectors,
        })
    }

    /// Numbers that it has more than the file has.
    pub(super) fn expansion(&self) -> usize {
        match self.weight.order {
            Order::Within(Within { groups: 2.., .. }) => self.spec.geometry.weights(),
            _ => 0,
        }
    }

    /// With an activation; none if it has one.
    pub(super) fn activated(&self, activation: Activation) -> Option<Self> {
        (self.spec.activation == Activation::Identity).then(|| {
            let mut activated = self.clone();
            activated.spec.activation = activation;
            activated
        })
    }

    /// With the batch norm of a node.
    pub(super) fn normalise(&mut self, model: &Model<'a>, node: &Node<'a>) -> Result<(), Departure> {
        if self.spec.norm != Norm::None || self.spec.activation != Activation::Identity {
            return Err(departure(
                node,
                "a batch norm after something else".into(),
                "a convolution without bias",
            ));
        }
        // The operation's own default.
        let epsilon = node.float("epsilon").unwrap_or(1e-5);
        let channels = self.spec.geometry.out_channels;
        for (position, suffix) in [(1, "bn.gamma"), (2, "bn.beta"), (3, "bn.mean"), (4, "bn.variance")] {
            self.vectors.push((suffix, vector(model, node, position, channels)?));
        }
        self.vectors.push((EPSILON, Tensor::number(epsilon)));
        self.spec.norm = Norm::Batch;
        Ok(())
    }

    /// The convolution that makes some of its channels; none if it has groups.
    pub(super) fn part(&self, (index, part): (usize, usize), channels: Range<usize>) -> Option<Self> {
        if self.expansion() > 0 {
            return None;
        }
        let mut convolution = self.clone();
        convolution.spec.name = format!("layer{index}.{part}");
        convolution.spec.geometry.out_channels = channels.len();
        convolution.weight = self.weight.part_of(channels.clone())?;
        for (_, vector) in convolution.vectors.iter_mut().filter(|(suffix, _)| *suffix != EPSILON) {
            *vector = vector.part_of(channels.clone())?;
        }
        Some(convolution)
    }

    /// Its tensors by the ends of their names in the native form.
    pub(super) fn tensors(&self) -> impl Iterator<Item = (&'static str, &Tensor<'a>)> {
        std::iter::once(("weight", &self.weight))
            .chain(self.vectors.iter().map(|(suffix, tensor)| (*suffix, tensor)))
    }
}

/// The constant that a node reads at `position`.
fn weights<'a>(model: &Model<'a>, node: &Node<'a>, position: usize) -> Result<Constant<'a>, Departure> {
    let problem = match node.input(position).and_then(|name| model.constant(name)) {
        // A model's layers share their weights; only where these lie is copied.
        Some(Ok(constant)) if constant.lies_in_file() => return Ok(constant),
        Some(Ok(_)) => "weights that are written number by number".into(),
        Some(Err(problem)) => format!("weights {problem}"),
        None => "weights that are no constant".into(),
    };
    Err(departure(node, problem, "a constant of raw bytes"))
}

/// The constant vector of so many channels that a node reads at `position`.
fn vector<'a>(
    model: &Model<'a>,
    node: &Node<'a>,
    position: usize,
    channels: usize,
) -> Result<Tensor<'a>, Departure> {
    let constant = weights(model, node, position)?;
    if constant.shape != [channels] {
        let found = format!("an input {position} of the shape {:?}", constant.shape);
        return Err(departure(node, found, &format!("{channels} numbers")));
    }
    Ok(constant.into_tensor(vec![channels], Order::Shape))
}
