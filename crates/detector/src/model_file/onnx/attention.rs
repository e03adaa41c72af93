//! Attention over all pixels, as YOLO11 has it: the channels of one convolution are queries, keys and values of several
//! heads, each of which becomes a layer of its own.
//!
//! Values have four axes here: batch, heads, channels and pixels.

use super::Departure;
use super::convolution::Convolution;
use super::features::{Feature, Features, MAX_INPUTS, Meaning, departure};
use super::model::Node;

/// A value on the way from a convolution to what its heads make.
#[derive(Debug, Clone)]
pub(super) enum Attending<'a> {
    /// The channels of a convolution, shared by so many heads.
    Heads(Box<Convolution<'a>>, usize),
    /// A layer of each head.
    Parts(Parts),
    /// How much each pixel has to do with each other.
    Scores {
        queries: Vec<Feature>,
        keys: Vec<Feature>,
        factor: f32,
        /// Whether the scores of a pixel are shares of one.
        shares: bool,
        /// Whether the last axis is that of the pixels that look, not of those that are looked at.
        transposed: bool,
    },
}

/// A layer of each head, all of one shape.
#[derive(Debug, Clone)]
pub(super) struct Parts {
    layers: Vec<Feature>,
    factor: f32,
    /// Whether pixels come before channels.
    transposed: bool,
}

impl<'a> Features<'_, 'a> {
    /// The channels of a convolution as those of several heads, or the layers of all heads one after the other.
    pub(super) fn reshape(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let Some(shape) = node.input(1).and_then(|name| self.model.numbers(name, 4)) else { return Ok(None) };
        let &[_, second, third, last] = shape.as_slice() else { return Ok(None) };
        let is = |number: f64, expected: usize| number == expected as f64 || number == -1.0;
        if let Some(Attending::Parts(Parts { layers, factor: 1.0, transposed: false })) =
            self.attending(node, 0)
        {
            let layers = layers.clone();
            let Some(&first) = layers.first() else { return Ok(None) };
            let channels = layers.len() * self.channels(first);
            if !(is(second, channels) && is(third, first.size.0) && is(last, first.size.1)) {
                return Ok(None);
            }
            let joined = self.graph.concat(layers.iter().map(|layer| layer.node).collect());
            return Ok(Some(Meaning::Placed(Feature { node: joined, ..first })));
        }
        let Some(convolution) = self.open(node.input(0)) else { return Ok(None) };
        let channels = convolution.spec.geometry.out_channels;
        let heads = second as usize;
        if !(1..=MAX_INPUTS).contains(&heads)
            || !channels.is_multiple_of(heads)
            || !is(third, channels / heads)
            || !is(last, convolution.size.0 * convolution.size.1)
        {
            return Ok(None);
        }
        let heads = Attending::Heads(Box::new(convolution.clone()), heads);
        Ok(Some(Meaning::Attending(heads)))
    }

    /// Parts of every head's channels.
    pub(super) fn split_heads(&mut self, index: usize, node: &Node<'a>) -> Result<(), Departure> {
        let Some(Attending::Heads(convolution, heads)) = self.attending(node, 0).cloned() else {
            self.note(node);
            return Ok(());
        };
        let each = convolution.spec.geometry.out_channels / heads;
        let sizes = self.parts(node, each)?;
        let mut from = 0;
        for (part, (size, output)) in sizes.iter().zip(&node.outputs).enumerate() {
            let mut layers = Vec::with_capacity(heads);
            for head in 0..heads {
                let first = head * each + from;
                let part = convolution.part((index, part * heads + head), first..first + size);
                let part = part.ok_or_else(|| {
                    departure(node, "parts of a convolution in groups, or of halves".into(), "one of neither")
                })?;
                layers.push(self.place(&part, None)?);
            }
            let parts = Parts { layers, factor: 1.0, transposed: false };
            self.meanings.insert(output, Meaning::Attending(Attending::Parts(parts)));
            from += size;
        }
        Ok(())
    }

    /// A part or scores times a number.
    pub(super) fn scaled(&self, node: &Node<'a>) -> Option<Meaning<'a>> {
        let (value, number) = [(0, 1), (1, 0)].into_iter().find_map(|(value, number)| {
            let number = self.model.number(node.input(number)?)? as f32;
            Some((self.attending(node, value)?, number))
        })?;
        let mut value = value.clone();
        match &mut value {
            Attending::Parts(Parts { factor, .. }) | Attending::Scores { factor, shares: false, .. } => {
                *factor *= number;
            }
            Attending::Heads(..) | Attending::Scores { .. } => return None,
        }
        Some(Meaning::Attending(value))
    }

    /// With the last two axes the other way round.
    pub(super) fn transposed(&self, node: &Node<'a>) -> Option<Meaning<'a>> {
        if node.integers("perm")? != [0, 1, 3, 2] {
            return None;
        }
        let mut value = self.attending(node, 0)?.clone();
        match &mut value {
            Attending::Parts(Parts { transposed, .. }) | Attending::Scores { transposed, .. } => {
                *transposed = !*transposed;
            }
            Attending::Heads(..) => return None,
        }
        Some(Meaning::Attending(value))
    }

    /// Queries times keys, or values times shares.
    pub(super) fn product(&mut self, node: &Node<'a>) -> Result<Option<Meaning<'a>>, Departure> {
        let (Some(first), Some(second)) =
            (self.attending(node, 0).cloned(), self.attending(node, 1).cloned())
        else {
            return Ok(None);
        };
        match (first, second) {
            (
                Attending::Parts(Parts { layers: queries, factor, transposed: true }),
                Attending::Parts(Parts { layers: keys, factor: other, transposed: false }),
            ) => {
                if self.shapes(&queries) != self.shapes(&keys) {
                    return Err(departure(node, "queries and keys of several shapes".into(), "one shape"));
                }
                let factor = factor * other;
                if !factor.is_finite() {
                    return Err(departure(node, format!("products times {factor}"), "a number"));
                }
                let scores = Attending::Scores { queries, keys, factor, shares: false, transposed: false };
                Ok(Some(Meaning::Attending(scores)))
            }
            (
                Attending::Parts(Parts { layers: values, factor: 1.0, transposed: false }),
                Attending::Scores { queries, keys, factor, shares: true, transposed: true },
            ) => {
                let sizes = |layers: &[Feature]| layers.iter().map(|layer| layer.size).collect::<Vec<_>>();
                if sizes(&values) != sizes(&queries) {
                    let found = "values of another height and width than queries".into();
                    return Err(departure(node, found, "one height and width"));
                }
                let mut layers = Vec::with_capacity(values.len());
                for ((query, key), value) in queries.iter().zip(&keys).zip(&values) {
                    let made = self.graph.attention(query.node, key.node, value.node, factor);
                    let doublings = query.doublings.max(key.doublings).max(value.doublings);
                    layers.push(Feature { node: made, doublings, ..*value });
                }
                let parts = Parts { layers, factor: 1.0, transposed: false };
                Ok(Some(Meaning::Attending(Attending::Parts(parts))))
            }
            _ => Ok(None),
        }
    }

    /// Scores as shares of one.
    pub(super) fn shares(&self, node: &Node<'a>) -> Option<Meaning<'a>> {
        let mut value = self.attending(node, 0)?.clone();
        match (&mut value, node.integer("axis")) {
            (Attending::Scores { shares, transposed: false, .. }, Some(-1 | 3)) => *shares = true,
            _ => return None,
        }
        Some(Meaning::Attending(value))
    }

    fn attending(&self, node: &Node<'a>, index: usize) -> Option<&Attending<'a>> {
        match self.meanings.get(self.model.resolve(node.input(index)?))? {
            Meaning::Attending(attending) => Some(attending),
            Meaning::Placed(_) | Meaning::Open(_) | Meaning::Sigmoid(_) => None,
        }
    }

    /// Channels, height and width of each layer.
    fn shapes(&self, layers: &[Feature]) -> Vec<(usize, (usize, usize))> {
        layers.iter().map(|layer| (self.channels(*layer), layer.size)).collect()
    }
}
