//! Constants of a graph.
//!
//! Field numbers and types are those of TensorFlow's `tensor.proto`, `tensor_shape.proto` and `types.proto`.

use safetensors::Dtype;

use super::Departure;
use super::graph::{Graph, Id};
use crate::model_file::protobuf::{Constant, Fill, Value, Values, element_count, fields};

/// Most dimensions.
const MAX_RANK: usize = 8;

/// The constant that input `index` of `id` is.
pub(super) fn constant<'a>(
    graph: &Graph<'a>,
    id: Id,
    index: usize,
    place: &str,
) -> Result<Constant<'a>, Departure> {
    let mut source = graph.source(id, index, place)?;
    if graph.op(source) == "Reshape" {
        // Only the values matter here, and these stay.
        source = graph.source(source, 0, place)?;
    }
    let departure = |found| Departure { place: place.into(), found, expected: "a constant".into() };
    if graph.op(source) != "Const" {
        return Err(departure(graph.describe(source)));
    }
    graph
        .tensor(source, "value")
        .ok_or_else(|| "without a value".to_owned())
        .and_then(parse)
        .map_err(|problem| departure(format!("{}: {problem}", graph.describe(source))))
}

/// Reads a `TensorProto`.
fn parse(message: &[u8]) -> Result<Constant<'_>, String> {
    let mut dtype = 0;
    let mut shape = Vec::new();
    let mut values = Values::default();
    for field in fields(message) {
        match field.map_err(|damage| damage.to_string())? {
            (1, Value::Varint(number)) => dtype = number,
            (2, Value::Bytes(message)) => shape = dimensions(message)?,
            (4, Value::Bytes(content)) => values.content = content,
            // Numbers by type: float, double, int, int64 and half.
            (5 | 6 | 7 | 10 | 13, Value::Bytes(packed)) => values.chunk(packed)?,
            (5, Value::Fixed32(number)) => values.single(&number)?,
            (6, Value::Fixed64(number)) => values.single(&number)?,
            (7 | 10 | 13, Value::Varint(_)) => return Err("with integers that are not packed".into()),
            _ => {}
        }
    }
    let dtype = match dtype {
        1 => Dtype::F32,
        2 => Dtype::F64,
        3 => Dtype::I32,
        9 => Dtype::I64,
        19 => Dtype::F16,
        other => {
            return Err(format!("of the type {other}, which is none of float, double, half, int32, int64"));
        }
    };
    let count = element_count(&shape)?;
    let data = values.data(dtype, count, Fill::Last)?;
    Ok(Constant::new(shape, dtype, data))
}

/// The sizes in a `TensorShapeProto`.
fn dimensions(message: &[u8]) -> Result<Vec<usize>, String> {
    let mut shape = Vec::new();
    for size in sizes(message) {
        if shape.len() == MAX_RANK {
            return Err(format!("of more than {MAX_RANK} dimensions"));
        }
        shape.push(usize::try_from(size).map_err(|_| "of an unknown size".to_owned())?);
    }
    Ok(shape)
}

/// The sizes in a `TensorShapeProto`; -1 stands for what is not known.
pub(super) fn sizes(message: &[u8]) -> impl Iterator<Item = i64> {
    fields(message).filter_map(|field| match field {
        Ok((2, Value::Bytes(dimension))) => Some(
            fields(dimension)
                .find_map(|field| match field {
                    Ok((1, Value::Varint(size))) => Some(size.cast_signed()),
                    _ => None,
                })
                .unwrap_or(0),
        ),
        _ => None,
    })
}
