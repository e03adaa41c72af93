//! What a model file holds, without making the model ready.

use std::path::Path;

use safetensors::Dtype;

use super::{LoadError, Metadata, ModelFile, weights};

/// A model file in figures.
#[derive(Debug)]
pub(crate) struct Description {
    /// The file's size, or that of both where a form has two.
    pub(crate) bytes: u64,
    pub(crate) metadata: Metadata,
    /// How many convolutions the network has.
    pub(crate) convolutions: usize,
    /// Numbers in the tensors that these are read from.
    pub(crate) parameters: usize,
    /// How those tensors are stored: some of `i8`, `f16` and `f32`.
    pub(crate) weights: Vec<&'static str>,
}

/// Looks into the file at `path`.
///
/// # Errors
///
/// As loading, but weights are not read: whether they are finite is not known.
pub(crate) fn describe(path: &Path) -> Result<Description, LoadError> {
    let file = ModelFile::open(path)?;
    let contents = file.contents()?;
    let metadata = &contents.metadata;
    weights::check(path, &contents, metadata)?;
    let used: Vec<_> = weights::used(&contents, metadata);
    let stored = [(Dtype::I8, "i8"), (Dtype::F16, "f16"), (Dtype::F32, "f32")];
    Ok(Description {
        bytes: file.len() as u64,
        convolutions: metadata.graph().convolutions().len(),
        parameters: used.iter().map(|(_, tensor)| tensor.shape.iter().product::<usize>()).sum(),
        weights: stored
            .into_iter()
            .filter(|(dtype, _)| used.iter().any(|(_, tensor)| tensor.dtype == *dtype))
            .map(|(_, name)| name)
            .collect(),
        metadata: metadata.clone(),
    })
}
