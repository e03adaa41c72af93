//! From a graph to layers with methods and places in the arena.

use kernels::{Epilogue, Kernels, Storage};

use super::arena::{self, Buffer};
use super::attention::Attention;
use super::choice::{Candidate, Method};
use super::direct::DirectConv;
use super::layout::{Border, Region};
use super::pixels::{Join, Kind, Move};
use super::quantization::{Arithmetic, storages};
use super::winograd::WinogradConv;
use crate::graph::{Geometry, Graph, NodeId, Op, Size};

/// A graph that the processor's kernels cannot compute.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// Layers differ in size where they meet.
    #[error(transparent)]
    Size(#[from] crate::graph::SizeError),
    /// A convolution that no kernel is made for.
    #[error(
        "the convolution {name} has a kernel of {kernel} and a stride of {stride}; kernels are odd, strides 1 or 2"
    )]
    Geometry {
        /// Its name.
        name: String,
        /// Its kernel.
        kernel: usize,
        /// Its stride.
        stride: usize,
    },
    /// The picture goes into something else than a convolution.
    #[error("layer {layer} reads the picture itself, which only convolutions may")]
    Picture {
        /// Its position.
        layer: usize,
    },
}

/// A layer with its place. A convolution computes with the parameters of a [`Packing`].
#[derive(Debug)]
pub(super) enum Step {
    Direct { packing: usize, conv: DirectConv },
    Winograd { packing: usize, conv: WinogradConv },
    Move(Move),
    Join(Join),
    Attention(Attention),
}

/// A form of a convolution's parameters. One that has several places in the network may need several.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Packing {
    /// In the graph's order of convolutions.
    pub(super) convolution: usize,
    pub(super) method: Method,
    /// How what it reads is stored.
    pub(super) input: Storage,
}

/// One of the network's outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) region: Region,
    pub(super) channels: usize,
}

/// Everything about a network on this processor but its weights.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) packings: Vec<Packing>,
    pub(super) picture: Region,
    pub(super) outputs: Vec<Output>,
    /// Values of the arena for one picture.
    pub(super) arena: usize,
    /// Values of a thread's scratch.
    pub(super) scratch: usize,
}

/// Where a layer's output lies: a buffer and its first block there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    buffer: usize,
    block: usize,
}

/// What is known of the layers, by node.
struct Layers<'a> {
    graph: &'a Graph,
    kernels: &'static Kernels,
    sizes: Vec<Size>,
    storages: Vec<Storage>,
    methods: Vec<Option<Method>>,
    places: Vec<Place>,
    /// Blocks of each buffer, and a node that lies there.
    buffers: Vec<(usize, usize)>,
    /// Inputs of concatenations that lie elsewhere and are copied: the concatenation, the input, its first channel.
    copies: Vec<(usize, NodeId, usize)>,
}

/// Plans a network for pictures of the given size, whose convolutions use the methods that `choose` gives in their order.
///
/// # Errors
///
/// If the kernels cannot compute the graph.
pub(super) fn plan(
    graph: &Graph,
    size: Size,
    kernels: &'static Kernels,
    arithmetic: &Arithmetic,
    choose: &dyn Fn(&[Candidate]) -> Vec<Method>,
) -> Result<Plan, PlanError> {
    check(graph)?;
    let mut layers = Layers {
        graph,
        kernels,
        sizes: graph.sizes(size)?,
        storages: storages(graph, arithmetic),
        methods: Vec::new(),
        places: Vec::new(),
        buffers: Vec::new(),
        copies: Vec::new(),
    };
    layers.choose_methods(choose);
    layers.find_places();
    Ok(layers.finish())
}

fn check(graph: &Graph) -> Result<(), PlanError> {
    for convolution in graph.convolutions() {
        let (kernel, stride) = (convolution.geometry.kernel, convolution.geometry.stride);
        if kernel % 2 == 0 || !(1..=2).contains(&stride) {
            return Err(PlanError::Geometry { name: convolution.name.clone(), kernel, stride });
        }
    }
    for (layer, node) in graph.nodes().iter().enumerate() {
        let is_picture = |id: &NodeId| graph.nodes()[id.index()].op == Op::Picture;
        let residual_or_moved = match &node.op {
            Op::Conv { residual, .. } => residual.iter().any(|(id, _)| is_picture(id)),
            op => op.inputs().iter().any(is_picture),
        };
        if residual_or_moved {
            return Err(PlanError::Picture { layer });
        }
    }
    Ok(())
}

impl Layers<'_> {
    fn choose_methods(&mut self, choose: &dyn Fn(&[Candidate]) -> Vec<Method>) {
        let graph = self.graph;
        let (nodes, candidates): (Vec<usize>, Vec<Candidate>) = graph
            .nodes()
            .iter()
            .enumerate()
            .filter_map(|(index, node)| {
                let Op::Conv { convolution, input, .. } = &node.op else { return None };
                let picture = graph.nodes()[input.index()].op == Op::Picture;
                let geometry = graph.convolutions()[*convolution].geometry;
                let (input, size) = (self.storages[input.index()], self.sizes[index]);
                Some((index, Candidate { geometry, picture, input, size }))
            })
            .unzip();
        self.methods = vec![None; graph.nodes().len()];
        for (node, method) in nodes.into_iter().zip(choose(&candidates)) {
            self.methods[node] = Some(method);
        }
    }

    /// A concatenation's inputs lie side by side in its buffer, so that nothing needs to be moved. An input is copied
    /// that already lies elsewhere, or would have to share a block with another.
    fn find_places(&mut self) {
        let nodes = self.graph.nodes();
        let mut places: Vec<Option<Place>> = vec![None; nodes.len()];
        for (index, node) in nodes.iter().enumerate().rev() {
            let place = *places[index].get_or_insert_with(|| {
                self.buffers.push((self.blocks(index), index));
                Place { buffer: self.buffers.len() - 1, block: 0 }
            });
            if let Op::Concat { inputs } = &node.op {
                let whole_block = self.kernels.lanes * self.storages[index].each();
                let mut first = 0;
                for input in inputs {
                    let end = first + nodes[input.index()].channels;
                    let whole = first.is_multiple_of(whole_block)
                        && (end.is_multiple_of(whole_block) || end == node.channels);
                    match &mut places[input.index()] {
                        unplaced @ None if whole => {
                            *unplaced = Some(Place { block: place.block + first / whole_block, ..place });
                        }
                        _ => self.copies.push((index, *input, first)),
                    }
                    first = end;
                }
            }
        }
        self.places = places.into_iter().flatten().collect();
    }

    /// Blocks of a layer's output.
    fn blocks(&self, node: usize) -> usize {
        self.graph.nodes()[node].channels.div_ceil(self.kernels.lanes * self.storages[node].each())
    }

    /// The zeros that a layer needs around its input.
    fn border(&self, node: usize) -> Border {
        let input_size = |input: &NodeId| self.sizes[input.index()];
        let (before, needed, size) = match (&self.graph.nodes()[node].op, self.methods[node]) {
            (Op::Conv { input, .. }, Some(Method::Winograd(tile, _))) => {
                let (rows, columns) = tile.cover(self.sizes[node]);
                let needed = (rows * tile.outputs() + 1, columns * tile.outputs() + 1);
                (1, needed, input_size(input))
            }
            (Op::Conv { convolution, input, .. }, _) => {
                let geometry = self.graph.convolutions()[*convolution].geometry;
                let before = geometry.padding();
                let needed = |length: usize| (length - 1) * geometry.stride + geometry.kernel - before;
                let (height, width) = self.sizes[node];
                (before, (needed(height), needed(width)), input_size(input))
            }
            _ => return Border::default(),
        };
        Border { before, after: (needed.0.saturating_sub(size.0), needed.1.saturating_sub(size.1)) }
    }

    fn finish(self) -> Plan {
        let nodes = self.graph.nodes();
        // Border and time of each buffer.
        let mut borders = vec![Border::default(); self.buffers.len()];
        let mut times = vec![(usize::MAX, 0); self.buffers.len()];
        let mut touch = |buffer: usize, time: usize| {
            let (first, last): &mut (usize, usize) = &mut times[buffer];
            (*first, *last) = ((*first).min(time), (*last).max(time));
        };
        for (index, node) in nodes.iter().enumerate() {
            touch(self.places[index].buffer, index);
            for (position, input) in node.op.inputs().iter().enumerate() {
                let buffer = self.places[input.index()].buffer;
                touch(buffer, index);
                // A residual, the second input, is read without its border.
                if position == 0 || matches!(node.op, Op::Concat { .. }) {
                    borders[buffer] = borders[buffer].max(self.border(index));
                }
            }
        }
        for output in self.graph.outputs() {
            touch(self.places[output.index()].buffer, nodes.len());
        }
        let template = |buffer: usize| {
            let (blocks, node) = self.buffers[buffer];
            let lanes = match (&nodes[node].op, self.storages[node]) {
                (Op::Picture, Storage::Numbers | Storage::Halves) => 3,
                (Op::Picture, Storage::Bytes(_)) => 1,
                _ => self.kernels.lanes,
            };
            let mut region = Region {
                offset: 0,
                buffer: 0,
                within: 0,
                lanes,
                storage: self.storages[node],
                blocks,
                size: self.sizes[node],
                border: borders[buffer],
            };
            region.buffer = (blocks * region.block()).next_multiple_of(kernels::LINE);
            region
        };
        let mut templates: Vec<Region> = (0..self.buffers.len()).map(template).collect();
        let buffers: Vec<Buffer> = templates
            .iter()
            .zip(&times)
            .map(|(region, &(first, last))| Buffer { len: region.buffer, first, last })
            .collect();
        let (offsets, arena) = arena::place(&buffers);
        for (region, offset) in templates.iter_mut().zip(offsets) {
            region.offset = offset;
        }
        let region = |node: usize| {
            let Place { buffer, block } = self.places[node];
            let region = templates[buffer];
            Region { within: block * region.block(), blocks: self.blocks(node), ..region }
        };
        let mut steps = Vec::with_capacity(nodes.len());
        let mut packings: Vec<Packing> = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let output = region(index);
            let moved =
                |kind, input: &NodeId| Step::Move(Move { kind, input: region(input.index()), output });
            match &node.op {
                Op::Picture => {}
                Op::Conv { convolution, input, residual } => {
                    let spec = &self.graph.convolutions()[*convolution];
                    let added = residual.map(|(other, when)| (when, self.storages[other.index()]));
                    let epilogue = Epilogue::new(spec.activation, added, output.storage);
                    let residual = residual.map(|(other, _)| region(other.index()));
                    let method = self.methods[index].unwrap_or(Method::Direct);
                    let picture = nodes[input.index()].op == Op::Picture;
                    let input = region(input.index());
                    let packing = Packing { convolution: *convolution, method, input: input.storage };
                    let known = packings.iter().position(|known| *known == packing);
                    let packing = known.unwrap_or_else(|| {
                        packings.push(packing);
                        packings.len() - 1
                    });
                    steps.push(match method {
                        Method::Direct => {
                            let geometry = spec.geometry;
                            let counts = DirectConv::counts(&geometry, picture, &input);
                            let conv =
                                DirectConv { geometry, counts, picture, input, output, residual, epilogue };
                            Step::Direct { packing, conv }
                        }
                        Method::Winograd(tile, transformed) => {
                            let Geometry { in_channels, out_channels, .. } = spec.geometry;
                            let conv = WinogradConv {
                                tile,
                                transformed,
                                in_channels,
                                out_channels,
                                input,
                                output,
                                residual,
                                epilogue,
                            };
                            Step::Winograd { packing, conv }
                        }
                    });
                }
                Op::MaxPool { input, window } => steps.push(moved(Kind::MaxPool(*window), input)),
                Op::Upsample { input } => steps.push(moved(Kind::Upsample, input)),
                Op::DepthToSpace { input } => steps.push(moved(Kind::DepthToSpace(node.channels), input)),
                Op::Concat { .. } => {
                    for (_, input, first) in self.copies.iter().filter(|(concat, ..)| *concat == index) {
                        let channels = self.graph.channels(*input);
                        let join = Join { input: region(input.index()), channels, output, first: *first };
                        steps.push(Step::Join(join));
                    }
                }
                Op::Attention { query, key, value, scale } => {
                    let [query, key, value] = [query, key, value].map(|node| (region(node.index()), *node));
                    steps.push(Step::Attention(Attention {
                        channels: self.graph.channels(query.1),
                        query: query.0,
                        key: key.0,
                        value: value.0,
                        output,
                        scale: *scale,
                    }));
                }
            }
        }
        let scratch = steps.iter().map(|step| match step {
            Step::Winograd { conv, .. } => conv.scratch(self.kernels),
            Step::Attention(step) => step.scratch(self.kernels),
            Step::Direct { .. } | Step::Move(_) | Step::Join(_) => 0,
        });
        Plan {
            scratch: scratch.max().unwrap_or(0).next_multiple_of(kernels::LINE),
            picture: region(0),
            outputs: self
                .graph
                .outputs()
                .iter()
                .map(|output| Output {
                    region: region(output.index()),
                    channels: self.graph.channels(*output),
                })
                .collect(),
            steps,
            packings,
            arena,
        }
    }
}
