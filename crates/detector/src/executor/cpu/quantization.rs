//! How activations are stored, and what bytes stand for.

use super::simd::MOST_BYTES;
use crate::graph::{Graph, Op};

/// What a byte stands for: `(byte - zero) * scale`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Quantization {
    pub(super) scale: f32,
    /// The byte that stands for 0.
    pub(super) zero: u8,
}

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

/// How activations are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Storage {
    Numbers,
    /// bfloat16.
    Halves,
    Bytes(Quantization),
}

impl Storage {
    /// Activations in the room of an `f32`.
    pub(super) fn each(self) -> usize {
        match self {
            Self::Numbers => 1,
            Self::Halves => 2,
            Self::Bytes(_) => 4,
        }
    }

    /// Activations in the room of an `f32` at the points of Winograd's convolution, where bytes become halves.
    pub(super) fn each_at_points(self) -> usize {
        self.each().min(2)
    }

    /// The byte that stands for 0, or of which the number 0 is made.
    pub(super) fn zero(self) -> u8 {
        match self {
            Self::Numbers | Self::Halves => 0,
            Self::Bytes(quantization) => quantization.zero,
        }
    }
}

impl Quantization {
    /// The finest for values from `least` to `most`, between which 0 lies or is put. 0 itself is exact, so that borders are.
    pub(super) fn of([least, most]: [f32; 2]) -> Self {
        let (least, most) = (least.min(0.0), most.max(0.0));
        // Where everything is 0, any scale will do.
        let scale = if most > least { (most - least) / 255.0 } else { 1.0 };
        Self { scale, zero: (-least / scale).round() as u8 }
    }
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
        fn a_range_is_told_apart_in_255_steps(least in -1e3f32..10.0, width in 1e-3f32..1e3) {
            let most = least + width;
            let Quantization { scale, zero } = Quantization::of([least, most]);
            let value = |byte: u8| (f32::from(byte) - f32::from(zero)) * scale;
            let whole = most.max(0.0) - least.min(0.0);
            prop_assert!((255.0 * scale - whole).abs() <= 1e-5 * whole);
            prop_assert!((value(0) - least.min(0.0)).abs() <= 0.501 * scale);
            prop_assert!((value(255) - most.max(0.0)).abs() <= 0.501 * scale);
        }

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
        assert_eq!(Quantization::of([0.0, 0.0]), Quantization { scale: 1.0, zero: 0 });
        let weights = QuantizedWeights::of(&[0.0; 4], 4);
        assert_eq!((weights.sum(0), weights.scales), (0, vec![1.0]));
    }
}
