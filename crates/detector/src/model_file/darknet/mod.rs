//! Darknet's pair of files: the network as text (`.cfg`), its weights as numbers (`.weights`).
//!
//! Any network of the sections that YOLOv3, its variant with spatial pyramid pooling and its tiny one are made of is
//! read; it goes on as [`Network::Written`].

mod cfg;
mod layer;
mod names;
mod network;
#[cfg(test)]
mod tests;
mod weights;

use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::metadata::{self, Network};
use super::{Contents, LoadError, Metadata, appearance, map};
use crate::Family;

/// Darknet's lowest score and largest overlap (`darknet detector test`), where the configuration has no others.
const SCORE_THRESHOLD: f32 = 0.5;
const IOU_THRESHOLD: f32 = 0.45;
/// Most boxes of a class; Darknet has no such bound.
const MAX_BOXES: usize = 1000;
/// Largest configuration, in bytes; that of YOLOv3 has 9000.
const MAX_CFG: usize = 1 << 20;

/// One of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Cfg,
    Weights,
}

impl Kind {
    /// What a file looks like, if it looks like one of the two.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        if cfg::is_cfg(bytes) {
            Some(Self::Cfg)
        } else if weights::is_weights(bytes) {
            Some(Self::Weights)
        } else {
            None
        }
    }

    fn other(self) -> Self {
        match self {
            Self::Cfg => Self::Weights,
            Self::Weights => Self::Cfg,
        }
    }

    /// The configuration and the weights, of which `this` is of this kind.
    pub(super) fn pair<T>(self, this: T, other: T) -> (T, T) {
        match self {
            Self::Cfg => (this, other),
            Self::Weights => (other, this),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Cfg => "cfg",
            Self::Weights => "weights",
        }
    }

    /// The file in words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Cfg => "configuration",
            Self::Weights => "weights",
        }
    }
}

/// The file that belongs to another one.
#[derive(Debug)]
pub(super) struct Companion {
    pub(super) kind: Kind,
    pub(super) path: PathBuf,
    pub(super) bytes: Mmap,
}

impl Companion {
    /// Maps the file that belongs to the one of `kind` at `path`: of the same name but for the extension.
    pub(super) fn open(path: &Path, kind: Kind) -> Result<Self, LoadError> {
        let wanted = kind.other();
        let beside = path.with_extension(wanted.extension());
        let error = |source| LoadError::Companion {
            path: path.into(),
            holds: kind.name(),
            lacks: wanted.name(),
            beside: beside.clone(),
            source,
        };
        let bytes = map::map(&beside).map_err(error)?;
        if Kind::of(&bytes) != Some(wanted) {
            return Err(error(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it {}", appearance(&bytes)),
            )));
        }
        Ok(Self { kind: wanted, path: beside, bytes })
    }
}

/// A file and what it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    pub(super) bytes: &'a [u8],
}

/// Reads a network and finds its weights; `names` looks for the names of so many classes.
pub(super) fn read<'a>(
    cfg: Source<'_>,
    weights: Source<'a>,
    names: impl FnOnce(usize) -> Result<Option<Vec<String>>, LoadError>,
) -> Result<Contents<'a>, LoadError> {
    let problem =
        |cfg::Problem { line, problem }| LoadError::Configuration { path: cfg.path.into(), line, problem };
    let text =
        Some(cfg.bytes).filter(|bytes| bytes.len() <= MAX_CFG).and_then(|bytes| str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| {
        problem(cfg::Problem { line: 1, problem: format!("this is no text of at most {MAX_CFG} bytes") })
    })?;
    let network = cfg::sections(text).and_then(|sections| network::network(&sections)).map_err(problem)?;
    let tensors = weights::tensors(weights.bytes, network.graph.convolutions()).map_err(|problem| {
        LoadError::DarknetWeights { path: weights.path.into(), cfg: cfg.path.into(), problem }
    })?;
    let classes = match names(network.classes)? {
        Some(names) => names,
        None => metadata::numbered_classes(network.classes),
    };
    let metadata = Metadata {
        name: metadata::name_of(cfg.path),
        family: Family::Yolov3Darknet,
        network: Network::Written(network.graph),
        classes,
        input: network.input,
        heads: network.heads,
        score_threshold: network.thresholds.0.unwrap_or(SCORE_THRESHOLD),
        iou_threshold: network.thresholds.1.unwrap_or(IOU_THRESHOLD),
        max_boxes: MAX_BOXES,
        ranges: None,
    };
    metadata.check_read(cfg.path)?;
    Ok(Contents { metadata, tensors })
}

/// The names of the classes from files beside the configuration.
pub(super) fn names(cfg: &Path, classes: usize) -> Result<Option<Vec<String>>, LoadError> {
    names::find(cfg, classes)
        .map_err(|names::Problem { path, problem }| LoadError::ClassNames { path, problem })
}
