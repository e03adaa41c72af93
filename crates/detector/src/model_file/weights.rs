//! A network's weights: checked against its convolutions, read, and their batch norm folded.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;

use super::tensor::Tensor;
use super::{Contents, LoadError, Metadata, ModelFile, TensorProblem};
use crate::executor::{Engine, Executor};
use crate::graph::{ConvSpec, Norm};

/// The four vectors of a batch norm.
const BATCH_NORM: [&str; 4] = ["bn.gamma", "bn.beta", "bn.mean", "bn.variance"];
/// The scales of a weight that is bytes, one for each output channel.
pub(super) const SCALE: &str = "weight.scale";
/// What is added to the variance, where it is not what the family adds.
const EPSILON: &str = "bn.epsilon";

/// Builds the network that `metadata` describes with the weights in `contents` of `file`.
///
/// # Errors
///
/// If tensors are missing or of another type or shape: the error lists them all.
pub(crate) fn load_network(
    file: &ModelFile,
    contents: &Contents<'_>,
    metadata: &Metadata,
    engine: &Engine,
) -> Result<Executor, LoadError> {
    check(&file.path, contents, metadata)?;
    let tensors = Tensors(&contents.tensors);
    let error = |problems| LoadError::Tensors { path: file.path.clone(), problems };
    let epsilon = metadata.family.batch_norm_epsilon();
    Executor::new(engine, &metadata.graph(), metadata.input, &mut |spec| {
        let weights = tensors.read(spec, epsilon).map_err(|problem| error(vec![problem]))?;
        if let Some(part) = tensors.get(spec, "weight").and_then(Tensor::part) {
            file.release(part);
        }
        Ok(weights)
    })
}

/// Whether the contents hold every tensor of the network that `metadata` describes, of the right type and shape.
///
/// # Errors
///
/// If not: the error lists all that are missing or wrong.
pub(super) fn check(path: &Path, contents: &Contents<'_>, metadata: &Metadata) -> Result<(), LoadError> {
    let tensors = Tensors(&contents.tensors);
    let problems: Vec<_> =
        metadata.graph().convolutions().iter().flat_map(|spec| tensors.check(spec)).collect();
    if problems.is_empty() { Ok(()) } else { Err(LoadError::Tensors { path: path.into(), problems }) }
}

/// Reads every weight of a network and lets go of it.
#[cfg(feature = "testing")]
pub(super) fn read(path: &Path, contents: &Contents<'_>) -> Result<(), LoadError> {
    check(path, contents, &contents.metadata)?;
    let tensors = Tensors(&contents.tensors);
    let epsilon = contents.metadata.family.batch_norm_epsilon();
    for spec in contents.metadata.graph().convolutions() {
        tensors
            .read(spec, epsilon)
            .map_err(|problem| LoadError::Tensors { path: path.into(), problems: vec![problem] })?;
    }
    Ok(())
}

/// The checked tensors that the network is read from, by name, in its order.
#[cfg(feature = "detect")]
pub(super) fn used<'a>(contents: &'a Contents<'a>, metadata: &Metadata) -> Vec<(String, &'a Tensor<'a>)> {
    let tensors = Tensors(&contents.tensors);
    let graph = metadata.graph();
    let named = |spec: &ConvSpec| {
        let name = |(suffix, _)| format!("{}.{suffix}", spec.name);
        tensors.parts(spec).into_iter().map(name).collect::<Vec<_>>()
    };
    let names = graph.convolutions().iter().flat_map(named);
    names.filter_map(|name| contents.tensors.get(&name).map(|tensor| (name, tensor))).collect()
}

/// The tensors of a file by name.
struct Tensors<'a>(&'a HashMap<String, Tensor<'a>>);

impl<'a> Tensors<'a> {
    /// A tensor of a convolution, if the file has it.
    fn get(&self, spec: &ConvSpec, suffix: &str) -> Option<&'a Tensor<'a>> {
        self.0.get(&format!("{}.{suffix}", spec.name))
    }

    /// Whether the file has a bias for this convolution in place of its batch norm.
    fn has_bias(&self, spec: &ConvSpec) -> bool {
        self.get(spec, "bias").is_some()
    }

    /// Whether the file has the weights of this convolution as bytes.
    fn is_bytes(&self, spec: &ConvSpec) -> bool {
        self.get(spec, "weight").is_some_and(|tensor| tensor.dtype == Dtype::I8)
    }

    /// The tensors that a convolution is read from, with their shapes.
    fn parts(&self, spec: &ConvSpec) -> Vec<(&'static str, Vec<usize>)> {
        let geometry = &spec.geometry;
        let vector = vec![geometry.out_channels];
        let weight = vec![geometry.out_channels, geometry.in_channels, geometry.kernel, geometry.kernel];
        let mut parts = vec![("weight", weight)];
        if self.is_bytes(spec) {
            parts.push((SCALE, vector.clone()));
        }
        match spec.norm {
            Norm::Batch if !self.has_bias(spec) => {
                parts.extend(BATCH_NORM.map(|suffix| (suffix, vector.clone())));
                if self.get(spec, EPSILON).is_some() {
                    parts.push((EPSILON, vec![1]));
                }
            }
            Norm::None if !self.has_bias(spec) => {}
            Norm::Batch | Norm::Bias | Norm::None => parts.push(("bias", vector)),
        }
        parts
    }

    /// What is wrong with the tensors of a convolution.
    fn check(&self, spec: &ConvSpec) -> Vec<TensorProblem> {
        let check_part = |(suffix, expected): (&str, Vec<usize>)| {
            let name = format!("{}.{suffix}", spec.name);
            match self.0.get(&name) {
                None => Some(TensorProblem::Missing { name }),
                Some(tensor) if tensor.shape != expected => {
                    Some(TensorProblem::Shape { name, found: tensor.shape.clone(), expected })
                }
                Some(tensor) => match tensor.dtype {
                    Dtype::F16 | Dtype::F32 => None,
                    Dtype::I8 if suffix == "weight" => None,
                    found => Some(TensorProblem::Type { name, found }),
                },
            }
        };
        self.parts(spec).into_iter().filter_map(check_part).collect()
    }

    /// Weights in the order out, in, row, column, and biases, of a convolution whose tensors have been checked;
    /// `epsilon` is the family's.
    fn read(&self, spec: &ConvSpec, epsilon: f32) -> Result<(Vec<f32>, Vec<f32>), TensorProblem> {
        let mut weight = self.values(spec, "weight")?;
        if self.is_bytes(spec) {
            let scales = self.values(spec, SCALE)?;
            for (channel, scale) in weight.chunks_exact_mut(spec.geometry.depth()).zip(scales) {
                channel.iter_mut().for_each(|value| *value *= scale);
            }
        }
        let bias = match spec.norm {
            _ if self.has_bias(spec) => self.values(spec, "bias")?,
            Norm::Bias | Norm::None => vec![0.0; spec.geometry.out_channels],
            Norm::Batch => {
                let [gamma, bias, mean, variance] = BATCH_NORM.map(|suffix| self.values(spec, suffix));
                let (gamma, mut bias, mean, variance) = (gamma?, bias?, mean?, variance?);
                let epsilon = match self.get(spec, EPSILON).and_then(Tensor::values).as_deref() {
                    Some(&[epsilon]) => epsilon,
                    _ => epsilon,
                };
                for (channel, weight) in weight.chunks_exact_mut(spec.geometry.depth()).enumerate() {
                    let factor = gamma[channel] / (variance[channel] + epsilon).sqrt();
                    weight.iter_mut().for_each(|value| *value *= factor);
                    bias[channel] -= mean[channel] * factor;
                }
                bias
            }
        };
        if weight.iter().chain(&bias).all(|value| value.is_finite()) {
            Ok((weight, bias))
        } else {
            Err(TensorProblem::NotFinite { name: spec.name.clone() })
        }
    }

    /// One tensor's values as `f32`.
    fn values(&self, spec: &ConvSpec, suffix: &str) -> Result<Vec<f32>, TensorProblem> {
        let name = format!("{}.{suffix}", spec.name);
        let Some(tensor) = self.0.get(&name) else { return Err(TensorProblem::Missing { name }) };
        tensor.values().ok_or(TensorProblem::Type { name, found: tensor.dtype })
    }
}
