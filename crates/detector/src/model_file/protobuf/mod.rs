//! The wire format of protocol buffers, read in place: nothing is copied, however large a field is.
//!
//! Definition: <https://protobuf.dev/programming-guides/encoding/>.

mod constant;
#[cfg(test)]
pub(super) mod testing;

pub(crate) use constant::{Constant, Fill, Values, element_count};

/// A message that is cut short or damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    /// It ends inside a field.
    #[error("a message ends inside a field")]
    Short,
    /// A number takes more than ten bytes.
    #[error("a number of more than 64 bits")]
    LongNumber,
    /// A field of a kind that does not exist, or is obsolete.
    #[error("a field of the unknown wire type {0}")]
    WireType(u64),
    /// A name is not text.
    #[error("a name that is not UTF-8")]
    Name,
    /// More than the reader is willing to look at.
    #[error("more than {0} nodes")]
    TooMany(usize),
    /// Two nodes of one name.
    #[error("two nodes of one name")]
    Twice,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed32([u8; 4]),
    Fixed64([u8; 8]),
    /// A string, a message or packed numbers.
    Bytes(&'a [u8]),
}

/// The fields of a message in order: number and value. Ends after the first damage.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a>(&'a [u8]);

/// The fields of `message`.
pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields(message)
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Damage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u64, Value<'a>), Damage> {
        let tag = varint(&mut self.0)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut self.0)?),
            1 => Value::Fixed64(self.fixed()?),
            2 => {
                let length = varint(&mut self.0)?;
                let length = usize::try_from(length).map_err(|_| Damage::Short)?;
                let (bytes, rest) = self.0.split_at_checked(length).ok_or(Damage::Short)?;
                self.0 = rest;
                Value::Bytes(bytes)
            }
            5 => Value::Fixed32(self.fixed()?),
            unknown => return Err(Damage::WireType(unknown)),
        };
        Ok((tag >> 3, value))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Damage::Short)?;
        self.0 = rest;
        Ok(*bytes)
    }
}

/// Takes a number off the front of `bytes`.
pub(crate) fn varint(bytes: &mut &[u8]) -> Result<u64, Damage> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Damage::Short)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Damage::LongNumber)
}

/// Most integers of a list that are read: sizes, strides, paddings.
const MAX_INTEGERS: usize = 16;

/// A list of integers, the fields of this number, one by one or packed; none if the message is damaged.
pub(crate) fn integers(message: &[u8], number: u64) -> Option<Vec<i64>> {
    let mut integers = Vec::new();
    for field in fields(message) {
        match field.ok()? {
            (found, Value::Varint(integer)) if found == number => integers.push(integer.cast_signed()),
            (found, Value::Bytes(mut packed)) if found == number => {
                while !packed.is_empty() && integers.len() < MAX_INTEGERS {
                    integers.push(varint(&mut packed).ok()?.cast_signed());
                }
            }
            _ => {}
        }
        if integers.len() >= MAX_INTEGERS {
            break;
        }
    }
    Some(integers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_field() {
        let message = [
            0x08, 0x96, 0x01, // 1: 150
            0x11, 1, 2, 3, 4, 5, 6, 7, 8, // 2: 64 bits
            0x1a, 2, b'h', b'i', // 3: bytes
            0x25, 1, 2, 3, 4, // 4: 32 bits
        ];
        let found: Vec<_> = fields(&message).collect::<Result<_, _>>().unwrap();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Fixed64([1, 2, 3, 4, 5, 6, 7, 8])),
            (3, Value::Bytes(b"hi")),
            (4, Value::Fixed32([1, 2, 3, 4])),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn damage_is_said_once() {
        for (message, damage) in [
            (&[0x08][..], Damage::Short),
            (&[0x0a, 0x05, 1], Damage::Short),
            (&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Damage::Short),
            (&[0x25, 1, 2], Damage::Short),
            (&[0x0b, 0], Damage::WireType(3)),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Damage::LongNumber),
        ] {
            assert_eq!(fields(message).collect::<Vec<_>>(), [Err(damage)], "{message:x?}");
        }
    }
}
