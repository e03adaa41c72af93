//! What a model file says of its network: how it scales one that is known by its name, or layer by layer.

use serde::{Deserialize, Serialize};

use super::values::Values;
use super::{Family, Problem};
use crate::graph::{Graph, written};
use crate::network::{Backbone, Channels, LEAKY_SLOPE, Scale, Upsampling, graph};

/// Input pixels between neighbouring cells of each head of a known network.
const STRIDES: [usize; 3] = [8, 16, 32];

/// A network without its weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Network {
    /// One that is known by its name.
    Known {
        backbone: Backbone,
        channels: Channels,
        upsampling: Upsampling,
        /// The slope of leaky activations, in `0..=1`.
        leaky_slope: f32,
    },
    /// One whose layers are written out.
    Written(Graph),
}

/// One output of a network: for each cell and anchor x, y, width, height, objectness and the classes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeadSpec {
    /// Input pixels between neighbouring cells.
    pub(crate) stride: usize,
    /// Width and height in input pixels.
    pub(crate) anchors: Vec<[f32; 2]>,
}

/// A head as the metadata of a written network has it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHead {
    /// The number of the layer that is its output.
    layer: usize,
    stride: usize,
    anchors: Vec<[f32; 2]>,
}

impl Network {
    /// Its layers, for so many classes.
    pub(crate) fn graph(&self, classes: usize) -> Graph {
        match self {
            Self::Written(graph) => graph.clone(),
            Self::Known { backbone, channels, upsampling, leaky_slope } => graph(&Scale {
                backbone: *backbone,
                channels: channels.clone(),
                classes,
                upsampling: *upsampling,
                activation: backbone.activation(*leaky_slope),
            }),
        }
    }

    /// The network of a model file of `family`, and its heads.
    pub(super) fn parse(values: &Values<'_>, family: Family) -> Result<(Self, Vec<HeadSpec>), Problem> {
        match Backbone::of(family) {
            Some(backbone) => Ok((Self::known(values, backbone)?, heads(values.json("anchors")?))),
            None => Self::written(values),
        }
    }

    fn known(values: &Values<'_>, backbone: Backbone) -> Result<Self, Problem> {
        Ok(Self::Known {
            backbone,
            channels: if values.has("channels") {
                Channels::Listed(values.json("channels")?)
            } else {
                Channels::Multiplied(values.parse("width")?)
            },
            upsampling: if values.has("upsampling") {
                values.parse("upsampling")?
            } else {
                Upsampling::Nearest
            },
            leaky_slope: if values.has("leaky_slope") { values.parse("leaky_slope")? } else { LEAKY_SLOPE },
        })
    }

    fn written(values: &Values<'_>) -> Result<(Self, Vec<HeadSpec>), Problem> {
        let heads: Vec<WrittenHead> = values.json("heads")?;
        let outputs = heads.iter().map(|head| head.layer);
        let graph = written::from_json(values.get("layers")?, outputs).map_err(|error| ("layers", error))?;
        let heads = heads.into_iter().map(|WrittenHead { stride, anchors, .. }| HeadSpec { stride, anchors });
        Ok((Self::Written(graph), heads.collect()))
    }

    /// As a model file has it: what [`Network::parse`] reads.
    #[cfg(any(feature = "detect", feature = "testing", test))]
    pub(super) fn values(&self, heads: &[HeadSpec]) -> std::collections::HashMap<&'static str, String> {
        use std::collections::HashMap;

        match self {
            Self::Known { backbone: _, channels, upsampling, leaky_slope } => {
                let anchors: Vec<_> = heads.iter().map(|head| &head.anchors).collect();
                let channels = match channels {
                    Channels::Multiplied(width) => ("width", width.to_string()),
                    Channels::Listed(channels) => ("channels", serde_json::json!(channels).to_string()),
                };
                HashMap::from([
                    channels,
                    ("upsampling", upsampling.name().to_owned()),
                    ("leaky_slope", leaky_slope.to_string()),
                    ("anchors", serde_json::json!(anchors).to_string()),
                ])
            }
            Self::Written(graph) => {
                let heads: Vec<_> = heads
                    .iter()
                    .zip(graph.outputs())
                    .map(|(head, output)| WrittenHead {
                        layer: output.index(),
                        stride: head.stride,
                        anchors: head.anchors.clone(),
                    })
                    .collect();
                HashMap::from([
                    ("layers", written::to_json(graph).to_string()),
                    ("heads", serde_json::json!(heads).to_string()),
                ])
            }
        }
    }
}

/// The heads of a known network with these anchors, from the finest to the coarsest.
pub(crate) fn heads(anchors: [[[f32; 2]; 3]; 3]) -> Vec<HeadSpec> {
    let head = |(stride, anchors): (usize, [[f32; 2]; 3])| HeadSpec { stride, anchors: anchors.into() };
    STRIDES.into_iter().zip(anchors).map(head).collect()
}
