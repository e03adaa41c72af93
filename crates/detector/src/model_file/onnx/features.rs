//! The part of a model that makes pictures of pictures: its layers, from the input on.

use std::collections::HashMap;

use super::Departure;
use super::attention::Attending;
use super::convolution::Convolution;
use super::model::{Input, Model, Node};
use crate::graph::bounds::{MAX_DOUBLINGS, MAX_JOINED, MAX_LAYERS, MAX_REACH};
use crate::graph::{Activation, Graph, NodeId, Residual, Size, Window};
use crate::model_file::tensor::Tensor;

/// Most inputs of an operation.
pub(super) const MAX_INPUTS: usize = 64;
/// Most numbers of a small constant: sizes, scales, slopes.
pub(super) const SMALL: usize = 16;

/// A layer that has its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Feature {
    pub(super) node: NodeId,
    /// Height and width in pixels.
    pub(super) size: Size,
    /// How often its height and width were doubled on the way from the picture.
    pub(super) doublings: u32,
}

/// What a value of the model is.
#[derive(Debug, Clone)]
pub(super) enum Meaning<'a> {
    /// A layer.
    Placed(Feature),
    /// A convolution that may take an activation or another layer on before it becomes one.
    Open(Box<Convolution<'a>>),
    /// The sigmoid of the value of this name.
    Sigmoid(&'a str),
    /// A part of attention.
    Attending(Attending<'a>),
}

/// The layers of a model as far as they have been read.
#[derive(Debug)]
pub(super) struct Features<'m, 'a> {
    pub(super) model: &'m Model<'a>,
    pub(super) graph: Graph,
    /// By the name of the value, past all that pass it on.
    pub(super) meanings: HashMap<&'a str, Meaning<'a>>,
    tensors: HashMap<String, Tensor<'a>>,
    /// Numbers that grouped convolutions have more than the file has.
    expanded: usize,
    /// The first operation on a layer that is not one of these.
    pub(super) first_other: Option<String>,
}

impl<'m, 'a> Features<'m, 'a> {
    /// Reads the layers of a model whose picture has the given size.
    pub(super) fn read(model: &'m Model<'a>, input: &Input<'a>, size: Size) -> Result<Self, Departure> {
        let (graph, node) = Graph::new();
        let picture = Meaning::Placed(Feature { node, size, doublings: 0 });
        let meanings = HashMap::from([(input.name, picture)]);
        let mut features =
            Self { model, graph, meanings, tensors: HashMap::new(), expanded: 0, first_other: None };
        for (index, node) in model.nodes().iter().enumerate() {
            features.node(index, node)?;
        }
        Ok(features)
    }

    /// The layer that a value is, if it is one.
    pub(super) fn get(&mut self, name: &'a str) -> Result<Option<Feature>, Departure> {
        let name = self.model.resolve(name);
        match self.meanings.get(name) {
            Some(Meaning::Placed(feature)) => Ok(Some(*feature)),
            Some(Meaning::Open(convolution)) => {
                let convolution = convolution.clone();
                let feature = self.place(&convolution, None)?;
                self.meanings.insert(name, Meaning::Placed(feature));
                Ok(Some(feature))
            }
            Some(Meaning::Sigmoid(_) | Meaning::Attending(_)) | None => Ok(None),
        }
    }

    /// Channels of a layer.
    pub(super) fn channels(&self, feature: Feature) -> usize {
        self.graph.channels(feature.node)
    }

    /// Makes an output of the network of layers of one size, one after the other.
    pub(super) fn output(&mut self, parts: Vec<Feature>) -> Result<(), Departure> {
        let node = match parts[..] {
            [part] => part.node,
            _ => self.graph.concat(parts.iter().map(|part| part.node).collect()),
        };
        self.graph.output(node);
        Ok(())
    }

    /// The layers, and the tensors of their convolutions.
    pub(super) fn into_parts(self) -> (Graph, HashMap<String, Tensor<'a>>) {
        (self.graph, self.tensors)
    }

    fn node(&mut self, index: usize, node: &Node<'a>) -> Result<(), Departure> {
        if self.graph.nodes().len() > MAX_LAYERS {
            return Err(departure(node, format!("more than {MAX_LAYERS} layers"), "fewer"));
        }
        let meaning = match node.op {
            "Constant" | "Identity" | "Cast" | "Dropout" => None,
            "Conv" => self.convolution(index, node)?,
            "BatchNormalization" => self.batch_norm(node)?,
            "Sigmoid" => node.input(0).map(|input| self.model.resolve(input)).and_then(|input| {
                matches!(self.meanings.get(input)?, Meaning::Open(_)).then_some(Meaning::Sigmoid(input))
            }),
            "Relu" => self.activated(node, Activation::Relu),
            "LeakyRelu" => {
                // The operation's own default.
                let slope = node.float("alpha").unwrap_or(0.01);
                let slope = (0.0..=1.0).contains(&slope).then_some(slope);
                slope.and_then(|slope| self.activated(node, Activation::LeakyRelu(slope)))
            }
            "Mul" => self.silu(node).or_else(|| self.scaled(node)),
            "Add" => self.sum(node)?,
            "Concat" => self.concat(node)?,
            "MaxPool" => self.max_pool(node)?,
            "Resize" | "Upsample" => self.upsample(node)?,
            "Split" if node.is_along(2, 4) => return self.split_heads(index, node),
            "Split" => return self.split(index, node),
            "Reshape" => self.reshape(node)?,
            "Transpose" => self.transposed(node),
            "MatMul" => self.product(node)?,
            "Softmax" => self.shares(node),
            _ => None,
        };
        match meaning {
            Some(meaning) => {
                self.meanings.insert(node.output(), meaning);
            }
            None => self.note(node),
        }
        Ok(())
    }

    /// Remembers the first operation that makes something else of a layer.
    pub(super) fn note(&mut self, node: &Node<'a>) {
        let reads = |input: &&'a str| self.meanings.contains_key(self.model.resolve(input));
        if self.first_other.is_none()
            && !matches!(node.op, "Identity" | "Cast" | "Dropout" | "Shape")
            && node.inputs.iter().any(reads)
        {
            self.first_other = Some(node.describe());
        }
    }

    /// The convolution that a value is, as long as it is open.
    pub(super) fn open(&self, name: Option<&'a str>) -> Option<&Convolution<'a>> {
        match self.meanings.get(self.model.resolve(name?))? {
            Meaning::Open(convolution) => Some(convolution),
            Meaning::Placed(_) | Meaning::Sigmoid(_) | Meaning::Attending(_) => None,
        }
    }

    fn convolution(&mut self, index: usize, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let Some(input) = self.input(node, 0)? else { return Ok(None) };
        let channels = self.channels(input);
        let convolution = Convolution::read(self.model, node, index, (input, channels))?;
        self.expanded = self.expanded.saturating_add(convolution.expansion());
        if self.expanded > Convolution::MAX_EXPANSION {
            return Err(departure(node, "convolutions of too many groups".into(), "fewer"));
        }
        Ok(Some(Meaning::Open(Box::new(convolution))))
    }

    fn batch_norm(&self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let Some(convolution) = self.open(node.input(0)) else { return Ok(None) };
        let mut convolution = convolution.clone();
        convolution.normalise(self.model, node)?;
        Ok(Some(Meaning::Open(Box::new(convolution))))
    }

    /// A convolution with an activation.
    fn activated(&self, node: &Node<'a>, activation: Activation) -> Option<Meaning<'a>> {
        self.open(node.input(0))?
            .activated(activation)
            .map(|convolution| Meaning::Open(Box::new(convolution)))
    }

    /// A value times its own sigmoid.
    fn silu(&self, node: &Node<'a>) -> Option<Meaning<'a>> {
        let value = [(0, 1), (1, 0)].into_iter().find_map(|(value, sigmoid)| {
            let value = self.model.resolve(node.input(value)?);
            let sigmoid = self.model.resolve(node.input(sigmoid)?);
            matches!(self.meanings.get(sigmoid)?, Meaning::Sigmoid(of) if *of == value).then_some(value)
        });
        let convolution = self.open(value)?.activated(Activation::Silu)?;
        Some(Meaning::Open(Box::new(convolution)))
    }

    /// Two layers added, of which one is a convolution.
    fn sum(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        // The one that comes later is the one that nothing else reads.
        let later = |index: usize| self.open(node.input(index)).map(|convolution| (convolution.index, index));
        let Some((_, this)) = [later(0), later(1)].into_iter().flatten().max() else { return Ok(None) };
        let Some(convolution) = self.open(node.input(this)).cloned() else { return Ok(None) };
        let Some(other) = self.input(node, 1 - this)? else { return Ok(None) };
        let (found, expected) = (self.channels(other), convolution.spec.geometry.out_channels);
        if found != expected || other.size != convolution.size {
            let found = format!("{found} channels added to {expected}, or another height or width");
            return Err(departure(node, found, "layers of one shape"));
        }
        let feature = self.place(&convolution, Some((other.node, Residual::AfterActivation)))?;
        Ok(Some(Meaning::Placed(feature)))
    }

    fn concat(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        if !node.is_along(1, 4) || node.inputs.len() > MAX_INPUTS {
            return Ok(None);
        }
        let mut parts = Vec::new();
        for index in 0..node.inputs.len() {
            match self.input(node, index)? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        let Some(&first) = parts.first() else { return Ok(None) };
        if parts.iter().any(|part| part.size != first.size) {
            return Err(departure(node, "layers of several sizes".into(), "one height and width"));
        }
        let channels: usize = parts.iter().map(|&part| self.channels(part)).sum();
        if channels > MAX_JOINED {
            return Err(departure(node, format!("{channels} channels"), &format!("at most {MAX_JOINED}")));
        }
        let doublings = parts.iter().map(|part| part.doublings).max().unwrap_or(0);
        let node = self.graph.concat(parts.iter().map(|part| part.node).collect());
        Ok(Some(Meaning::Placed(Feature { node, doublings, ..first })))
    }

    fn max_pool(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let Some(input) = self.input(node, 0)? else { return Ok(None) };
        let [size, stride, before] = square(node)?;
        let after =
            node.integers("pads").and_then(|pads| usize::try_from(*pads.get(2)?).ok()).unwrap_or(before);
        let window = Window { size, stride, before };
        let length =
            |pixels: usize| (pixels + before + after).checked_sub(size).map(|rest| rest / stride + 1);
        let (height, width) = input.size;
        let ours = (height.div_ceil(stride), width.div_ceil(stride));
        if before >= size
            || node.integer("ceil_mode").is_some_and(|mode| mode != 0)
            || (length(height), length(width)) != (Some(ours.0), Some(ours.1))
        {
            let expected = "one that leaves a stride's share of pixels, rounded up";
            return Err(departure(node, format!("{window:?} of {height}x{width} pixels"), expected));
        }
        let placed = self.graph.max_pool(input.node, window);
        Ok(Some(Meaning::Placed(Feature { node: placed, size: ours, ..input })))
    }

    fn upsample(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let Some(input) = self.input(node, 0)? else { return Ok(None) };
        let (height, width) = input.size;
        // Scales, then sizes, of which one is given; before the eleventh set of operations scales only.
        let numbers = |index| node.input(index).and_then(|name| self.model.numbers(name, SMALL));
        let scales = if node.inputs.len() <= 2 { numbers(1) } else { numbers(2) };
        let doubled = match (scales.as_deref(), numbers(3).as_deref()) {
            (Some([1.0, 1.0, 2.0, 2.0]), _) => true,
            (_, Some(&[_, _, rows, columns])) => (rows, columns) == ((2 * height) as f64, (2 * width) as f64),
            _ => false,
        };
        let places = node.text("coordinate_transformation_mode").unwrap_or("half_pixel");
        let rounding = node.text("nearest_mode").unwrap_or("round_prefer_floor");
        // At twice the size these all take the same pixels.
        let repeats = matches!(
            (places, rounding),
            ("asymmetric", "floor" | "round_prefer_floor")
                | ("half_pixel" | "pytorch_half_pixel", "round_prefer_floor" | "round_prefer_ceil")
        );
        let nearest = node.text("mode").is_none_or(|mode| mode == "nearest");
        if !(doubled && nearest && (repeats || node.op == "Upsample")) {
            let found = format!("{} of another kind", node.describe());
            return Err(departure(node, found, "every pixel four times (nearest neighbour, twice the size)"));
        }
        if input.doublings == MAX_DOUBLINGS {
            return Err(departure(node, format!("more than {MAX_DOUBLINGS} doublings"), "fewer"));
        }
        let placed = self.graph.upsample(input.node);
        let size = (2 * height, 2 * width);
        Ok(Some(Meaning::Placed(Feature { node: placed, size, doublings: input.doublings + 1 })))
    }

    /// Parts of a convolution's channels, which become convolutions of their own.
    fn split(&mut self, index: usize, node: &Node<'a>) -> Result<(), Departure> {
        let Some(convolution) = self.open(node.input(0)).filter(|_| node.is_along(1, 4)) else {
            self.note(node);
            return Ok(());
        };
        let sizes = self.parts(node, convolution.spec.geometry.out_channels)?;
        let mut from = 0;
        let mut open = Vec::new();
        for (part, (size, output)) in sizes.into_iter().zip(&node.outputs).enumerate() {
            let convolution = convolution.part((index, part), from..from + size);
            let convolution = convolution.ok_or_else(|| {
                departure(node, "parts of a convolution in groups, or of halves".into(), "one of neither")
            })?;
            open.push((*output, Meaning::Open(Box::new(convolution))));
            from += size;
        }
        self.meanings.extend(open);
        Ok(())
    }

    /// How many of an axis's positions each output of a split takes.
    pub(super) fn parts(&self, node: &Node<'a>, all: usize) -> Result<Vec<usize>, Departure> {
        let parts = node.outputs.len();
        let given = match node.input(1) {
            Some(name) => self.model.numbers(name, MAX_INPUTS),
            None => node.integers("split").map(|sizes| sizes.into_iter().map(|size| size as f64).collect()),
        };
        let sizes: Vec<usize> = match given {
            Some(sizes) => sizes.into_iter().map(|size| size as usize).collect(),
            None if parts > 0 && all.is_multiple_of(parts) => vec![all / parts; parts],
            None => Vec::new(),
        };
        if sizes.len() != parts
            || sizes.contains(&0)
            || sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)) != Some(all)
        {
            let found = format!("{all} channels in parts of {sizes:?}");
            return Err(departure(node, found, "one size for each part, all together"));
        }
        Ok(sizes)
    }

    /// The layer that a node reads at `index`, if it is one.
    fn input(&mut self, node: &Node<'a>, index: usize) -> Result<Option<Feature>, Departure> {
        node.input(index).map_or(Ok(None), |name| self.get(name))
    }

    /// Gives a convolution its place, its tensors included.
    pub(super) fn place(
        &mut self,
        convolution: &Convolution<'a>,
        residual: Option<(NodeId, Residual)>,
    ) -> Result<Feature, Departure> {
        let declared = self.graph.convolutions().iter().position(|spec| spec.name == convolution.spec.name);
        let declared = match declared {
            Some(declared) if self.graph.convolutions()[declared] == convolution.spec => declared,
            Some(_) => {
                return Err(Departure {
                    place: convolution.place.clone(),
                    found: "the same convolution with two activations".into(),
                    expected: "one".into(),
                });
            }
            None => {
                for (suffix, tensor) in convolution.tensors() {
                    self.tensors.insert(format!("{}.{suffix}", convolution.spec.name), tensor.clone());
                }
                self.graph.declare(convolution.input.node, convolution.spec.clone())
            }
        };
        let node = self.graph.place(declared, convolution.input.node, residual);
        Ok(Feature { node, size: convolution.size, doublings: convolution.input.doublings })
    }
}

/// Kernel, stride and pixels before the picture of a square window; both axes are alike.
pub(super) fn square(node: &Node<'_>) -> Result<[usize; 3], Departure> {
    let kernel = node.integers("kernel_shape");
    let strides = node.integers("strides").unwrap_or_else(|| vec![1, 1]);
    let pads = node.integers("pads").unwrap_or_else(|| vec![0; 4]);
    let dilations = node.integers("dilations").unwrap_or_else(|| vec![1, 1]);
    let bounded = |value: i64| usize::try_from(value).ok().filter(|&value| value <= MAX_REACH);
    let window = match (kernel.as_deref(), &strides[..], &pads[..]) {
        (Some(&[rows, columns]), &[down, across], &[top, left, bottom, right])
            if rows == columns
                && down == across
                && top == left
                && bottom == right
                && rows > 0
                && down > 0 =>
        {
            [rows, down, top].map(bounded)
        }
        _ => [None; 3],
    };
    let explicit = node.text("auto_pad").is_none_or(|mode| mode == "NOTSET");
    match window {
        [Some(size), Some(stride), Some(before)] if explicit && dilations == [1, 1] => {
            Ok([size, stride, before])
        }
        _ => {
            let found = format!(
                "{} of {kernel:?} with strides {strides:?}, pads {pads:?} and dilations {dilations:?}",
                node.describe()
            );
            Err(departure(
                node,
                found,
                "a square one with explicit pads, the same on both axes, without dilations",
            ))
        }
    }
}

/// What is wrong with a node.
pub(super) fn departure(node: &Node<'_>, found: String, expected: &str) -> Departure {
    Departure { place: node.describe(), found, expected: expected.into() }
}
