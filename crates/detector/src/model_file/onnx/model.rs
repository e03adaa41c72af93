//! A `ModelProto`: nodes and constants by the names of the values they make, where they lie in the file.
//!
//! Field numbers are those of ONNX's `onnx.proto`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::tensor;
use crate::model_file::protobuf::{Constant, Damage, Value, fields, integers};

/// Most nodes of a graph; those of a detector are a few hundred.
const MAX_NODES: usize = 16_384;
/// Longest way through nodes that pass a value on.
const MAX_STEPS: usize = 32;
/// Most dimensions of an input.
const MAX_RANK: usize = 8;
/// Most entries of the metadata.
const MAX_ENTRIES: usize = 256;
/// Characters of a name that a message shows.
const SHOWN: usize = 80;

/// One operation.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) op: &'a str,
    /// The names of the values that it reads; an optional one that is left out is empty.
    pub(super) inputs: Vec<&'a str>,
    pub(super) outputs: Vec<&'a str>,
    /// Messages of its attributes by name.
    attributes: Vec<(&'a str, &'a [u8])>,
}

/// A picture that goes in.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub(super) name: &'a str,
    /// Its sizes; none where the model leaves one open.
    pub(super) shape: Vec<Option<usize>>,
}

/// A model whose nodes' fields are sound.
#[derive(Debug, Default)]
pub(super) struct Model<'a> {
    nodes: Vec<Node<'a>>,
    /// The position of the node that makes a value.
    producers: HashMap<&'a str, usize>,
    /// The message of each constant that is not a node.
    initializers: HashMap<&'a str, &'a [u8]>,
    inputs: Vec<Input<'a>>,
    outputs: Vec<&'a str>,
    metadata: HashMap<&'a str, &'a str>,
}

impl<'a> Model<'a> {
    /// Finds what is in a `ModelProto`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut model = Self::default();
        for field in fields(bytes) {
            match field? {
                (7, Value::Bytes(graph)) => model.graph(graph)?,
                (14, Value::Bytes(entry)) if model.metadata.len() < MAX_ENTRIES => {
                    let (key, value) = pair(entry)?;
                    model.metadata.insert(key, value);
                }
                _ => {}
            }
        }
        // Older models list their constants among the inputs, too.
        let Self { inputs, initializers, .. } = &mut model;
        inputs.retain(|input| !initializers.contains_key(input.name));
        Ok(model)
    }

    fn graph(&mut self, graph: &'a [u8]) -> Result<(), Damage> {
        for field in fields(graph) {
            let (number, Value::Bytes(message)) = field? else { continue };
            if self.nodes.len() + self.initializers.len() + self.inputs.len() + self.outputs.len() > MAX_NODES
            {
                return Err(Damage::TooMany(MAX_NODES));
            }
            match number {
                1 => {
                    let node = Node::parse(message)?;
                    for output in node.outputs.iter().filter(|output| !output.is_empty()) {
                        if self.producers.insert(output, self.nodes.len()).is_some() {
                            return Err(Damage::Twice);
                        }
                    }
                    self.nodes.push(node);
                }
                5 => {
                    let name = text(message, 8)?.unwrap_or_default();
                    if self.initializers.insert(name, message).is_some() {
                        return Err(Damage::Twice);
                    }
                }
                11 => self.inputs.push(Input::parse(message)?),
                12 => self.outputs.extend(text(message, 1)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// The nodes in their order, in which each comes after those that it reads.
    pub(super) fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// What goes in, without constants.
    pub(super) fn inputs(&self) -> &[Input<'a>] {
        &self.inputs
    }

    /// The values that come out.
    pub(super) fn outputs(&self) -> &[&'a str] {
        &self.outputs
    }

    /// A note that the exporter left.
    pub(super) fn note(&self, key: &str) -> Option<&'a str> {
        self.metadata.get(key).copied()
    }

    /// The value that `name` is, past all that pass a value on as it is.
    pub(super) fn resolve(&self, mut name: &'a str) -> &'a str {
        for _ in 0..MAX_STEPS {
            match self.producer(name) {
                Some(node) if matches!(node.op, "Identity" | "Cast" | "Dropout") => match node.inputs.first()
                {
                    Some(input) => name = input,
                    None => return name,
                },
                _ => return name,
            }
        }
        name
    }

    /// The node that makes a value.
    pub(super) fn producer(&self, name: &str) -> Option<&Node<'a>> {
        self.producers.get(name).map(|&id| &self.nodes[id])
    }

    /// The constant of a name; none if the value is not constant.
    ///
    /// # Errors
    ///
    /// If it is a constant that cannot be read: what it is, in words.
    pub(super) fn constant(&self, name: &'a str) -> Option<Result<Constant<'a>, String>> {
        let name = self.resolve(name);
        if let Some(message) = self.initializers.get(name) {
            return Some(tensor::parse(message));
        }
        let node = self.producer(name).filter(|node| node.op == "Constant")?;
        Some(node.tensor("value").ok_or_else(|| "without a tensor".to_owned()).and_then(tensor::parse))
    }

    /// The numbers of a constant, at most `most`; none if it is not a constant of so few numbers.
    pub(super) fn numbers(&self, name: &'a str, most: usize) -> Option<Vec<f64>> {
        self.constant(name)?.ok()?.numbers(most)
    }

    /// The only number of a constant.
    pub(super) fn number(&self, name: &'a str) -> Option<f64> {
        self.numbers(name, 1)?.first().copied()
    }

    /// The number of nodes and the operations that occur most, in words.
    pub(super) fn summary(&self) -> String {
        const OPERATIONS: usize = 8;
        let mut counts = BTreeMap::new();
        for node in &self.nodes {
            *counts.entry(node.op).or_insert(0) += 1;
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        let mut text = format!("{} nodes", self.nodes.len());
        for (index, (op, count)) in counts.into_iter().take(OPERATIONS).enumerate() {
            let separator = if index == 0 { ": " } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(text, "{separator}{count} {}", shortened(op));
        }
        text
    }
}

impl<'a> Node<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Damage> {
        let mut node = Self { name: "", op: "", inputs: vec![], outputs: vec![], attributes: vec![] };
        for field in fields(message) {
            let (number, Value::Bytes(bytes)) = field? else { continue };
            if node.inputs.len() + node.outputs.len() + node.attributes.len() > MAX_NODES {
                return Err(Damage::TooMany(MAX_NODES));
            }
            let utf8 = || std::str::from_utf8(bytes).map_err(|_| Damage::Name);
            match number {
                1 => node.inputs.push(utf8()?),
                2 => node.outputs.push(utf8()?),
                3 => node.name = utf8()?,
                4 => node.op = utf8()?,
                5 => node.attributes.push((text(bytes, 1)?.unwrap_or_default(), bytes)),
                // Operations outside of ONNX's own may do anything.
                7 if !bytes.is_empty() && bytes != b"ai.onnx" => node.op = "an operation of another domain",
                _ => {}
            }
        }
        Ok(node)
    }

    /// It in words.
    pub(super) fn describe(&self) -> String {
        let name = if self.name.is_empty() { self.output() } else { self.name };
        format!("{} {:?}", shortened(self.op), shortened(name))
    }

    /// The first value that it makes.
    pub(super) fn output(&self) -> &'a str {
        self.outputs.first().copied().unwrap_or_default()
    }

    /// The value that it reads at `index`, if there is one.
    pub(super) fn input(&self, index: usize) -> Option<&'a str> {
        self.inputs.get(index).copied().filter(|name| !name.is_empty())
    }

    /// The value of an attribute's field.
    fn attribute(&self, name: &str, number: u64) -> Option<Value<'a>> {
        let (_, message) = self.attributes.iter().find(|(found, _)| *found == name)?;
        fields(message).find_map(|field| match field {
            Ok((found, value)) if found == number => Some(value),
            _ => None,
        })
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        match self.attribute(name, 2)? {
            Value::Fixed32(bytes) => Some(f32::from_le_bytes(bytes)),
            _ => None,
        }
    }

    pub(super) fn integer(&self, name: &str) -> Option<i64> {
        match self.attribute(name, 3)? {
            Value::Varint(value) => Some(value.cast_signed()),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        match self.attribute(name, 4)? {
            Value::Bytes(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    fn tensor(&self, name: &str) -> Option<&'a [u8]> {
        match self.attribute(name, 5)? {
            Value::Bytes(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// A list of integers, one by one or packed.
    pub(super) fn integers(&self, name: &str) -> Option<Vec<i64>> {
        let (_, message) = self.attributes.iter().find(|(found, _)| *found == name)?;
        integers(message, 8)
    }

    /// Whether it works along the axis of the channels, or the one of `index` of `rank` axes.
    pub(super) fn is_along(&self, axis: i64, rank: i64) -> bool {
        self.integer("axis").is_some_and(|found| found == axis || found + rank == axis)
    }
}

impl<'a> Input<'a> {
    /// Reads a `ValueInfoProto`.
    fn parse(message: &'a [u8]) -> Result<Self, Damage> {
        let name = text(message, 1)?.unwrap_or_default();
        let shape = inner(message, 2).and_then(|kind| inner(kind, 1)).and_then(|tensor| inner(tensor, 2));
        let dimensions = fields(shape.unwrap_or_default()).filter_map(|field| match field {
            Ok((1, Value::Bytes(dimension))) => Some(dimension),
            _ => None,
        });
        let size = |dimension| {
            fields(dimension).find_map(|field| match field {
                Ok((1, Value::Varint(size))) => usize::try_from(size).ok().filter(|&size| size > 0),
                _ => None,
            })
        };
        Ok(Self { name, shape: dimensions.map(size).take(MAX_RANK).collect() })
    }
}

/// The first message in a field.
fn inner(message: &[u8], number: u64) -> Option<&[u8]> {
    fields(message).find_map(|field| match field {
        Ok((found, Value::Bytes(bytes))) if found == number => Some(bytes),
        _ => None,
    })
}

/// The text in a field.
fn text(message: &[u8], number: u64) -> Result<Option<&str>, Damage> {
    for field in fields(message) {
        if let (found, Value::Bytes(bytes)) = field?
            && found == number
        {
            return std::str::from_utf8(bytes).map(Some).map_err(|_| Damage::Name);
        }
    }
    Ok(None)
}

/// The two texts of a `StringStringEntryProto`.
fn pair(message: &[u8]) -> Result<(&str, &str), Damage> {
    Ok((text(message, 1)?.unwrap_or_default(), text(message, 2)?.unwrap_or_default()))
}

/// The beginning of a name, for a message.
fn shortened(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}
