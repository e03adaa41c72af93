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
mod darknet;
#[cfg(feature = "detect")]
mod describe;
mod error;
mod map;
mod metadata;
mod native;
mod onnx;
mod protobuf;
mod tensor;
mod tensorflow;
#[cfg(test)]
mod tests;
mod weights;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

#[cfg(feature = "detect")]
pub(crate) use convert::{WeightForm, convert};
use darknet::{Companion, Kind, Source};
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
    /// The other file, where a form has two.
    companion: Option<Companion>,
}

/// What a model file says, whatever its form.
#[derive(Debug)]
pub(crate) struct Contents<'a> {
    pub(crate) metadata: Metadata,
    /// Tensors by the names of the native form.
    tensors: HashMap<String, Tensor<'a>>,
}

impl ModelFile {
    /// Maps the file at `path`, and the one that belongs to it.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let bytes = map::map(path).map_err(|source| LoadError::Open { path: path.into(), source })?;
        let companion = match Form::of(&bytes) {
            Some(Form::Darknet(kind)) => Some(Companion::open(path, kind)?),
            _ => None,
        };
        Ok(Self { path: path.into(), bytes, companion })
    }

    /// Checks and describes what is in the file; no weight is read.
    ///
    /// # Errors
    ///
    /// If the file is in no form that is known, or does not describe a model that is known.
    pub(crate) fn contents(&self) -> Result<Contents<'_>, LoadError> {
        let this = Source { path: &self.path, bytes: &self.bytes };
        match &self.companion {
            None => contents(this),
            Some(Companion { kind, path, bytes }) => {
                let (cfg, weights) = kind.pair(Source { path, bytes }, this);
                darknet::read(cfg, weights, |classes| darknet::names(cfg.path, classes))
            }
        }
    }

    /// Bytes of the file and the one that belongs to it.
    #[cfg(feature = "detect")]
    fn len(&self) -> usize {
        self.bytes.len() + self.companion.as_ref().map_or(0, |companion| companion.bytes.len())
    }

    /// Lets go of the memory behind a part of the file that has been read.
    fn release(&self, part: &[u8]) {
        map::release(&self.bytes, part);
        if let Some(companion) = &self.companion {
            map::release(&companion.bytes, part);
        }
    }
}

/// What is in a file that is a model by itself.
fn contents(Source { path, bytes }: Source<'_>) -> Result<Contents<'_>, LoadError> {
    match Form::of(bytes) {
        Some(Form::Native) => native::read(path, bytes),
        Some(Form::TensorFlow) => tensorflow::read(path, bytes),
        Some(Form::Onnx) => onnx::read(path, bytes),
        Some(Form::Darknet(_)) | None => {
            Err(LoadError::UnknownForm { path: path.into(), found: appearance(bytes) })
        }
    }
}

/// Does all that loading does before the network is made ready, with bytes in memory: the file and, for Darknet's, the
/// other of the pair.
#[cfg(feature = "testing")]
pub(crate) fn read(bytes: &[u8], other: Option<&[u8]>) -> Result<(), LoadError> {
    let path = Path::new("memory");
    let this = Source { path, bytes };
    let contents = match (Kind::of(bytes), other) {
        (Some(kind), Some(other)) => {
            let (cfg, weights) = kind.pair(this, Source { path, bytes: other });
            darknet::read(cfg, weights, |_| Ok(None))?
        }
        _ => contents(this)?,
    };
    weights::read(path, &contents)
}

/// A form that a file may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Native,
    TensorFlow,
    Onnx,
    /// One of Darknet's pair.
    Darknet(Kind),
}

impl Form {
    /// What a file looks like.
    fn of(bytes: &[u8]) -> Option<Self> {
        if native::is_native(bytes) {
            Some(Self::Native)
        } else if tensorflow::is_graph(bytes) {
            Some(Self::TensorFlow)
        } else if onnx::is_model(bytes) {
            Some(Self::Onnx)
        } else {
            Kind::of(bytes).map(Self::Darknet)
        }
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
