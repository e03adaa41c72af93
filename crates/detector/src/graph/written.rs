//! A graph as JSON: how a model file carries a network that is not known by its name.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::bounds::{MAX_CHANNELS, MAX_DOUBLINGS, MAX_JOINED, MAX_LAYERS, MAX_NAME, MAX_REACH};
use super::{Activation, ConvSpec, Geometry, Graph, NodeId, Norm, Residual, Window};

/// Longest list of layers, in bytes.
const MAX_JSON: usize = 4 << 20;

/// One layer as it is written. A layer's number is its position in the list, counted from 1; the picture is 0.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Layer {
    Conv {
        name: String,
        input: usize,
        channels: usize,
        kernel: usize,
        stride: usize,
        norm: Norm,
        activation: Activation,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        residual: Option<(usize, Residual)>,
    },
    MaxPool {
        input: usize,
        size: usize,
        stride: usize,
        before: usize,
    },
    Upsample {
        input: usize,
    },
    DepthToSpace {
        input: usize,
    },
    Concat {
        inputs: Vec<usize>,
    },
    Attention {
        query: usize,
        key: usize,
        value: usize,
        scale: f32,
    },
}

/// The layers of `graph`, without its outputs, as JSON.
#[cfg(any(test, feature = "detect", feature = "testing"))]
pub(crate) fn to_json(graph: &Graph) -> serde_json::Value {
    use super::Op;

    let layers = graph.nodes().iter().filter_map(|node| match &node.op {
        Op::Picture => None,
        Op::Conv { convolution, input, residual } => {
            let ConvSpec { name, geometry, norm, activation } = &graph.convolutions()[*convolution];
            Some(Layer::Conv {
                name: name.clone(),
                input: input.index(),
                channels: geometry.out_channels,
                kernel: geometry.kernel,
                stride: geometry.stride,
                norm: *norm,
                activation: *activation,
                residual: residual.map(|(other, when)| (other.index(), when)),
            })
        }
        Op::MaxPool { input, window: Window { size, stride, before } } => {
            Some(Layer::MaxPool { input: input.index(), size: *size, stride: *stride, before: *before })
        }
        Op::Upsample { input } => Some(Layer::Upsample { input: input.index() }),
        Op::DepthToSpace { input } => Some(Layer::DepthToSpace { input: input.index() }),
        Op::Concat { inputs } => {
            Some(Layer::Concat { inputs: inputs.iter().map(|input| input.index()).collect() })
        }
        Op::Attention { query, key, value, scale } => Some(Layer::Attention {
            query: query.index(),
            key: key.index(),
            value: value.index(),
            scale: *scale,
        }),
    });
    let layers: Vec<Layer> = layers.collect();
    serde_json::json!(layers)
}

/// The graph of the layers in `json`, whose outputs are the layers numbered `outputs`.
///
/// # Errors
///
/// If it is not JSON of such layers, or a layer cannot be: the message names it.
pub(crate) fn from_json(json: &str, outputs: impl IntoIterator<Item = usize>) -> Result<Graph, String> {
    if json.len() > MAX_JSON {
        return Err(format!("{} bytes, more than {MAX_JSON}", json.len()));
    }
    let layers: Vec<Layer> = serde_json::from_str(json).map_err(|error| error.to_string())?;
    if layers.len() > MAX_LAYERS {
        return Err(format!("{} layers, more than {MAX_LAYERS}", layers.len()));
    }
    let (graph, picture) = Graph::new();
    let mut reader = Reader { graph, nodes: vec![picture], doublings: vec![0], named: HashMap::new() };
    for layer in layers {
        let number = reader.nodes.len();
        reader.layer(layer).map_err(|problem| format!("layer {number}: {problem}"))?;
    }
    for output in outputs {
        let node = reader.node(output).map_err(|problem| format!("output: {problem}"))?;
        reader.graph.output(node);
    }
    Ok(reader.graph)
}

/// A graph as far as its layers have been read.
struct Reader {
    graph: Graph,
    nodes: Vec<NodeId>,
    /// How often each layer's height and width were doubled on the way from the picture.
    doublings: Vec<u32>,
    /// The convolutions by name.
    named: HashMap<String, usize>,
}

impl Reader {
    fn node(&self, number: usize) -> Result<NodeId, String> {
        let known = self.nodes.get(number).copied();
        known.ok_or_else(|| format!("layer {number} does not come before it"))
    }

    fn layer(&mut self, layer: Layer) -> Result<(), String> {
        let (node, inputs, doubles) = match layer {
            Layer::Conv { name, input, channels, kernel, stride, norm, activation, residual } => {
                let geometry = Geometry { in_channels: 0, out_channels: channels, kernel, stride };
                let spec = ConvSpec { name, geometry, norm, activation };
                let other = residual.map(|(other, _)| other);
                let inputs = std::iter::once(input).chain(other).collect();
                (self.conv(spec, input, residual)?, inputs, 0)
            }
            Layer::MaxPool { input, size, stride, before } => {
                let node = self.node(input)?;
                within("size", size, 1, MAX_REACH)?;
                within("stride", stride, 1, MAX_REACH)?;
                within("before", before, 0, size - 1)?;
                (self.graph.max_pool(node, Window { size, stride, before }), vec![input], 0)
            }
            Layer::Upsample { input } => {
                let node = self.node(input)?;
                (self.graph.upsample(node), vec![input], 1)
            }
            Layer::DepthToSpace { input } => {
                let node = self.node(input)?;
                let channels = self.graph.channels(node);
                if !channels.is_multiple_of(4) {
                    return Err(format!("{channels} channels do not make four pixels"));
                }
                (self.graph.depth_to_space(node), vec![input], 1)
            }
            Layer::Concat { inputs } => {
                let nodes = inputs.iter().map(|&input| self.node(input)).collect::<Result<Vec<_>, _>>()?;
                let channels = nodes.iter().map(|&node| self.graph.channels(node)).sum();
                within("channels together", channels, 1, MAX_JOINED)?;
                (self.graph.concat(nodes), inputs, 0)
            }
            Layer::Attention { query, key, value, scale } => {
                let nodes = (self.node(query)?, self.node(key)?, self.node(value)?);
                let channels = (self.graph.channels(nodes.0), self.graph.channels(nodes.1));
                if channels.0 != channels.1 {
                    return Err(format!("queries of {} channels for keys of {}", channels.0, channels.1));
                }
                if !scale.is_finite() {
                    return Err(format!("scale {scale} is no number"));
                }
                (self.graph.attention(nodes.0, nodes.1, nodes.2, scale), vec![query, key, value], 0)
            }
        };
        let before = inputs.into_iter().map(|input| self.doublings[input]).max();
        let doublings = before.unwrap_or(0) + doubles;
        if doublings > MAX_DOUBLINGS {
            return Err(format!("more than {MAX_DOUBLINGS} doublings of its height and width"));
        }
        self.nodes.push(node);
        self.doublings.push(doublings);
        Ok(())
    }

    /// A convolution; one of a name that is known has the weights of the first.
    fn conv(
        &mut self,
        mut spec: ConvSpec,
        input: usize,
        residual: Option<(usize, Residual)>,
    ) -> Result<NodeId, String> {
        let input = self.node(input)?;
        let ConvSpec { name, geometry, activation, .. } = &spec;
        within("length of the name", name.len(), 1, MAX_NAME)?;
        within("channels", geometry.out_channels, 1, MAX_CHANNELS)?;
        within("kernel", geometry.kernel, 1, MAX_REACH)?;
        within("stride", geometry.stride, 1, MAX_REACH)?;
        if geometry.kernel.is_multiple_of(2) {
            return Err(format!("kernel {} is even", geometry.kernel));
        }
        if let Activation::LeakyRelu(slope) = activation
            && !(0.0..=1.0).contains(slope)
        {
            return Err(format!("slope {slope} is not between 0 and 1"));
        }
        let residual = match residual {
            None => None,
            Some((other, when)) => {
                let other = self.node(other)?;
                let channels = self.graph.channels(other);
                if channels != geometry.out_channels {
                    return Err(format!("{channels} channels are added to its {}", geometry.out_channels));
                }
                Some((other, when))
            }
        };
        spec.geometry.in_channels = self.graph.channels(input);
        let convolution = match self.named.get(&spec.name) {
            Some(&first) if self.graph.convolutions()[first] == spec => first,
            Some(_) => return Err(format!("another convolution is named {:?}", spec.name)),
            None => {
                let name = spec.name.clone();
                let convolution = self.graph.declare(input, spec);
                self.named.insert(name, convolution);
                convolution
            }
        };
        Ok(self.graph.place(convolution, input, residual))
    }
}

fn within(what: &str, value: usize, least: usize, most: usize) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} {value} is not {least} to {most}"))
    }
}

#[cfg(test)]
mod tests;
