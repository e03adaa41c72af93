//! Constants of a graph.
//!
//! Field numbers and types are those of TensorFlow's `tensor.proto`, `tensor_shape.proto` and `types.proto`.

use std::borrow::Cow;

use half::f16;
use safetensors::Dtype;

use super::Departure;
use super::graph::{Graph, Id};
use super::wire::{Value, fields, varint};
use crate::model_file::tensor::{Data, Order, Tensor};

/// Most dimensions.
const MAX_RANK: usize = 8;
/// Most values of a tensor that is not written out in full, but filled with its last value.
const MAX_FILLED: usize = 65_536;
/// Most pieces that packed numbers come in; writers make one.
const MAX_CHUNKS: usize = 64;

/// A constant, its values where they lie.
#[derive(Debug)]
pub(super) struct Constant<'a> {
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    data: Data<'a>,
}

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
    let count = shape
        .iter()
        .try_fold(1usize, |count, &side| count.checked_mul(side))
        .filter(|count| count.checked_mul(8).is_some())
        .ok_or_else(|| format!("of the impossible shape {shape:?}"))?;
    let data = values.data(dtype, count)?;
    Ok(Constant { shape, dtype, data })
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

/// The values of a tensor in the forms in which they may be written.
#[derive(Debug, Default)]
struct Values<'a> {
    content: &'a [u8],
    packed: Vec<&'a [u8]>,
    singles: Vec<u8>,
}

impl<'a> Values<'a> {
    fn chunk(&mut self, packed: &'a [u8]) -> Result<(), String> {
        if self.packed.len() >= MAX_CHUNKS {
            return Err("with its numbers in too many pieces".into());
        }
        self.packed.push(packed);
        Ok(())
    }

    fn single(&mut self, number: &[u8]) -> Result<(), String> {
        if self.singles.len() >= 8 * MAX_FILLED {
            return Err("with too many numbers that are not packed".into());
        }
        self.singles.extend(number);
        Ok(())
    }

    /// `count` values of `dtype`; where fewer are written, the last one stands for the rest, or else zero.
    fn data(self, dtype: Dtype, count: usize) -> Result<Data<'a>, String> {
        let size = dtype.bitsize() / 8;
        if !self.content.is_empty() {
            return if self.content.len() == count * size {
                Ok(Data::Numbers(self.content.into()))
            } else {
                Err(format!("with {} bytes for {count} values of {size} bytes", self.content.len()))
            };
        }
        match (dtype, self.packed.as_slice()) {
            (Dtype::F32 | Dtype::F64, [packed]) if packed.len() == count * size => {
                return Ok(Data::Numbers(Cow::Borrowed(*packed)));
            }
            (Dtype::F16, [packed]) if are_halves(packed, count) => return Ok(Data::HalfVarints(packed)),
            _ => {}
        }
        if count > MAX_FILLED {
            return Err(format!("with fewer numbers than its {count} values"));
        }
        let mut bytes = self.singles;
        for packed in self.packed {
            match dtype {
                Dtype::F32 | Dtype::F64 => bytes.extend(packed.iter().take(count * size + 1)),
                _ => unpack(packed, size, count, &mut bytes)?,
            }
        }
        if bytes.len() > count * size || !bytes.len().is_multiple_of(size) {
            return Err(format!("with more numbers than its {count} values"));
        }
        let last = match bytes.len().checked_sub(size) {
            Some(start) => bytes[start..].to_vec(),
            None => vec![0; size],
        };
        while bytes.len() < count * size {
            bytes.extend(&last);
        }
        Ok(Data::Numbers(bytes.into()))
    }
}

/// Whether these are `count` varints of at most 16 bits.
fn are_halves(packed: &[u8], count: usize) -> bool {
    let mut found = 0;
    for number in packed.split_inclusive(|byte| byte & 0x80 == 0) {
        // Three bytes carry 21 bits, of which the last may then have two.
        if !(number.len() < 3 || number.len() == 3 && number[2] < 4) {
            return false;
        }
        found += 1;
    }
    found == count && packed.last().is_none_or(|byte| byte & 0x80 == 0)
}

/// Appends varints as little-endian integers of `size` bytes; at most one more than `count`.
fn unpack(mut packed: &[u8], size: usize, count: usize, bytes: &mut Vec<u8>) -> Result<(), String> {
    while !packed.is_empty() && bytes.len() <= count * size {
        let number = varint(&mut packed).map_err(|damage| damage.to_string())?;
        bytes.extend(&number.to_le_bytes()[..size]);
    }
    Ok(())
}

impl<'a> Constant<'a> {
    /// The values as numbers, at most `most`.
    pub(super) fn numbers(&self, most: usize) -> Option<Vec<f64>> {
        let count: usize = self.shape.iter().product();
        if count > most {
            return None;
        }
        let Data::Numbers(bytes) = &self.data else {
            let tensor = self.clone_as(self.shape.clone(), Order::Shape);
            return tensor.values().map(|values| values.into_iter().map(f64::from).collect());
        };
        Some(match self.dtype {
            Dtype::F16 => chunks(bytes, |bytes| f16::from_le_bytes(bytes).to_f64()),
            Dtype::F32 => chunks(bytes, |bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::F64 => chunks(bytes, f64::from_le_bytes),
            Dtype::I32 => chunks(bytes, |bytes| f64::from(i32::from_le_bytes(bytes))),
            Dtype::I64 => chunks(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
            _ => return None,
        })
    }

    /// The only value.
    pub(super) fn number(&self) -> Option<f64> {
        self.numbers(1)?.first().copied()
    }

    /// A network's tensor of another shape over the same values.
    pub(super) fn into_tensor(self, shape: Vec<usize>, order: Order) -> Tensor<'a> {
        Tensor { shape, dtype: self.dtype, order, data: self.data }
    }

    fn clone_as(&self, shape: Vec<usize>, order: Order) -> Tensor<'a> {
        Tensor { shape, dtype: self.dtype, order, data: self.data.clone() }
    }
}

fn chunks<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}
