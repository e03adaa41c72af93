//! A network's weights: checked against its convolutions, read, and their batch norm folded.

use half::f16;
#[cfg(feature = "detect")]
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{LoadError, Metadata, ModelFile, TensorProblem};
use crate::conv::{Conv2d, Engine};
use crate::network::{ConvSpec, Network, Norm, convolutions};

/// The four vectors of a batch norm.
const BATCH_NORM: [&str; 4] = ["bn.gamma", "bn.beta", "bn.mean", "bn.variance"];

/// Builds the network that `metadata` describes with the weights of `file`.
///
/// # Errors
///
/// If tensors are missing or of another type or shape: the error lists them all.
pub(crate) fn load_network(
    file: &ModelFile,
    metadata: &Metadata,
    engine: &Engine,
) -> Result<Network, LoadError> {
    let tensors = checked(file, metadata)?;
    let error = |problems| LoadError::Tensors { path: file.path.clone(), problems };
    let epsilon = metadata.family.batch_norm_epsilon();
    Network::build(metadata.scale(), &mut |spec| {
        let (weight, bias) = read(&tensors, &spec, epsilon).map_err(|problem| error(vec![problem]))?;
        Ok(Conv2d::new(engine, spec.geometry, spec.activation, weight, bias)?)
    })
}

/// The tensors of `file`, among which are those of the network that `metadata` describes, of the right types and
/// shapes.
///
/// # Errors
///
/// If some are not: the error lists them all.
pub(super) fn checked<'a>(file: &'a ModelFile, metadata: &Metadata) -> Result<SafeTensors<'a>, LoadError> {
    let tensors = file.tensors()?;
    let problems: Vec<_> =
        convolutions(metadata.scale()).iter().flat_map(|spec| check(&tensors, spec)).collect();
    if problems.is_empty() {
        Ok(tensors)
    } else {
        Err(LoadError::Tensors { path: file.path.clone(), problems })
    }
}

/// The checked tensors that the network is read from, by name, in its order.
#[cfg(feature = "detect")]
pub(super) fn used<'a>(tensors: &SafeTensors<'a>, metadata: &Metadata) -> Vec<(String, TensorView<'a>)> {
    let specs = convolutions(metadata.scale());
    let names = specs.iter().flat_map(|spec| parts(tensors, spec)).map(|(name, _)| name);
    names.filter_map(|name| tensors.tensor(&name).ok().map(|tensor| (name, tensor))).collect()
}

/// Whether the file has a bias for this convolution in place of its batch norm.
fn has_bias(tensors: &SafeTensors<'_>, spec: &ConvSpec) -> bool {
    tensors.tensor(&format!("{}.bias", spec.name)).is_ok()
}

/// The tensors that a convolution is read from, with their shapes.
fn parts(tensors: &SafeTensors<'_>, spec: &ConvSpec) -> Vec<(String, Vec<usize>)> {
    let geometry = &spec.geometry;
    let part = |suffix: &str, shape: Vec<usize>| (format!("{}.{suffix}", spec.name), shape);
    let mut parts = vec![part(
        "weight",
        vec![geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel],
    )];
    match spec.norm {
        Norm::Batch if !has_bias(tensors, spec) => {
            parts.extend(BATCH_NORM.map(|suffix| part(suffix, vec![geometry.out_channels])));
        }
        Norm::None if !has_bias(tensors, spec) => {}
        Norm::Batch | Norm::Bias | Norm::None => parts.push(part("bias", vec![geometry.out_channels])),
    }
    parts
}

/// What is wrong with the tensors of a convolution.
fn check(tensors: &SafeTensors<'_>, spec: &ConvSpec) -> Vec<TensorProblem> {
    let check_part = |(name, expected): (String, Vec<usize>)| match tensors.tensor(&name) {
        Err(_) => Some(TensorProblem::Missing { name }),
        Ok(tensor) if tensor.shape() != expected => {
            Some(TensorProblem::Shape { name, found: tensor.shape().to_vec(), expected })
        }
        Ok(tensor) if !matches!(tensor.dtype(), Dtype::F16 | Dtype::F32) => {
            Some(TensorProblem::Type { name, found: tensor.dtype() })
        }
        Ok(_) => None,
    };
    parts(tensors, spec).into_iter().filter_map(check_part).collect()
}

/// Weights in the order out, in, row, column, and biases, of a convolution whose tensors have been checked.
fn read(
    tensors: &SafeTensors<'_>,
    spec: &ConvSpec,
    epsilon: f32,
) -> Result<(Vec<f32>, Vec<f32>), TensorProblem> {
    let values = |suffix: &str| values(tensors, format!("{}.{suffix}", spec.name));
    let mut weight = values("weight")?;
    let bias = match spec.norm {
        _ if has_bias(tensors, spec) => values("bias")?,
        Norm::Bias | Norm::None => vec![0.0; spec.geometry.out_channels],
        Norm::Batch => {
            let [gamma, mut bias, mean, variance] = BATCH_NORM.map(values);
            let (gamma, mean, variance) = (gamma?, mean?, variance?);
            let bias = bias.as_mut().map_err(|problem| problem.clone())?;
            for (channel, weight) in weight.chunks_exact_mut(spec.geometry.depth()).enumerate() {
                let factor = gamma[channel] / (variance[channel] + epsilon).sqrt();
                weight.iter_mut().for_each(|value| *value *= factor);
                bias[channel] -= mean[channel] * factor;
            }
            std::mem::take(bias)
        }
    };
    if weight.iter().chain(&bias).all(|value| value.is_finite()) {
        Ok((weight, bias))
    } else {
        Err(TensorProblem::NotFinite { name: spec.name.clone() })
    }
}

/// One tensor's values as `f32`.
pub(super) fn values(tensors: &SafeTensors<'_>, name: String) -> Result<Vec<f32>, TensorProblem> {
    let Ok(tensor) = tensors.tensor(&name) else { return Err(TensorProblem::Missing { name }) };
    match tensor.dtype() {
        Dtype::F16 => {
            let (values, _) = tensor.data().as_chunks();
            Ok(values.iter().map(|&bytes| f16::from_le_bytes(bytes).to_f32()).collect())
        }
        Dtype::F32 => {
            let (values, _) = tensor.data().as_chunks();
            Ok(values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
        }
        found => Err(TensorProblem::Type { name, found }),
    }
}
