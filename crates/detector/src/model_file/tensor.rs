//! One tensor of a model file, where it lies.

use std::borrow::Cow;
use std::ops::Range;

use half::f16;
use safetensors::Dtype;

/// Output channels that are brought into order together: the lines that they are read from stay in the cache.
const BLOCK: usize = 16;

/// A tensor's shape and its values as the file has them.
#[derive(Debug, Clone)]
pub(crate) struct Tensor<'a> {
    /// The shape that a network sees.
    pub(super) shape: Vec<usize>,
    pub(super) dtype: Dtype,
    pub(super) order: Order,
    pub(super) data: Data<'a>,
}

/// In which order the values of a tensor lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// That of the shape, the last index fastest.
    Shape,
    /// Row, column, in, out, where the shape is out, in, row, column.
    OutLast,
    /// Out, in, row, column of a part of the shape; the rest is zero.
    Within(Within),
}

/// What is written of a convolution's weights if it takes the rest to be zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Within {
    /// An output channel has the weights of its group's inputs only.
    pub(super) groups: usize,
    /// Rows and columns.
    pub(super) kernel: usize,
    /// The first row and column.
    pub(super) first: usize,
}

/// The values of a tensor; as many as its shape and order call for.
#[derive(Debug, Clone)]
pub(super) enum Data<'a> {
    /// Little-endian numbers.
    Numbers(Cow<'a, [u8]>),
    /// The bits of `f16` numbers, each as a protobuf varint of at most 16 bits.
    HalfVarints(&'a [u8]),
}

impl<'a> Tensor<'a> {
    /// Little-endian numbers in the order of the shape.
    pub(super) fn new(shape: Vec<usize>, dtype: Dtype, data: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { shape, dtype, order: Order::Shape, data: Data::Numbers(data.into()) }
    }

    /// One `f32`.
    pub(super) fn number(value: f32) -> Self {
        Self::new(vec![1], Dtype::F32, value.to_le_bytes().to_vec())
    }

    /// The part of the file that the values lie in.
    pub(super) fn part(&self) -> Option<&'a [u8]> {
        match self.data {
            Data::Numbers(Cow::Borrowed(part)) | Data::HalfVarints(part) => Some(part),
            Data::Numbers(Cow::Owned(_)) => None,
        }
    }

    /// The tensor of some of the first axis's positions, of values in that axis's order; none if they do not lie in the
    /// file as they are.
    pub(super) fn part_of(&self, positions: Range<usize>) -> Option<Self> {
        let Data::Numbers(Cow::Borrowed(bytes)) = self.data else { return None };
        let mut shape = self.shape.clone();
        let row = bytes.len() / std::mem::replace(shape.first_mut()?, positions.len());
        let bytes = bytes.get(positions.start * row..positions.end * row)?;
        Some(Self { shape, dtype: self.dtype, order: self.order, data: Data::Numbers(bytes.into()) })
    }

    /// The values as `f32` in the order of the shape, bytes without their scale; none if the type is neither `f16` nor `f32`
    /// nor `i8`.
    pub(super) fn values(&self) -> Option<Vec<f32>> {
        match (&self.data, self.dtype) {
            (Data::Numbers(data), Dtype::F32) => Some(self.ordered(data.as_chunks().0, f32::from_le_bytes)),
            (Data::Numbers(data), Dtype::F16) => {
                Some(self.ordered(data.as_chunks().0, |bytes| f16::from_le_bytes(bytes).to_f32()))
            }
            (Data::Numbers(data), Dtype::I8) => {
                Some(self.ordered(data.as_chunks().0, |bytes| f32::from(i8::from_le_bytes(bytes))))
            }
            (Data::HalfVarints(data), Dtype::F16) => {
                let values: Vec<f16> = halves(data).collect();
                Some(self.ordered(&values, f16::to_f32))
            }
            _ => None,
        }
    }

    fn ordered<T: Copy>(&self, values: &[T], decode: impl Fn(T) -> f32) -> Vec<f32> {
        match (self.order, self.shape.as_slice()) {
            (Order::OutLast, &[out, input, rows, columns]) if !values.is_empty() => {
                out_first(values, [out, input, rows * columns], decode)
            }
            (Order::Within(within), &[out, input, side, _]) => {
                spread(values, within, [out, input, side], decode)
            }
            _ => values.iter().map(|&value| decode(value)).collect(),
        }
    }
}

/// From pixel, in, out to out, in, pixel.
fn out_first<T: Copy>(values: &[T], [out, input, pixels]: [usize; 3], decode: impl Fn(T) -> f32) -> Vec<f32> {
    let depth = input * pixels;
    let mut ordered = vec![0.0; values.len()];
    for (block, rows) in ordered.chunks_mut(BLOCK * depth).enumerate() {
        let width = rows.len() / depth;
        for channel in 0..input {
            for pixel in 0..pixels {
                let source = &values[(pixel * input + channel) * out + block * BLOCK..][..width];
                for (row, &value) in source.iter().enumerate() {
                    rows[row * depth + channel * pixels + pixel] = decode(value);
                }
            }
        }
    }
    ordered
}

/// Weights of groups and of a smaller kernel among zeros.
fn spread<T: Copy>(
    values: &[T],
    Within { groups, kernel, first }: Within,
    [out, input, side]: [usize; 3],
    decode: impl Fn(T) -> f32,
) -> Vec<f32> {
    let (group_outputs, group_inputs) = (out / groups, input / groups);
    let mut spread = vec![0.0; out * input * side * side];
    for (index, rows) in values.chunks_exact(kernel * kernel).enumerate() {
        let (output, channel) = (index / group_inputs, index % group_inputs);
        let plane = output * input + output / group_outputs * group_inputs + channel;
        for (row, values) in rows.chunks_exact(kernel).enumerate() {
            let start = (plane * side + first + row) * side + first;
            spread[start..start + kernel].iter_mut().zip(values).for_each(|(to, &from)| *to = decode(from));
        }
    }
    spread
}

/// The numbers of [`Data::HalfVarints`].
fn halves(data: &[u8]) -> impl Iterator<Item = f16> {
    data.split_inclusive(|byte| byte & 0x80 == 0).map(|varint| {
        let bits = varint.iter().rev().fold(0u32, |bits, byte| bits << 7 | u32::from(byte & 0x7f));
        // At most 16 bits were promised.
        f16::from_bits(bits as u16)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_channels_come_first() {
        let (out, input, rows, columns) = (21, 3, 2, 5);
        let mut data = Vec::new();
        for pixel in 0..rows * columns {
            for channel in 0..input {
                for output in 0..out {
                    data.extend(((output * input + channel) as f32 * 100.0 + pixel as f32).to_le_bytes());
                }
            }
        }
        let tensor = Tensor {
            order: Order::OutLast,
            ..Tensor::new(vec![out, input, rows, columns], Dtype::F32, data)
        };
        let values = tensor.values().unwrap();
        assert_eq!(values.len(), out * input * rows * columns);
        for (index, value) in values.into_iter().enumerate() {
            let (plane, pixel) = (index / (rows * columns), index % (rows * columns));
            assert_eq!(value, plane as f32 * 100.0 + pixel as f32);
        }
    }

    #[test]
    fn varints_are_the_bits_of_halves() {
        // 1.0 is 0x3c00, -2.0 is 0xc000, and the smallest subnormal is 1.
        let data = [0x80, 0x78, 0x80, 0x80, 0x03, 0x01];
        let found: Vec<f32> = halves(&data).map(f16::to_f32).collect();
        assert_eq!(found, [1.0, -2.0, f16::from_bits(1).to_f32()]);
    }
}
