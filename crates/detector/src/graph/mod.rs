//! A network as a graph of layers: what it computes, without weights, sizes or a way to compute it.
//!
//! A [`Graph`] is built layer by layer in an order in which each layer's inputs come before it. Readers of model
//! files build it; what computes it walks its nodes in that order.

pub(crate) mod bounds;
mod layer;
#[cfg(test)]
mod tests;
pub(crate) mod written;

pub(crate) use kernels::{Activation, Residual, Window};
pub(crate) use layer::{ConvSpec, Geometry, Norm};

/// The output of one layer of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(usize);

impl NodeId {
    /// Its position among the graph's nodes.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// One layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) op: Op,
    /// Channels of its output.
    pub(crate) channels: usize,
}

/// What a layer does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    /// The picture: RGB in `0..=1`.
    Picture,
    /// The convolution of this position in [`Graph::convolutions`], to whose output another layer's may be added.
    Conv { convolution: usize, input: NodeId, residual: Option<(NodeId, Residual)> },
    /// The largest value of a window.
    MaxPool { input: NodeId, window: Window },
    /// Every pixel four times: twice the height and width.
    Upsample { input: NodeId },
    /// Four pixels from one: a quarter of the channels for the upper left pixel, then for the upper right, the
    /// lower left and the lower right.
    DepthToSpace { input: NodeId },
    /// The channels of several layers of the same height and width, one after the other.
    Concat { inputs: Vec<NodeId> },
    /// For each pixel `i` the mean of `value` over all pixels `j`, weighed by `softmax_j(scale * Σ query_i * key_j)`, the sum
    /// over channels (Vaswani et al., "Attention is all you need", 2017).
    Attention { query: NodeId, key: NodeId, value: NodeId, scale: f32 },
}

impl Op {
    /// The layers that it reads.
    pub(crate) fn inputs(&self) -> Vec<NodeId> {
        match self {
            Self::Picture => Vec::new(),
            Self::Conv { input, residual, .. } => {
                std::iter::once(*input).chain(residual.map(|(node, _)| node)).collect()
            }
            Self::MaxPool { input, .. } | Self::Upsample { input } | Self::DepthToSpace { input } => {
                vec![*input]
            }
            Self::Concat { inputs } => inputs.clone(),
            Self::Attention { query, key, value, .. } => vec![*query, *key, *value],
        }
    }
}

/// Height and width in pixels.
pub(crate) type Size = (usize, usize);

/// Layers that do not fit together at a picture's size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the layers {layer} and {other} meet with {}x{} and {}x{} pixels", .sizes.0.0, .sizes.0.1, .sizes.1.0, .sizes.1.1)]
pub(crate) struct SizeError {
    layer: usize,
    other: usize,
    sizes: (Size, Size),
}

/// Layers and the outputs among them.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    convolutions: Vec<ConvSpec>,
    outputs: Vec<NodeId>,
}

impl Graph {
    /// A graph of the picture alone.
    pub(crate) fn new() -> (Self, NodeId) {
        let mut graph = Self::default();
        let picture = graph.push(Op::Picture, 3);
        (graph, picture)
    }

    /// The layers, each after those that it reads.
    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The convolutions in the order of their declaration, which is that of a model file.
    pub(crate) fn convolutions(&self) -> &[ConvSpec] {
        &self.convolutions
    }

    /// The layers whose outputs are the network's.
    pub(crate) fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// Channels of a layer's output.
    pub(crate) fn channels(&self, node: NodeId) -> usize {
        self.nodes[node.0].channels
    }

    /// A convolution of `input`, with `residual` added.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn conv(
        &mut self,
        input: NodeId,
        spec: ConvSpec,
        residual: Option<(NodeId, Residual)>,
    ) -> NodeId {
        let convolution = self.declare(input, spec);
        self.place(convolution, input, residual)
    }

    /// A convolution of `input` that takes its place among the convolutions now and among the layers later. Its
    /// input channels are those of `input`, whatever `spec` says.
    pub(crate) fn declare(&mut self, input: NodeId, mut spec: ConvSpec) -> usize {
        spec.geometry.in_channels = self.channels(input);
        self.convolutions.push(spec);
        self.convolutions.len() - 1
    }

    /// Puts a declared convolution among the layers, with `residual` added.
    pub(crate) fn place(
        &mut self,
        convolution: usize,
        input: NodeId,
        residual: Option<(NodeId, Residual)>,
    ) -> NodeId {
        let channels = self.convolutions[convolution].geometry.out_channels;
        self.push(Op::Conv { convolution, input, residual }, channels)
    }

    /// The largest values of the windows of `input`.
    pub(crate) fn max_pool(&mut self, input: NodeId, window: Window) -> NodeId {
        self.push(Op::MaxPool { input, window }, self.channels(input))
    }

    /// `input` at twice its height and width, each pixel repeated.
    pub(crate) fn upsample(&mut self, input: NodeId) -> NodeId {
        self.push(Op::Upsample { input }, self.channels(input))
    }

    /// `input` at twice its height and width, four pixels made of the channels of one.
    pub(crate) fn depth_to_space(&mut self, input: NodeId) -> NodeId {
        self.push(Op::DepthToSpace { input }, self.channels(input) / 4)
    }

    /// The channels of `inputs` in that order.
    pub(crate) fn concat(&mut self, inputs: Vec<NodeId>) -> NodeId {
        let channels = inputs.iter().map(|input| self.channels(*input)).sum();
        self.push(Op::Concat { inputs }, channels)
    }

    /// The mean of `value` over all pixels, weighed for each by its `query` and their `key`, which have as many channels.
    pub(crate) fn attention(&mut self, query: NodeId, key: NodeId, value: NodeId, scale: f32) -> NodeId {
        self.push(Op::Attention { query, key, value, scale }, self.channels(value))
    }

    /// Makes the output of `node` one of the network's.
    pub(crate) fn output(&mut self, node: NodeId) {
        self.outputs.push(node);
    }

    /// Height and width of each layer's output for a picture of the given size.
    ///
    /// # Errors
    ///
    /// If layers meet that differ in size.
    pub(crate) fn sizes(&self, picture: Size) -> Result<Vec<Size>, SizeError> {
        let mut sizes: Vec<Size> = Vec::with_capacity(self.nodes.len());
        for (layer, node) in self.nodes.iter().enumerate() {
            let each =
                |(height, width): Size, length: &dyn Fn(usize) -> usize| (length(height), length(width));
            let size = match &node.op {
                Op::Picture => picture,
                Op::Conv { convolution, input, .. } => {
                    let geometry = self.convolutions[*convolution].geometry;
                    each(sizes[input.0], &|length| geometry.output_length(length))
                }
                Op::MaxPool { input, window } => {
                    each(sizes[input.0], &|length| length.div_ceil(window.stride))
                }
                Op::Upsample { input } | Op::DepthToSpace { input } => {
                    each(sizes[input.0], &|length| 2 * length)
                }
                Op::Concat { inputs } => inputs.first().map_or(picture, |input| sizes[input.0]),
                Op::Attention { query, .. } => sizes[query.0],
            };
            let meets = match &node.op {
                Op::Conv { residual: Some((other, _)), .. } => vec![*other],
                Op::Concat { .. } | Op::Attention { .. } => node.op.inputs(),
                _ => Vec::new(),
            };
            if let Some(other) = meets.iter().find(|other| sizes[other.0] != size) {
                return Err(SizeError { layer, other: other.0, sizes: (size, sizes[other.0]) });
            }
            sizes.push(size);
        }
        Ok(sizes)
    }

    fn push(&mut self, op: Op, channels: usize) -> NodeId {
        self.nodes.push(Node { op, channels });
        NodeId(self.nodes.len() - 1)
    }
}
