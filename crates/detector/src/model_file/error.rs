//! Why a model could not be loaded.

use std::fmt;
use std::io;
use std::path::PathBuf;

use safetensors::{Dtype, SafeTensorError};

use crate::Family;
use crate::executor::{self, cpu};
use crate::gpu::GpuError;

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
    /// The file is in no form that is known.
    #[error(
        "model file {path} is in no form that is known: it {found}; known are safetensors with the metadata of \
         Sluice, frozen TensorFlow graphs, ONNX models, and Darknet's configuration and weights"
    )]
    UnknownForm {
        /// The file.
        path: PathBuf,
        /// What it looks like.
        found: String,
    },
    /// The file is a TensorFlow graph or an ONNX model that is damaged.
    #[error("model file {path} is not a whole {form}: {problem}; fetch or export it again")]
    DamagedGraph {
        /// The file.
        path: PathBuf,
        /// What it is.
        form: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The file is a TensorFlow graph of another network than those that are known.
    #[error(
        "model file {path} holds a TensorFlow graph ({graph}) that departs from {nearest}: {place}: found {found}, \
         expected {expected}"
    )]
    UnknownGraph {
        /// The file.
        path: PathBuf,
        /// What the graph consists of.
        graph: Box<str>,
        /// The known network that it was compared with.
        nearest: Family,
        /// Where in the network and the graph they part.
        place: Box<str>,
        /// What the graph has there.
        found: Box<str>,
        /// What the network has there.
        expected: Box<str>,
    },
    /// The file is an ONNX model of another kind than those that are known.
    #[error(
        "model file {path} holds an ONNX model ({model}) that is not known: {place}: found {found}, expected {expected}"
    )]
    UnknownModel {
        /// The file.
        path: PathBuf,
        /// What the model consists of.
        model: Box<str>,
        /// The operation.
        place: Box<str>,
        /// What the model has there.
        found: Box<str>,
        /// What is known.
        expected: Box<str>,
    },
    /// The file is one of Darknet's pair, and the other cannot be read.
    #[error(
        "model file {path} holds the {holds} of a Darknet network, whose {lacks} should lie beside it as {beside}: {source}"
    )]
    Companion {
        /// The file.
        path: PathBuf,
        /// What it holds.
        holds: &'static str,
        /// What the other file holds.
        lacks: &'static str,
        /// The file that was looked for.
        beside: PathBuf,
        /// What the system said, or what is wrong with that file.
        source: io::Error,
    },
    /// The file is a configuration of Darknet's that cannot be made sense of.
    #[error("Darknet configuration {path}, line {line}: {problem}")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// The file's weights are not those of its configuration.
    #[error("Darknet weights {path} are not those of {cfg}: {problem}")]
    DarknetWeights {
        /// The file.
        path: PathBuf,
        /// The configuration.
        cfg: PathBuf,
        /// Where they differ.
        problem: String,
    },
    /// A file with the names of classes does not fit.
    #[error("class names {path}: {problem}; correct or remove it")]
    ClassNames {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
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
    #[error("CUDA device {index}: {source}")]
    Device {
        /// The device's index.
        index: usize,
        /// What is in the way.
        source: Box<GpuError>,
    },
    /// The network's threads could not be started.
    #[error("cannot start the network's threads: {0}; try fewer")]
    Threads(io::Error),
    /// The network is one that the processor's kernels cannot compute.
    #[error("cannot compute the network: {0}")]
    Network(String),
    /// The weights could not be brought to the device.
    #[error("cannot prepare the weights: {0}")]
    Prepare(candle_core::Error),
}

impl From<executor::Error> for LoadError {
    fn from(error: executor::Error) -> Self {
        match error {
            executor::Error::Cpu(cpu::Error::Threads(source)) => Self::Threads(source),
            executor::Error::Cpu(cpu::Error::Plan(problem)) => Self::Network(problem.to_string()),
            executor::Error::Cpu(error @ cpu::Error::InstructionSet { .. }) => {
                Self::Option { option: "instruction_set", problem: error.to_string() }
            }
            executor::Error::Candle(source) => Self::Prepare(source),
        }
    }
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
    /// Its values are neither `f16` nor `f32`, nor weights of `i8`.
    #[error("{name} holds {found:?} instead of F16, F32 or, for weights of convolutions, I8")]
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
