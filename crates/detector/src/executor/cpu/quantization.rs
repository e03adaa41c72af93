//! How each layer's output is stored, and weights as bytes.

use kernels::{MOST_BYTES, Quantization, Storage};

use crate::graph::{Graph, Op};

/// What a network computes with, but for what has to be numbers.
#[derive(Debug, Clone, Default)]
pub(crate) enum Arithmetic {
    /// Single precision.
    #[default]
    Single,
    /// bfloat16, with sums in single precision.
    Halves,
    /// Bytes, with these least and largest values of the convolutions' outputs, in their order.
    Bytes(Vec<[f32; 2]>),
}

/// How each layer's output is stored: the picture where others are halves, the network's outputs, what attention reads and
/// makes, and what would make sums of bytes too large are numbers.
///
/// Layers that share a place, or pass on what another made, are stored alike; as bytes they have the range of all of them
/// together.
pub(super) fn storages(graph: &Graph, arithmetic: &Arithmetic) -> Vec<Storage> {
    let nodes = graph.nodes();
    // The first layer of those that a layer shares its range with.
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    for (index, node) in nodes.iter().enumerate() {
        let inputs = match &node.op {
            Op::MaxPool { input, .. } | Op::Upsample { input } | Op::DepthToSpace { input } => {
                std::slice::from_ref(input)
            }
            Op::Concat { inputs } => inputs,
            Op::Picture | Op::Conv { .. } | Op::Attention { .. } => &[],
        };
        for input in inputs {
            let (one, other) = (group[index], group[input.index()]);
            group
                .iter_mut()
                .filter(|group| **group == one.max(other))
                .for_each(|group| *group = one.min(other));
        }
    }
    let mut numbers = vec![false; nodes.len()];
    for (index, node) in nodes.iter().enumerate() {
        match node.op {
            Op::Picture => numbers[group[index]] = matches!(arithmetic, Arithmetic::Halves),
            Op::Conv { convolution, input, .. }
                if matches!(arithmetic, Arithmetic::Bytes(_))
                    && graph.convolutions()[convolution].geometry.depth() > MOST_BYTES =>
            {
                numbers[group[input.index()]] = true;
            }
            Op::Attention { .. } => {
                numbers[group[index]] = true;
                node.op.inputs().iter().for_each(|input| numbers[group[input.index()]] = true);
            }
            _ => {}
        }
    }
    for output in graph.outputs() {
        numbers[group[output.index()]] = true;
    }
    let together = match arithmetic {
        Arithmetic::Bytes(ranges) => together(graph, ranges, &group),
        Arithmetic::Single | Arithmetic::Halves => Vec::new(),
    };
    let storage = |group: usize| match arithmetic {
        _ if numbers[group] => Storage::Numbers,
        Arithmetic::Single => Storage::Numbers,
        Arithmetic::Halves => Storage::Halves,
        Arithmetic::Bytes(_) => Storage::Bytes(Quantization::of(together[group])),
    };
    group.into_iter().map(storage).collect()
}

/// The range of each group of layers, of which `group` has every layer's. `ranges` are those of the convolutions' outputs.
fn together(graph: &Graph, ranges: &[[f32; 2]], group: &[usize]) -> Vec<[f32; 2]> {
    let mut together = vec![[0.0f32; 2]; group.len()];
    for (node, &group) in graph.nodes().iter().zip(group) {
        let [least, most] = match node.op {
            Op::Picture => [0.0, 1.0],
            Op::Conv { convolution, .. } => ranges[convolution],
            _ => continue,
        };
        let group = &mut together[group];
        *group = [group[0].min(least), group[1].max(most)];
    }
    together
}

/// Weights as bytes, with a scale for each output channel: `byte * scale`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QuantizedWeights {
    /// In the order of the weights.
    pub(crate) bytes: Vec<i8>,
    pub(crate) scales: Vec<f32>,
}

impl QuantizedWeights {
    /// Of weights whose output channels have `depth` each. The largest of a channel becomes 127 or -127.
    pub(crate) fn of(weights: &[f32], depth: usize) -> Self {
        let mut quantized = Self { bytes: Vec::with_capacity(weights.len()), scales: Vec::new() };
        for channel in weights.chunks_exact(depth) {
            let largest = channel.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let scale = if largest > 0.0 { largest / 127.0 } else { 1.0 };
            quantized.bytes.extend(channel.iter().map(|weight| (weight / scale).round() as i8));
            quantized.scales.push(scale);
        }
        quantized
    }

    /// The sum of a channel's bytes.
    pub(crate) fn sum(&self, channel: usize) -> i64 {
        let depth = self.bytes.len() / self.scales.len();
        self.bytes[channel * depth..][..depth].iter().map(|&byte| i64::from(byte)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn weights_of_bytes_are_the_same_bytes(
            bytes in prop::collection::vec(-127i8..=127, 8),
            scale in 1e-6f32..1e3,
        ) {
            let mut bytes = bytes;
            bytes[3] = -127;
            let weights: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) * scale).collect();
            prop_assert_eq!(QuantizedWeights::of(&weights, 8).bytes, bytes);
        }
    }

    #[test]
    fn nothing_but_zeros_has_a_scale() {
        let weights = QuantizedWeights::of(&[0.0; 4], 4);
        assert_eq!((weights.sum(0), weights.scales), (0, vec![1.0]));
    }
}
