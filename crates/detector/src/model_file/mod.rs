//! A model file: safetensors with the model's description as its metadata.
//!
//! Nothing in the file is trusted: sizes are bounded and every tensor's name, type and shape is checked
//! before a weight is read.

#[cfg(feature = "detect")]
mod convert;
#[cfg(feature = "detect")]
mod describe;
mod map;
mod metadata;
#[cfg(test)]
mod tests;
mod weights;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use rayon::ThreadPoolBuildError;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

#[cfg(feature = "detect")]
pub(crate) use convert::convert;
#[cfg(feature = "detect")]
pub(crate) use describe::{Description, describe};
pub(crate) use metadata::Metadata;
pub(crate) use weights::load_network;

/// Why a model could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("model file {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not in the safetensors form.
    #[error("model file {path} is not a whole safetensors file: {source}; fetch or convert it again")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: SafeTensorError,
    },
    /// The file's metadata does not describe a model that this version knows.
    #[error("model file {path}: metadata {key:?}: {problem}")]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The metadata's key.
        key: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// Tensors are missing or of another form than the metadata says.
    #[error("model file {path}: {}", list(.problems))]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Every tensor that does not fit.
        problems: Vec<TensorProblem>,
    },
    /// An option is out of its range.
    #[error("option {option}: {problem}")]
    Option {
        /// The option's name.
        option: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The GPU cannot be used.
    #[error("CUDA device {index}: {source}; run on the processor, or install a driver and a build with CUDA")]
    Device {
        /// The device's index.
        index: usize,
        /// What CUDA said.
        source: candle_core::Error,
    },
    /// The convolution threads could not be started.
    #[error("cannot start the convolution threads: {0}; try fewer")]
    Threads(ThreadPoolBuildError),
    /// The weights could not be brought to the device.
    #[error("cannot prepare the weights: {0}")]
    Prepare(#[from] candle_core::Error),
}

/// What is wrong with one tensor of a model file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TensorProblem {
    /// It is not in the file.
    #[error("{name} is missing")]
    Missing {
        /// The tensor's name.
        name: String,
    },
    /// Its shape is another.
    #[error("{name} has the shape {found:?} instead of {expected:?}")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The shape in the file.
        found: Vec<usize>,
        /// The shape that the metadata calls for.
        expected: Vec<usize>,
    },
    /// Its values are neither `f16` nor `f32`.
    #[error("{name} holds {found:?} instead of F16 or F32")]
    Type {
        /// The tensor's name.
        name: String,
        /// The type in the file.
        found: Dtype,
    },
    /// A convolution's weights, with its batch norm folded, are not all finite numbers.
    #[error("the weights of {name} are not all finite")]
    NotFinite {
        /// The convolution's name.
        name: String,
    },
}

/// The first problems in words, and how many more there are.
fn list(problems: &[TensorProblem]) -> impl fmt::Display + '_ {
    const SHOWN: usize = 8;
    fmt::from_fn(move |f| {
        for (index, problem) in problems.iter().take(SHOWN).enumerate() {
            write!(f, "{}{problem}", if index == 0 { "" } else { "; " })?;
        }
        match problems.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    })
}

/// An open model file.
#[derive(Debug)]
pub(crate) struct ModelFile {
    path: PathBuf,
    bytes: Mmap,
}

impl ModelFile {
    /// Maps the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let bytes = map::map(path).map_err(|source| LoadError::Open { path: path.into(), source })?;
        Ok(Self { path: path.into(), bytes })
    }

    /// The checked metadata.
    pub(crate) fn metadata(&self) -> Result<Metadata, LoadError> {
        let (_, header) = SafeTensors::read_metadata(&self.bytes).map_err(|source| self.form(source))?;
        let empty = std::collections::HashMap::new();
        Metadata::parse(header.metadata().as_ref().unwrap_or(&empty))
            .map_err(|(key, problem)| LoadError::Metadata { path: self.path.clone(), key, problem })
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, LoadError> {
        SafeTensors::deserialize(&self.bytes).map_err(|source| self.form(source))
    }

    fn form(&self, source: SafeTensorError) -> LoadError {
        LoadError::Form { path: self.path.clone(), source }
    }
}
