//! A `TensorProto`.

use safetensors::Dtype;

use crate::model_file::protobuf::{Constant, Fill, Value, Values, element_count, fields, varint};

/// Most dimensions.
const MAX_RANK: usize = 8;

/// Reads a tensor; its numbers stay where they lie.
///
/// # Errors
///
/// What is wrong with it, in words that follow the name of the tensor.
pub(super) fn parse(message: &[u8]) -> Result<Constant<'_>, String> {
    let mut kind = 0;
    let mut shape = Vec::new();
    let mut values = Values::default();
    for field in fields(message) {
        match field.map_err(|damage| damage.to_string())? {
            (1, Value::Varint(side)) => dimension(&mut shape, side)?,
            (1, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    dimension(&mut shape, varint(&mut packed).map_err(|damage| damage.to_string())?)?;
                }
            }
            (2, Value::Varint(number)) => kind = number,
            (9, Value::Bytes(content)) => values.content = content,
            // Numbers by type: float, int32 and halves, int64, double.
            (4 | 5 | 7 | 10, Value::Bytes(packed)) => values.chunk(packed)?,
            (4, Value::Fixed32(number)) => values.single(&number)?,
            (10, Value::Fixed64(number)) => values.single(&number)?,
            (5 | 7, Value::Varint(_)) => return Err("with integers that are not packed".into()),
            (14, Value::Varint(1)) => {
                return Err("whose numbers lie in another file; export the model as one file".into());
            }
            _ => {}
        }
    }
    let dtype = match kind {
        1 => Dtype::F32,
        6 => Dtype::I32,
        7 => Dtype::I64,
        10 => Dtype::F16,
        11 => Dtype::F64,
        other => {
            return Err(format!(
                "of the type {other}, which is none of float, double, float16, int32, int64"
            ));
        }
    };
    let data = values.data(dtype, element_count(&shape)?, Fill::Nothing)?;
    Ok(Constant::new(shape, dtype, data))
}

fn dimension(shape: &mut Vec<usize>, side: u64) -> Result<(), String> {
    if shape.len() == MAX_RANK {
        return Err(format!("of more than {MAX_RANK} dimensions"));
    }
    shape.push(usize::try_from(side).map_err(|_| "of an impossible size".to_owned())?);
    Ok(())
}
