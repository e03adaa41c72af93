//! Tensors in a message: their numbers in the forms in which writers leave them.

use std::borrow::Cow;

use half::f16;
use safetensors::Dtype;

use super::varint;
use crate::model_file::tensor::{Data, Order, Tensor};

/// Most values of a tensor that is not written out in full, but filled with its last value, or number by number.
const MAX_FILLED: usize = 65_536;
/// Most pieces that packed numbers come in; writers make one.
const MAX_CHUNKS: usize = 64;

/// A constant, its values where they lie.
#[derive(Debug)]
pub(crate) struct Constant<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: Dtype,
    data: Data<'a>,
}

/// What stands for the numbers of a tensor that are not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fill {
    /// The last one that is, or else zero.
    Last,
    /// Nothing: all must be written.
    Nothing,
}

/// How many elements a tensor of this shape has.
///
/// # Errors
///
/// If their bytes could not be counted.
pub(crate) fn element_count(shape: &[usize]) -> Result<usize, String> {
    shape
        .iter()
        .try_fold(1usize, |count, &side| count.checked_mul(side))
        .filter(|count| count.checked_mul(8).is_some())
        .ok_or_else(|| format!("of the impossible shape {shape:?}"))
}

/// The values of a tensor in the forms in which they may be written.
#[derive(Debug, Default)]
pub(crate) struct Values<'a> {
    /// All bytes as they are.
    pub(crate) content: &'a [u8],
    packed: Vec<&'a [u8]>,
    singles: Vec<u8>,
}

impl<'a> Values<'a> {
    /// Adds packed numbers.
    pub(crate) fn chunk(&mut self, packed: &'a [u8]) -> Result<(), String> {
        if self.packed.len() >= MAX_CHUNKS {
            return Err("with its numbers in too many pieces".into());
        }
        self.packed.push(packed);
        Ok(())
    }

    /// Adds one number.
    pub(crate) fn single(&mut self, number: &[u8]) -> Result<(), String> {
        if self.singles.len() >= 8 * MAX_FILLED {
            return Err("with too many numbers that are not packed".into());
        }
        self.singles.extend(number);
        Ok(())
    }

    /// `count` values of `dtype`.
    pub(crate) fn data(self, dtype: Dtype, count: usize, fill: Fill) -> Result<Data<'a>, String> {
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
        if fill == Fill::Nothing && bytes.len() != count * size {
            return Err(format!("with {} numbers for its {count} values", bytes.len() / size));
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
    /// A tensor of as many values as its shape calls for.
    pub(crate) fn new(shape: Vec<usize>, dtype: Dtype, data: Data<'a>) -> Self {
        Self { shape, dtype, data }
    }

    /// Whether its values lie in the file as a network reads them.
    pub(crate) fn lies_in_file(&self) -> bool {
        matches!(self.data, Data::Numbers(Cow::Borrowed(_)))
    }

    /// The values as numbers, at most `most`.
    pub(crate) fn numbers(&self, most: usize) -> Option<Vec<f64>> {
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
    pub(crate) fn number(&self) -> Option<f64> {
        self.numbers(1)?.first().copied()
    }

    /// A network's tensor of another shape over the same values.
    pub(crate) fn into_tensor(self, shape: Vec<usize>, order: Order) -> Tensor<'a> {
        Tensor { shape, dtype: self.dtype, order, data: self.data }
    }

    fn clone_as(&self, shape: Vec<usize>, order: Order) -> Tensor<'a> {
        Tensor { shape, dtype: self.dtype, order, data: self.data.clone() }
    }
}

fn chunks<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    bytes.as_chunks().0.iter().map(|&bytes| number(bytes)).collect()
}
