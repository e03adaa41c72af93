//! A `.weights` file: a header, and the numbers of each convolution in the network's order.

use std::collections::HashMap;

use safetensors::Dtype;

use crate::graph::{ConvSpec, Norm};
use crate::model_file::tensor::Tensor;

/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();

/// The version that a file begins with: major, minor and revision.
fn version(bytes: &[u8]) -> Option<[u32; 3]> {
    let (words, _) = bytes.as_chunks::<4>();
    Some([0, 1, 2].map(|index| words.get(index).copied().map(u32::from_le_bytes)))
        .and_then(|words| Some([words[0]?, words[1]?, words[2]?]))
}

/// Whether a file looks like weights: small numbers for the version, then at least the pictures seen in training.
pub(super) fn is_weights(bytes: &[u8]) -> bool {
    /// Larger than those of any release.
    const MAX_VERSION: u32 = 100;
    bytes.len() >= 16 && version(bytes).is_some_and(|version| version.iter().all(|&part| part < MAX_VERSION))
}

/// The numbers after the header; since version 0.2 the pictures seen in training take 64 bits instead of 32.
fn numbers(bytes: &[u8]) -> Result<&[u8], String> {
    let [major, minor, _] = version(bytes).ok_or("it ends within its header")?;
    let header = if major.saturating_mul(10).saturating_add(minor) >= 2 { 20 } else { 16 };
    bytes.get(header..).ok_or_else(|| "it ends within its header".into())
}

/// The tensors of `convolutions`, by the names of the native form.
pub(super) fn tensors<'a>(
    bytes: &'a [u8],
    convolutions: &[ConvSpec],
) -> Result<HashMap<String, Tensor<'a>>, String> {
    let all = numbers(bytes)?;
    let vectors = |spec: &ConvSpec| match spec.norm {
        Norm::Batch => 4,
        Norm::Bias | Norm::None => 1,
    };
    let needed = convolutions.iter().try_fold(0usize, |sum, spec| {
        let own =
            spec.geometry.out_channels.checked_mul(spec.geometry.depth().checked_add(vectors(spec))?)?;
        sum.checked_add(own)
    });
    if needed.and_then(|needed| needed.checked_mul(NUMBER)) != Some(all.len()) {
        let needed = needed.map_or("far more".into(), |needed| needed.to_string());
        let found = all.len() / NUMBER;
        return Err(format!("it holds {found} numbers, and the configuration's layers have {needed}"));
    }
    let mut rest = all;
    let mut tensors = HashMap::new();
    for spec in convolutions {
        let geometry = &spec.geometry;
        let parts: &[&str] = match spec.norm {
            Norm::Batch => &["bn.beta", "bn.gamma", "bn.mean", "bn.variance"],
            Norm::Bias | Norm::None => &["bias"],
        };
        let vector = vec![geometry.out_channels];
        let weight = vec![geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel];
        let shapes = parts.iter().map(|part| (*part, vector.clone())).chain([("weight", weight)]);
        for (part, shape) in shapes {
            let length = shape.iter().product::<usize>() * NUMBER;
            // All lengths together are that of the file.
            let (data, after) = rest.split_at_checked(length).ok_or("it ends within a layer")?;
            rest = after;
            tensors.insert(format!("{}.{part}", spec.name), Tensor::new(shape, Dtype::F32, data));
        }
    }
    Ok(tensors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Geometry};

    fn conv(name: &str, norm: Norm) -> ConvSpec {
        ConvSpec {
            name: name.into(),
            geometry: Geometry { in_channels: 3, out_channels: 2, kernel: 1, stride: 1 },
            norm,
            activation: Activation::Identity,
        }
    }

    fn file(version: [u32; 3], seen: &[u8], numbers: u16) -> Vec<u8> {
        let mut bytes: Vec<u8> = version.iter().flat_map(|part| part.to_le_bytes()).collect();
        bytes.extend(seen);
        bytes.extend((0..numbers).flat_map(|number| f32::from(number).to_le_bytes()));
        bytes
    }

    #[test]
    fn both_headers_and_both_kinds_of_convolution() {
        let convolutions = [conv("a", Norm::Batch), conv("b", Norm::Bias)];
        for bytes in
            [file([0, 1, 0], &[9; 4], 22), file([0, 2, 5], &[9; 8], 22), file([1, 0, 0], &[9; 8], 22)]
        {
            assert!(is_weights(&bytes));
            let tensors = tensors(&bytes, &convolutions).unwrap();
            let values = |name: &str| tensors[name].values().unwrap();
            assert_eq!(values("a.bn.beta"), [0.0, 1.0]);
            assert_eq!(values("a.bn.gamma"), [2.0, 3.0]);
            assert_eq!(values("a.bn.mean"), [4.0, 5.0]);
            assert_eq!(values("a.bn.variance"), [6.0, 7.0]);
            assert_eq!(values("a.weight"), [8.0, 9.0, 10.0, 11.0, 12.0, 13.0]);
            assert_eq!(values("b.bias"), [14.0, 15.0]);
            assert_eq!(values("b.weight")[5], 21.0);
        }
    }

    #[test]
    fn another_length_is_an_error() {
        let convolutions = [conv("a", Norm::Batch), conv("b", Norm::Bias)];
        let mut bytes = file([0, 2, 0], &[0; 8], 23);
        let problem = tensors(&bytes, &convolutions).unwrap_err();
        assert_eq!(problem, "it holds 23 numbers, and the configuration's layers have 22");
        bytes.truncate(20 + 22 * 4 - 1);
        assert!(tensors(&bytes, &convolutions).is_err());
        assert_eq!(tensors(&bytes[..17], &convolutions).unwrap_err(), "it ends within its header");
    }
}
