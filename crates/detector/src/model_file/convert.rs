//! A model file written anew: what its network is read from, and its description.

use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use super::weights::{self, SCALE};
use super::{LoadError, ModelFile, TensorProblem};
use crate::executor::cpu::QuantizedWeights;

/// Why a model file could not be converted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConvertError {
    /// It could not be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A weight does not fit into 16 bits.
    #[error("model file {path}: {name} has the value {value}, too large for 16 bits; leave out --f16")]
    TooLarge {
        /// The file that was read.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
    },
    /// The weights have fewer bits already.
    #[error("model file {path}: {name} is stored in 8 bits already; leave out --f16")]
    Bytes {
        /// The file that was read.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// There is no safetensors file of such tensors.
    #[error("the model cannot be put into the safetensors form: {0}")]
    Serialize(SafeTensorError),
}

/// How the weights of convolutions are written. Biases and batch norms, small in number and larger in range, stay as they
/// are.
#[derive(Debug)]
pub(crate) enum WeightForm {
    /// As the file has them.
    Same,
    /// Rounded to 16 bits.
    F16,
    /// Rounded to 8 bits, with these ranges of the convolutions' outputs, in their order.
    Int8(Vec<[f32; 2]>),
}

/// The model in the file `source`, of any form, as a file in the native form; what other tensors `source` has are left
/// out.
pub(crate) fn convert(source: &Path, form: WeightForm) -> Result<Vec<u8>, ConvertError> {
    let file = ModelFile::open(source)?;
    let contents = file.contents()?;
    let mut metadata = contents.metadata.clone();
    weights::check(source, &contents, &metadata)?;
    let mut stored = Vec::new();
    for (name, tensor) in weights::used(&contents, &metadata) {
        let is_weight = name.ends_with(".weight");
        let values = || {
            tensor.values().ok_or_else(|| LoadError::Tensors {
                path: source.into(),
                problems: vec![TensorProblem::Type { name: name.clone(), found: tensor.dtype }],
            })
        };
        match (&form, tensor.dtype) {
            (WeightForm::F16, Dtype::I8) => return Err(ConvertError::Bytes { path: source.into(), name }),
            (WeightForm::Int8(_), Dtype::F16 | Dtype::F32) if is_weight => {
                let depth = tensor.shape[1..].iter().product();
                let QuantizedWeights { bytes, scales } = QuantizedWeights::of(&values()?, depth);
                let bytes = bytes.into_iter().map(|byte| byte as u8).collect();
                let scale_name = format!("{}{SCALE}", name.trim_end_matches("weight"));
                stored.push((scale_name, Dtype::F32, vec![scales.len()], numbers(&scales)));
                stored.push((name, Dtype::I8, tensor.shape.clone(), bytes));
            }
            (WeightForm::F16, _) if is_weight => {
                let halved = halved(&values()?).map_err(|value| ConvertError::TooLarge {
                    path: source.into(),
                    name: name.clone(),
                    value,
                });
                stored.push((name.clone(), Dtype::F16, tensor.shape.clone(), halved?));
            }
            (_, dtype) => {
                let values = values()?;
                let bytes = match dtype {
                    // They were 16 bits, so that they fit.
                    Dtype::F16 => {
                        values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
                    }
                    Dtype::I8 => values.iter().map(|value| *value as i8 as u8).collect(),
                    _ => numbers(&values),
                };
                stored.push((name.clone(), dtype, tensor.shape.clone(), bytes));
            }
        }
    }
    if let WeightForm::Int8(ranges) = form {
        metadata.ranges = Some(ranges);
        metadata.check_read(source)?;
    }
    let views = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ConvertError::Serialize)?;
    safetensors::serialize(views, Some(metadata.values())).map_err(ConvertError::Serialize)
}

fn numbers(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The values as `f16`, or the first that is finite and would not be any more.
fn halved(values: &[f32]) -> Result<Vec<u8>, f32> {
    let mut halved = Vec::with_capacity(2 * values.len());
    for &value in values {
        let half = f16::from_f32(value);
        if value.is_finite() && !half.is_finite() {
            return Err(value);
        }
        halved.extend(half.to_le_bytes());
    }
    Ok(halved)
}
