//! Protocol buffers as far as a SentencePiece model needs them: the fields of one message, one after the other.
//!
//! Nothing is copied: a message inside a message is a slice of the bytes around it. The format is described in
//! <https://protobuf.dev/programming-guides/encoding/>.

/// Bits of a field's key that say how its value is written.
const WIRE_BITS: u32 = 3;
/// Bits of a number that one byte holds.
const VARINT_BITS: u32 = 7;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// A whole number, an enumeration or a flag.
    Number(u64),
    /// Four bytes: a float among others.
    Four([u8; 4]),
    Eight,
    /// A text, or a message.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The number, where it is one.
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    /// The float, where it has four bytes.
    pub(super) fn float(self) -> Option<f32> {
        match self {
            Self::Four(bytes) => Some(f32::from_le_bytes(bytes)),
            _ => None,
        }
    }

    /// The bytes, where it is a text or a message.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The message is cut off, or is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The fields of a message in the order of the file, each its number and its value.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Broken> {
        let count = usize::try_from(count).map_err(|_| Broken)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Broken)?;
        self.rest = rest;
        Ok(taken)
    }

    fn take_varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(VARINT_BITS as usize) {
            let byte = self.take(1)?.first().copied().ok_or(Broken)?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    fn take_field(&mut self) -> Result<(u64, Value<'a>), Broken> {
        let key = self.take_varint()?;
        let value = match key & ((1 << WIRE_BITS) - 1) {
            0 => Value::Number(self.take_varint()?),
            1 => {
                self.take(8)?;
                Value::Eight
            }
            2 => {
                let count = self.take_varint()?;
                Value::Bytes(self.take(count)?)
            }
            5 => Value::Four(self.take(4)?.try_into().map_err(|_| Broken)?),
            _ => return Err(Broken),
        };
        Ok((key >> WIRE_BITS, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.take_field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_in_order() {
        let message = [
            0x08, 0x96, 0x01, 0x12, 0x02, b'h', b'i', 0x1d, 0, 0, 0x80, 0x3f, 0x21, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let fields: Result<Vec<_>, _> = Fields::of(&message).collect();
        let wanted = [
            (1, Value::Number(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Four(1_f32.to_le_bytes())),
            (4, Value::Eight),
        ];
        assert_eq!(fields, Ok(wanted.to_vec()));
    }

    #[test]
    fn what_is_cut_off_or_no_message_ends_with_an_error() {
        let broken: [&[u8]; 6] = [
            &[0x08],
            &[0x12, 0x05, b'a'],
            &[0x1d, 1, 2],
            &[0x0b],
            &[0xff; 12],
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        ];
        for message in broken {
            let fields: Result<Vec<_>, _> = Fields::of(message).collect();
            assert_eq!(fields, Err(Broken), "{message:?}");
        }
    }
}
