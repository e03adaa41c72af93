//! The end of a model, walked from its output backwards.

use super::features::{Feature, Features};
use super::model::{Model, Node};
use super::{Departure, Heads, yolov5, yolov8};

/// Most heads.
const MAX_HEADS: usize = 16;
/// Most operations in a row that only arrange values anew.
const MAX_STEPS: usize = 8;

/// Finds how boxes are made of the heads, and makes these the outputs of the network.
pub(super) fn find<'a>(model: &Model<'a>, features: &mut Features<'_, 'a>) -> Result<Heads, Departure> {
    let tail = Tail { model };
    let Some(&output) = model.outputs().first() else {
        return Err(Departure { place: "the output".into(), found: "none".into(), expected: "one".into() });
    };
    let end = tail.node(output, "Concat", "of the boxes of all heads, or of boxes and scores")?;
    let arranged = end.input(0).and_then(|first| model.producer(model.resolve(first)));
    if arranged.is_some_and(|node| node.op == "Reshape") {
        yolov5::read(&tail, end, features)
    } else {
        yolov8::read(&tail, end, features)
    }
}

/// A small constant.
#[derive(Debug)]
pub(super) struct Numbers {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

/// A model's operations from behind.
#[derive(Debug)]
pub(super) struct Tail<'m, 'a> {
    pub(super) model: &'m Model<'a>,
}

impl<'m, 'a> Tail<'m, 'a> {
    /// The node of this operation that makes a value; `what` says more of it.
    pub(super) fn node(&self, name: &'a str, op: &str, what: &str) -> Result<&'m Node<'a>, Departure> {
        let node = self.model.producer(self.model.resolve(name));
        match node {
            Some(node) if node.op == op => Ok(node),
            Some(node) => Err(Departure {
                place: "the end of the model".into(),
                found: node.describe(),
                expected: format!("{op} {what}"),
            }),
            None => Err(Departure {
                place: "the end of the model".into(),
                found: format!("{name:.80?}, which no operation makes"),
                expected: format!("{op} {what}"),
            }),
        }
    }

    /// The value that a node reads at `index`, past all that pass it on.
    pub(super) fn input(&self, node: &Node<'a>, index: usize) -> Result<&'a str, Departure> {
        let input = node.input(index).map(|name| self.model.resolve(name));
        input.ok_or_else(|| self.departure(node, "another input"))
    }

    /// The constant that a node of two inputs reads, of at most so many numbers, and the value that it reads beside it.
    pub(super) fn constant(&self, node: &Node<'a>, most: usize) -> Result<(&'a str, Numbers), Departure> {
        let sides = [(0, 1), (1, 0)].into_iter();
        let mut found = sides.filter_map(|(value, constant)| {
            let constant = self.model.constant(node.input(constant)?)?.ok()?;
            let values = constant.numbers(most)?;
            Some((node.input(value)?, Numbers { shape: constant.shape, values }))
        });
        let (value, numbers) =
            found.next().ok_or_else(|| self.departure(node, "a constant as one of its inputs"))?;
        Ok((self.model.resolve(value), numbers))
    }

    /// The value that this one is times, plus or to the power of a number, which is the expected one.
    pub(super) fn number(&self, name: &'a str, op: &str, expected: f64) -> Result<&'a str, Departure> {
        let node = self.node(name, op, &format!("with {expected}"))?;
        match self.constant(node, 1)? {
            (value, Numbers { values, .. }) if values == [expected] => Ok(value),
            _ => Err(self.departure(node, &format!("{expected}"))),
        }
    }

    /// The value that this one is a part of: the part at this position, which begins at `start` if it is cut out by itself.
    pub(super) fn whole(&self, name: &'a str, position: usize, start: usize) -> Result<&'a str, Departure> {
        let name = self.model.resolve(name);
        match self.model.producer(name) {
            Some(node) if node.op == "Split" && node.outputs.get(position) == Some(&name) => {
                self.input(node, 0)
            }
            Some(node) if node.op == "Slice" => match node.input(1).map(|found| self.model.number(found)) {
                // Where the second half begins is often computed from the whole.
                Some(found) if found.is_none_or(|found| found == start as f64) => self.input(node, 0),
                _ => Err(self.departure(node, &format!("{start} as its start"))),
            },
            Some(node) => Err(self.departure(node, "parts of what the heads hold")),
            None => self.node(name, "Split", "of what the heads hold").map(|node| node.output()),
        }
    }

    /// The value that this one is, before its numbers were arranged anew.
    pub(super) fn unarranged(&self, name: &'a str) -> &'a str {
        let mut name = self.model.resolve(name);
        for _ in 0..MAX_STEPS {
            match self.model.producer(name) {
                Some(node) if matches!(node.op, "Reshape" | "Transpose" | "Flatten") => match node.input(0) {
                    Some(input) => name = self.model.resolve(input),
                    None => break,
                },
                _ => break,
            }
        }
        name
    }

    /// The layers that a value is made of, one for each head, one after the other.
    pub(super) fn layers(
        &self,
        name: &'a str,
        features: &mut Features<'_, 'a>,
    ) -> Result<Vec<Feature>, Departure> {
        let joined = self.node(self.unarranged(name), "Concat", "of all heads")?;
        if !(1..=MAX_HEADS).contains(&joined.inputs.len()) {
            return Err(self.departure(joined, &format!("1 to {MAX_HEADS} heads")));
        }
        joined.inputs.iter().map(|head| self.layer(head, features)).collect()
    }

    /// The layer that a value is, arranged anew.
    pub(super) fn layer(&self, name: &'a str, features: &mut Features<'_, 'a>) -> Result<Feature, Departure> {
        let source = self.unarranged(name);
        if let Some(feature) = features.get(source)? {
            return Ok(feature);
        }
        // What stands between is what the message should name.
        let found = features.first_other.clone();
        Err(Departure {
            place: "the layers".into(),
            found: found.unwrap_or_else(|| format!("{source:.80?}, which is no layer")),
            expected: "convolutions, SiLU, ReLU, leaky ReLU, sums, concatenations and splits of channels, maxima of \
                       windows, upsampling by two, attention"
                .into(),
        })
    }

    pub(super) fn departure(&self, node: &Node<'a>, expected: &str) -> Departure {
        Departure {
            place: "the end of the model".into(),
            found: node.describe(),
            expected: format!("{} with {expected}", node.op),
        }
    }
}
