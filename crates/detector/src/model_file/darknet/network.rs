//! The sections of a configuration as a graph and its heads.

use super::cfg::{Problem, Section};
use super::layer::{self, Layer, Shortcut};
use crate::graph::bounds::{MAX_DOUBLINGS, MAX_JOINED};
use crate::graph::{Activation, Graph, NodeId, Residual};
use crate::model_file::metadata::HeadSpec;

/// Largest height and width; the check of a description has smaller bounds.
const MAX_SIDE: usize = 65_536;

/// What a configuration describes.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) graph: Graph,
    /// From the last in the configuration, usually the finest, to the first.
    pub(super) heads: Vec<HeadSpec>,
    pub(super) classes: usize,
    /// Height and width in pixels.
    pub(super) input: (usize, usize),
    /// The lowest score and the largest overlap, where the configuration has them.
    pub(super) thresholds: (Option<f32>, Option<f32>),
}

/// Makes sense of the sections of a configuration.
pub(super) fn network(sections: &[Section<'_>]) -> Result<Network, Problem> {
    let Some((net, sections)) = sections.split_first() else {
        return Err(Problem { line: 1, problem: "there is no section".into() });
    };
    if !matches!(net.name, "net" | "network") {
        return Err(net.problem("the first section must be [net]"));
    }
    net.only("channels", 3.0)?;
    let side = |key: &str| match net.required(key)? {
        side @ 1..=MAX_SIDE => Ok(side),
        side => Err(net.problem_of(key, format_args!("{side} is not 1 to {MAX_SIDE}"))),
    };
    let input = (side("height")?, side("width")?);
    let layers = sections
        .iter()
        .enumerate()
        .map(|(index, section)| layer::read(section, index))
        .collect::<Result<Vec<_>, _>>()?;
    let doublings = layers.iter().filter(|layer| matches!(layer, Layer::Upsample)).count();
    if doublings > MAX_DOUBLINGS as usize {
        return Err(net.problem(format_args!("{doublings} sections [upsample], more than {MAX_DOUBLINGS}")));
    }
    let mut network = Builder::new(sections, &layers).build(input)?;
    // Whether the other axis agrees, and what to say where layers do not fit together, is left to the check of the whole
    // description: it looks at the input's size first.
    if let Ok(sizes) = network.graph.sizes(input) {
        for (head, output) in network.heads.iter_mut().zip(network.graph.outputs()) {
            head.stride = input.0 / sizes[output.index()].0.max(1);
        }
    }
    Ok(network)
}

/// A graph as far as the layers have been placed.
struct Builder<'a> {
    sections: &'a [Section<'a>],
    layers: &'a [Layer],
    graph: Graph,
    picture: NodeId,
    /// The output of each layer; none for those that have none of their own.
    nodes: Vec<Option<NodeId>>,
    /// Convolutions whose output a shortcut is about to be added to.
    pending: Option<(usize, NodeId)>,
    /// Layers that others read, but for shortcuts that directly follow them.
    read: Vec<bool>,
    outputs: Vec<NodeId>,
    heads: Vec<HeadSpec>,
    classes: Option<usize>,
    thresholds: (Option<f32>, Option<f32>),
}

impl<'a> Builder<'a> {
    fn new(sections: &'a [Section<'a>], layers: &'a [Layer]) -> Self {
        let (graph, picture) = Graph::new();
        let mut read = vec![false; layers.len()];
        for (index, layer) in layers.iter().enumerate() {
            let before = index.checked_sub(1);
            let inputs = match layer {
                Layer::Route(inputs) => inputs.as_slice(),
                Layer::Shortcut(Shortcut { from, .. }) => std::slice::from_ref(from),
                _ => before.as_slice(),
            };
            inputs.iter().for_each(|&input| read[input] = true);
        }
        Self {
            sections,
            layers,
            graph,
            picture,
            nodes: Vec::new(),
            pending: None,
            read,
            outputs: Vec::new(),
            heads: Vec::new(),
            classes: None,
            thresholds: (None, None),
        }
    }

    fn build(mut self, input: (usize, usize)) -> Result<Network, Problem> {
        for index in 0..self.layers.len() {
            let node = self.place(index)?;
            self.nodes.push(node);
        }
        let Some(classes) = self.classes else {
            let last = self.sections.last().map_or(1, |section| section.line);
            return Err(Problem { line: last, problem: "the network ends without a [yolo] section".into() });
        };
        for output in self.outputs.into_iter().rev() {
            self.graph.output(output);
        }
        self.heads.reverse();
        Ok(Network { graph: self.graph, heads: self.heads, classes, input, thresholds: self.thresholds })
    }

    /// Puts the layer at `index` into the graph.
    fn place(&mut self, index: usize) -> Result<Option<NodeId>, Problem> {
        let section = &self.sections[index];
        match &self.layers[index] {
            Layer::Convolution(spec) => {
                let input = self.before(index)?;
                let mut spec = spec.clone();
                let fused = match self.layers.get(index + 1) {
                    Some(Layer::Shortcut(shortcut)) => Some(shortcut),
                    _ => None,
                };
                if let Some(activation) = fused.and_then(|shortcut| shortcut.activation) {
                    spec.activation = activation;
                }
                let convolution = self.graph.declare(input, spec);
                self.pending = fused.map(|_| (convolution, input));
                let alone = fused.is_none() || self.read[index];
                Ok(alone.then(|| self.graph.place(convolution, input, None)))
            }
            Layer::Shortcut(shortcut) => self.shortcut(index, shortcut).map(Some),
            Layer::MaxPool(window) => {
                let input = self.before(index)?;
                Ok(Some(self.graph.max_pool(input, *window)))
            }
            Layer::Upsample => {
                let input = self.before(index)?;
                Ok(Some(self.graph.upsample(input)))
            }
            Layer::Route(inputs) => {
                let nodes = inputs.iter().map(|&input| self.node(input, section));
                let nodes = nodes.collect::<Result<Vec<_>, _>>()?;
                if let [node] = nodes[..] {
                    return Ok(Some(node));
                }
                let channels = nodes.iter().map(|&node| self.graph.channels(node)).sum::<usize>();
                if channels > MAX_JOINED {
                    let problem = format!("{channels} channels together, more than {MAX_JOINED}");
                    return Err(section.problem_of("layers", problem));
                }
                Ok(Some(self.graph.concat(nodes)))
            }
            Layer::Dropout => self.before(index).map(Some),
            Layer::Yolo(yolo) => {
                let output = self.before(index)?;
                match self.classes {
                    Some(classes) if classes != yolo.classes => {
                        let problem =
                            format!("{} instead of the {classes} of the other [yolo]", yolo.classes);
                        return Err(section.problem_of("classes", problem));
                    }
                    _ => self.classes = Some(yolo.classes),
                }
                let (found, anchors) = (self.graph.channels(output), yolo.anchors.len());
                let expected = anchors * (5 + yolo.classes);
                if found != expected {
                    return Err(section.problem(format_args!(
                        "{found} channels instead of {expected} for {anchors} anchors and {} classes",
                        yolo.classes
                    )));
                }
                self.thresholds = (yolo.threshold.or(self.thresholds.0), yolo.overlap.or(self.thresholds.1));
                self.outputs.push(output);
                self.heads.push(HeadSpec { stride: 0, anchors: yolo.anchors.clone() });
                Ok(None)
            }
        }
    }

    /// A convolution with another layer added to it.
    fn shortcut(&mut self, index: usize, shortcut: &Shortcut) -> Result<NodeId, Problem> {
        let section = &self.sections[index];
        let Some((convolution, input)) = self.pending.take() else {
            return Err(section.problem("is supported directly after [convolutional] only"));
        };
        let spec = &self.graph.convolutions()[convolution];
        let when = match shortcut.activation {
            None => Residual::AfterActivation,
            Some(_) if self.is_linear(index - 1) && !self.read[index - 1] => Residual::BeforeActivation,
            Some(_) => {
                let problem = "is supported after a linear convolution that nothing else reads";
                return Err(section.problem_of("activation", problem));
            }
        };
        let other = self.node(shortcut.from, section)?;
        let (found, expected) = (self.graph.channels(other), spec.geometry.out_channels);
        if found != expected {
            return Err(section.problem_of("from", format!("{found} channels cannot be added to {expected}")));
        }
        Ok(self.graph.place(convolution, input, Some((other, when))))
    }

    fn is_linear(&self, index: usize) -> bool {
        matches!(&self.layers[index], Layer::Convolution(spec) if spec.activation == Activation::Identity)
    }

    /// What the layer at `index` reads if it says nothing else.
    fn before(&self, index: usize) -> Result<NodeId, Problem> {
        match index.checked_sub(1) {
            None => Ok(self.picture),
            Some(before) => self.node(before, &self.sections[index]),
        }
    }

    /// The output of a layer that `section` reads.
    fn node(&self, index: usize, section: &Section<'_>) -> Result<NodeId, Problem> {
        self.nodes[index].ok_or_else(|| section.problem("reads a [yolo], whose output no layer can read"))
    }
}
