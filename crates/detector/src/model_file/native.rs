//! The native form: safetensors with the model's description as its metadata.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;

use super::tensor::Tensor;
use super::{Contents, LoadError, Metadata};

/// Whether a file looks like safetensors: after the header's length comes the header, a JSON object.
pub(super) fn is_native(bytes: &[u8]) -> bool {
    bytes.get(8) == Some(&b'{')
}

/// Reads the header.
pub(super) fn read<'a>(path: &Path, bytes: &'a [u8]) -> Result<Contents<'a>, LoadError> {
    let form = |source| LoadError::Form { path: path.into(), source };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(form)?;
    let metadata = Metadata::parse(header.metadata().as_ref().unwrap_or(&HashMap::new()))
        .map_err(|(key, problem)| LoadError::Metadata { path: path.into(), key, problem })?;
    let tensors = SafeTensors::deserialize(bytes).map_err(form)?;
    let tensors = tensors
        .iter()
        .map(|(name, view)| {
            let tensor = Tensor::new(view.shape().to_vec(), view.dtype(), view.data());
            (name.to_owned(), tensor)
        })
        .collect();
    Ok(Contents { metadata, tensors })
}
