//! A model file: a description of the model, and its weights, in one of several forms.
//!
//! The form is told by the content, never by the file's name. Each form's reader makes the same of it: checked
//! [`Metadata`], and tensors by the names that the network gives them, whose values stay in the mapped file until
//! a convolution takes them.
//!
//! Nothing in the file is trusted: sizes are bounded and every tensor's name, type and shape is checked before a
//! weight is read.

#[cfg(feature = "detect")]
mod convert;
#[cfg(feature = "detect")]
mod describe;
mod error;
mod map;
mod metadata;
mod native;
mod tensor;
mod tensorflow;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

#[cfg(feature = "detect")]
pub(crate) use convert::convert;
#[cfg(feature = "detect")]
pub(crate) use describe::{Description, describe};
pub use error::{LoadError, TensorProblem};
pub(crate) use metadata::{HeadSpec, Metadata};
#[cfg(any(test, feature = "testing"))]
pub(crate) use metadata::{Network, heads};
use tensor::Tensor;
pub(crate) use weights::load_network;

/// An open model file.
#[derive(Debug)]
pub(crate) struct ModelFile {
    path: PathBuf,
    bytes: Mmap,
}

/// What a model file says, whatever its form.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) metadata: Metadata,
    /// Tensors by the names of the native form.
    tensors: HashMap<String, Tensor<'a>>,
}

impl ModelFile {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let bytes = map::map(path).map_err(|source| LoadError::Open { path: path.into(), source })?;
        Ok(Self { path: path.into(), bytes })
    }

    /// Checks and describes what is in the file; no weight is read.
    ///
    /// # Errors
    ///
    /// If the file is in no form that is known, or does not describe a model that is known.
    pub(crate) fn contents(&self) -> Result<Contents<'_>, LoadError> {
        let (path, bytes) = (self.path.as_path(), &self.bytes[..]);
        if native::is_native(bytes) {
            native::read(path, bytes)
        } else if tensorflow::is_graph(bytes) {
            tensorflow::read(path, bytes)
        } else {
            Err(LoadError::UnknownForm { path: path.into(), found: appearance(bytes) })
        }
    }

    /// Lets go of the memory behind a part of the file that has been read.
    fn release(&self, part: &[u8]) {
        map::release(&self.bytes, part);
    }
}

/// The beginning of a file of unknown form, in words.
fn appearance(bytes: &[u8]) -> String {
    const SHOWN: usize = 8;
    if bytes.is_empty() {
        return "is empty".into();
    }
    let shown = &bytes[..bytes.len().min(SHOWN)];
    if shown.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
        format!("begins with {:?}", String::from_utf8_lossy(shown))
    } else {
        let hex: Vec<String> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("begins with the bytes {}", hex.join(" "))
    }
}
