//! A frozen graph: nodes by name, where they lie in the file.
//!
//! Field numbers are those of TensorFlow's `graph.proto`, `node_def.proto` and `attr_value.proto`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use super::Departure;
use crate::model_file::protobuf::{Damage, Value, fields, integers};

/// Most nodes of a graph; those of a detector are a few thousand.
const MAX_NODES: usize = 65_536;
/// Longest way through nodes that pass a value on.
const MAX_STEPS: usize = 32;
/// Characters of a name that a message shows.
const SHOWN: usize = 80;

/// A node of the graph.
pub(super) type Id = usize;

#[derive(Debug, Clone, Copy)]
struct Node<'a> {
    name: &'a str,
    op: &'a str,
    /// The whole message; its fields are known to be sound.
    message: &'a [u8],
}

/// A graph whose nodes' fields are sound.
#[derive(Debug)]
pub(super) struct Graph<'a> {
    nodes: Vec<Node<'a>>,
    by_name: HashMap<&'a str, Id>,
}

impl<'a> Graph<'a> {
    /// Finds the nodes of a `GraphDef`.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Damage> {
        let mut nodes = Vec::new();
        let mut by_name = HashMap::new();
        for field in fields(bytes) {
            let (1, Value::Bytes(message)) = field? else { continue };
            if nodes.len() == MAX_NODES {
                return Err(Damage::TooMany(MAX_NODES));
            }
            let node = Node::parse(message)?;
            if by_name.insert(node.name, nodes.len()).is_some() {
                return Err(Damage::Twice);
            }
            nodes.push(node);
        }
        Ok(Self { nodes, by_name })
    }

    /// Every node.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        0..self.nodes.len()
    }

    /// Every node of this operation.
    pub(super) fn of(&self, op: &str) -> impl Iterator<Item = Id> {
        self.ids().filter(move |&id| self.op(id) == op)
    }

    pub(super) fn op(&self, id: Id) -> &'a str {
        self.nodes[id].op
    }

    /// A node in words.
    pub(super) fn describe(&self, id: Id) -> String {
        let Node { name, op, .. } = self.nodes[id];
        format!("{} {:?}", shortened(op), shortened(name))
    }

    /// The nodes whose first output is an input of `id`, in order; what is not in the graph is left out.
    pub(super) fn inputs(&self, id: Id) -> impl Iterator<Item = Option<Id>> {
        self.input_names(id).map(move |name| {
            let name = name.strip_suffix(":0").unwrap_or(name);
            self.by_name.get(name).copied()
        })
    }

    fn input_names(&self, id: Id) -> impl Iterator<Item = &'a str> {
        let bytes = fields(self.nodes[id].message).filter_map(|field| match field {
            Ok((3, Value::Bytes(name))) => std::str::from_utf8(name).ok(),
            _ => None,
        });
        // Control inputs come last and carry no value.
        bytes.filter(|name| !name.starts_with('^'))
    }

    /// The node that input `index` of `id` comes from, past all that pass a value on as it is.
    ///
    /// `place` is where the caller stands, for its message.
    pub(super) fn source(&self, id: Id, index: usize, place: &str) -> Result<Id, Departure> {
        let input = self.inputs(id).nth(index).flatten();
        match input {
            Some(input) => self.resolve(input, place),
            None => Err(Departure {
                place: place.into(),
                found: format!(
                    "{} with {:?} as its input {index}",
                    self.describe(id),
                    self.input_names(id).nth(index).map_or("nothing".into(), shortened)
                ),
                expected: "the first output of a node of the graph".into(),
            }),
        }
    }

    /// `id`, or the node that it passes the value of on.
    pub(super) fn resolve(&self, mut id: Id, place: &str) -> Result<Id, Departure> {
        for _ in 0..MAX_STEPS {
            if !matches!(self.op(id), "Identity" | "Cast" | "StopGradient" | "PreventGradient" | "Snapshot") {
                return Ok(id);
            }
            match self.inputs(id).next().flatten() {
                Some(input) => id = input,
                None => break,
            }
        }
        Err(Departure {
            place: place.into(),
            found: format!("{}, which passes nothing on", self.describe(id)),
            expected: "a value".into(),
        })
    }

    /// How many convolutions `id` depends on.
    pub(super) fn convolutions_before(&self, id: Id) -> usize {
        let mut seen = vec![false; self.nodes.len()];
        let mut open = vec![id];
        let mut count = 0;
        while let Some(id) = open.pop() {
            count += usize::from(self.op(id) == "Conv2D");
            open.extend(
                self.inputs(id).flatten().filter(|&input| !std::mem::replace(&mut seen[input], true)),
            );
        }
        count
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

    /// The message of an attribute's value.
    fn attribute(&self, id: Id, name: &str) -> Option<&'a [u8]> {
        fields(self.nodes[id].message).find_map(|field| match field {
            Ok((5, Value::Bytes(entry))) => {
                let mut value = None;
                let mut found = false;
                for field in fields(entry) {
                    match field {
                        Ok((1, Value::Bytes(key))) => found = key == name.as_bytes(),
                        Ok((2, Value::Bytes(message))) => value = Some(message),
                        _ => {}
                    }
                }
                value.filter(|_| found)
            }
            _ => None,
        })
    }

    fn attribute_field(&self, id: Id, name: &str, number: u64) -> Option<Value<'a>> {
        fields(self.attribute(id, name)?).find_map(|field| match field {
            Ok((found, value)) if found == number => Some(value),
            _ => None,
        })
    }

    pub(super) fn text(&self, id: Id, name: &str) -> Option<&'a str> {
        match self.attribute_field(id, name, 2)? {
            Value::Bytes(text) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }

    pub(super) fn float(&self, id: Id, name: &str) -> Option<f32> {
        match self.attribute_field(id, name, 4)? {
            Value::Fixed32(bytes) => Some(f32::from_le_bytes(bytes)),
            _ => None,
        }
    }

    pub(super) fn flag(&self, id: Id, name: &str) -> Option<bool> {
        match self.attribute_field(id, name, 5)? {
            Value::Varint(value) => Some(value != 0),
            _ => None,
        }
    }

    /// A list of integers, in the packed form that TensorFlow writes or one by one.
    pub(super) fn integers(&self, id: Id, name: &str) -> Option<Vec<i64>> {
        let Value::Bytes(list) = self.attribute_field(id, name, 1)? else { return None };
        integers(list, 3)
    }

    /// Whether an attribute says this of rows and columns, and nothing of batch and channels.
    pub(super) fn has_sides(&self, id: Id, name: &str, side: i64) -> bool {
        self.integers(id, name).is_some_and(|sides| sides == [1, side, side, 1])
    }

    /// The message of a shape.
    pub(super) fn shape(&self, id: Id, name: &str) -> Option<&'a [u8]> {
        match self.attribute_field(id, name, 7)? {
            Value::Bytes(shape) => Some(shape),
            _ => None,
        }
    }

    /// The message of a tensor.
    pub(super) fn tensor(&self, id: Id, name: &str) -> Option<&'a [u8]> {
        match self.attribute_field(id, name, 8)? {
            Value::Bytes(tensor) => Some(tensor),
            _ => None,
        }
    }
}

impl<'a> Node<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, Damage> {
        let (mut name, mut op) = ("", "");
        for field in fields(message) {
            match field? {
                (1, Value::Bytes(text)) => name = std::str::from_utf8(text).map_err(|_| Damage::Name)?,
                (2, Value::Bytes(text)) => op = std::str::from_utf8(text).map_err(|_| Damage::Name)?,
                _ => {}
            }
        }
        Ok(Self { name, op, message })
    }
}

/// The beginning of a name, for a message.
fn shortened(name: &str) -> String {
    name.chars().take(SHOWN).collect()
}
