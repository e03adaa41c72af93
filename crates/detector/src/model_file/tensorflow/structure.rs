//! How the layers of each family hang together in a graph; the counterpart of `network`, read backwards.

use super::Departure;
use super::graph::Id;
use super::layers::{Expected, Layers};
use crate::graph::Norm;
use crate::network::{Backbone, Upsampling};

/// The outputs of the heads of stride 8, 16 and 32 in a graph.
pub(super) type Heads = [Id; 3];

/// The nodes that a head joins with others.
#[derive(Debug)]
struct Head {
    /// What goes in.
    input: Id,
    /// What goes on to the next finer head.
    route: Id,
}

/// What a finer head is fed with.
#[derive(Debug)]
struct Join {
    /// Features of the backbone.
    features: Id,
    /// The route of the next coarser head.
    route: Id,
    upsampling: Upsampling,
}

/// Finds the outputs of the heads: convolutions with a bias whose values are cut into boxes by a reshape.
pub(super) fn heads(layers: &Layers<'_, '_>) -> Result<Heads, Departure> {
    const PLACE: &str = "the outputs";
    let graph = layers.graph;
    let mut heads = Vec::new();
    for reshape in graph.of("Reshape") {
        let Ok(head) = graph.source(reshape, 0, PLACE) else { continue };
        let is_head = graph.op(head) == "BiasAdd"
            && graph.source(head, 0, PLACE).is_ok_and(|conv| graph.op(conv) == "Conv2D")
            && !heads.contains(&head);
        if is_head {
            heads.push(head);
        }
        if heads.len() > 3 {
            break;
        }
    }
    // The finer a head, the more convolutions lie before it.
    heads.sort_by_cached_key(|&head| std::cmp::Reverse(graph.convolutions_before(head)));
    <[Id; 3]>::try_from(heads).map_err(|heads| Departure {
        place: PLACE.into(),
        found: match heads.len() {
            4 => "more than 3 convolutions with a bias that are reshaped to boxes".into(),
            count => format!("{count} convolutions with a bias that are reshaped to boxes"),
        },
        expected: "3, of stride 8, 16 and 32".into(),
    })
}

/// Collects the layers of the whole network; returns what goes into its first, and the upsampling.
pub(super) fn network(layers: &mut Layers<'_, '_>, heads: Heads) -> Result<(Id, Upsampling), Departure> {
    let [fine, middle, coarse] = heads;
    let coarse = head(layers, coarse, 32)?;
    let middle = head(layers, middle, 16)?;
    let fine = head(layers, fine, 8)?;
    let to_middle = join(layers, middle.input, 32)?;
    let to_fine = join(layers, fine.input, 16)?;
    same(layers, "head32.lateral", to_middle.route, coarse.route)?;
    same(layers, "head16.lateral", to_fine.route, middle.route)?;
    if to_middle.upsampling != to_fine.upsampling {
        return Err(Departure {
            place: "head16.upsample".into(),
            found: format!("{:?} upsampling", to_fine.upsampling),
            expected: format!("that of head32, {:?}", to_middle.upsampling),
        });
    }
    let features = [to_fine.features, to_middle.features, coarse.input];
    let input = match layers.backbone {
        Backbone::Resnet18 => resnet18(layers, features)?,
        Backbone::Darknet53 => darknet53(layers, features)?,
    };
    Ok((input, to_middle.upsampling))
}

/// A head whose output is `id`.
fn head(layers: &mut Layers<'_, '_>, id: Id, stride: usize) -> Result<Head, Departure> {
    let name = format!("head{stride}.output");
    let mut id = layers.convolution(id, Expected { name: &name, kernel: 1, stride: 1, norm: Norm::Bias })?;
    let mut route = id;
    for index in (1..=6).rev() {
        let kernel = if index % 2 == 1 { 1 } else { 3 };
        id = layers.activated(id, &format!("head{stride}.conv{index}"), (kernel, 1))?;
        if index == 6 {
            route = id;
        }
    }
    Ok(Head { input: id, route })
}

/// The joint at `id`, into which the route of the head of `stride` goes.
fn join(layers: &mut Layers<'_, '_>, id: Id, stride: usize) -> Result<Join, Departure> {
    let graph = layers.graph;
    let place = format!("head{stride}.upsample");
    // The axis comes last, and first in the oldest form.
    let first = match graph.op(id) {
        "ConcatV2" => 0,
        "Concat" => 1,
        _ => return Err(layers.departure(id, &place, "ConcatV2 of the upsampled route and the backbone")),
    };
    let values = graph.inputs(id).count().saturating_sub(1);
    if values != 2 {
        let found = format!("{} of {values} values", graph.describe(id));
        return Err(Departure { place, found, expected: "2".into() });
    }
    let upsampled = graph.source(id, first, &place)?;
    let features = graph.source(id, first + 1, &place)?;
    let (upsampling, lateral) = if graph.op(upsampled) == "ResizeNearestNeighbor" {
        for flag in ["align_corners", "half_pixel_centers"] {
            if graph.flag(upsampled, flag).unwrap_or(false) {
                return Err(layers.departure(upsampled, &place, &format!("{flag} false")));
            }
        }
        (Upsampling::Nearest, graph.source(upsampled, 0, &place)?)
    } else {
        (Upsampling::Transposed, layers.transposed(upsampled, &place)?)
    };
    let route = layers.activated(lateral, &format!("head{stride}.lateral"), (1, 1))?;
    Ok(Join { features, route, upsampling })
}

/// The backbone of the ResNet-18 family from its `features` of stride 8, 16 and 32.
fn resnet18(layers: &mut Layers<'_, '_>, features: [Id; 3]) -> Result<Id, Departure> {
    let [fine, middle, coarse] = features;
    let before = resnet18_stage(layers, coarse, 5, 2)?;
    same(layers, "conv5_1", before, middle)?;
    let before = resnet18_stage(layers, middle, 4, 2)?;
    same(layers, "conv4_1", before, fine)?;
    let before = resnet18_stage(layers, fine, 3, 2)?;
    let pool = resnet18_stage(layers, before, 2, 1)?;
    let graph = layers.graph;
    if graph.op(pool) != "MaxPool"
        || !graph.has_sides(pool, "ksize", 3)
        || !graph.has_sides(pool, "strides", 2)
        || graph.text(pool, "padding") != Some("SAME")
    {
        return Err(layers.departure(pool, "conv1", "MaxPool of 3x3, stride 2, padding SAME"));
    }
    layers.check_layout(pool, "conv1")?;
    let conv1 = graph.source(pool, 0, "conv1")?;
    layers.activated(conv1, "conv1", (7, 2))
}

/// Two basic blocks; returns what goes into the first.
fn resnet18_stage(layers: &mut Layers<'_, '_>, id: Id, stage: usize, stride: i64) -> Result<Id, Departure> {
    let id = resnet18_block(layers, id, &format!("conv{stage}_2"), 1)?;
    resnet18_block(layers, id, &format!("conv{stage}_1"), stride)
}

fn resnet18_block(layers: &mut Layers<'_, '_>, id: Id, block: &str, stride: i64) -> Result<Id, Departure> {
    let sum = layers.before_activation(id, block)?;
    let (branch, shortcut) = summands(layers, sum, block)?;
    let name = format!("{block}.conv2");
    let inner =
        layers.convolution(branch, Expected { name: &name, kernel: 3, stride: 1, norm: Norm::Batch })?;
    let input = layers.activated(inner, &format!("{block}.conv1"), (3, stride))?;
    let name = format!("{block}.shortcut");
    let shortcut = if stride == 1 {
        shortcut
    } else {
        layers.convolution(shortcut, Expected { name: &name, kernel: 1, stride, norm: Norm::None })?
    };
    same(layers, &name, shortcut, input)?;
    Ok(input)
}

/// The backbone of the Darknet-53 family from its `features` of stride 8, 16 and 32.
fn darknet53(layers: &mut Layers<'_, '_>, features: [Id; 3]) -> Result<Id, Departure> {
    /// Residual blocks of each stage.
    const BLOCKS: [usize; 5] = [1, 2, 8, 8, 4];
    let [fine, middle, mut id] = features;
    for (index, blocks) in BLOCKS.into_iter().enumerate().rev() {
        let stage = index + 1;
        let name = format!("stage{stage}");
        match stage {
            4 => same(layers, "stage5.down", id, middle)?,
            3 => same(layers, "stage4.down", id, fine)?,
            _ => {}
        }
        for block in (1..=blocks).rev() {
            let block = format!("{name}.block{block}");
            let (branch, shortcut) = summands(layers, id, &block)?;
            let inner = layers.activated(branch, &format!("{block}.conv2"), (3, 1))?;
            let input = layers.activated(inner, &format!("{block}.conv1"), (1, 1))?;
            same(layers, &block, shortcut, input)?;
            id = input;
        }
        id = layers.activated(id, &format!("{name}.down"), (3, 2))?;
    }
    layers.activated(id, "conv0", (3, 1))
}

/// The two summands of a residual sum.
fn summands(layers: &Layers<'_, '_>, sum: Id, place: &str) -> Result<(Id, Id), Departure> {
    match layers.graph.op(sum) {
        "Add" | "AddV2" => Ok((layers.graph.source(sum, 0, place)?, layers.graph.source(sum, 1, place)?)),
        _ => Err(layers.departure(sum, place, "AddV2 of a block and its input")),
    }
}

/// Whether two ways through the graph meet where they meet in the network.
fn same(layers: &Layers<'_, '_>, place: &str, found: Id, expected: Id) -> Result<(), Departure> {
    if found == expected {
        return Ok(());
    }
    let input = format!("the input {}", layers.graph.describe(found));
    Err(Departure { place: place.into(), found: input, expected: layers.graph.describe(expected) })
}
