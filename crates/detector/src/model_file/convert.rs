//! A model file written anew: what its network is read from, and its description.

use std::path::{Path, PathBuf};

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError};

use super::{LoadError, ModelFile, TensorProblem, weights};

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
    /// There is no safetensors file of such tensors.
    #[error("the model cannot be put into the safetensors form: {0}")]
    Serialize(SafeTensorError),
}

/// The model in the file `source`, of any form, as a file in the native form; what other tensors `source` has are left
/// out. With `half`, the weights of convolutions are rounded to 16 bits; biases and batch norms, small in number and larger
/// in range, stay as they are.
pub(crate) fn convert(source: &Path, half: bool) -> Result<Vec<u8>, ConvertError> {
    let file = ModelFile::open(source)?;
    let contents = file.contents()?;
    let metadata = &contents.metadata;
    weights::check(source, &contents, metadata)?;
    let mut stored = Vec::new();
    for (name, tensor) in weights::used(&contents, metadata) {
        let values = tensor.values().ok_or_else(|| LoadError::Tensors {
            path: source.into(),
            problems: vec![TensorProblem::Type { name: name.clone(), found: tensor.dtype }],
        })?;
        let dtype = if half && name.ends_with(".weight") { Dtype::F16 } else { tensor.dtype };
        let bytes = if dtype == Dtype::F16 {
            let too_large = |value| ConvertError::TooLarge { path: source.into(), name: name.clone(), value };
            halved(&values).map_err(too_large)?
        } else {
            values.iter().flat_map(|value| value.to_le_bytes()).collect()
        };
        stored.push((name, dtype, tensor.shape.clone(), bytes));
    }
    let views = stored
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(ConvertError::Serialize)?;
    safetensors::serialize(views, Some(metadata.values())).map_err(ConvertError::Serialize)
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
