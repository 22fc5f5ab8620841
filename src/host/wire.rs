//! The wire form of protobuf, as far as hostcalls need it: foreign functions, and the service of a gRPC call.
//!
//! Their messages have two to five fields of interest and are fixed by documents; so a reader of fields and a writer of
//! fields are all there is, and no code is generated. A message that does not parse is `None`.

/// The value of a field, as its wire type has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Numbers, booleans, enums.
    Varint(u64),
    /// `double`, `fixed64`.
    Fixed64([u8; 8]),
    /// `float`, `fixed32`: no message here has one.
    Fixed32,
    /// Strings, bytes, messages.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// A string: valid UTF-8, as protobuf demands.
    pub(super) fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// Bytes, or a message.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32 => None,
        }
    }

    /// A number, an enum, or a boolean (not 0).
    pub(super) fn number(self) -> Option<u64> {
        match self {
            Self::Varint(number) => Some(number),
            Self::Bytes(_) | Self::Fixed64(_) | Self::Fixed32 => None,
        }
    }

    /// A `double`.
    pub(super) fn double(self) -> Option<f64> {
        match self {
            Self::Fixed64(bytes) => Some(f64::from_le_bytes(bytes)),
            Self::Varint(_) | Self::Bytes(_) | Self::Fixed32 => None,
        }
    }
}

/// Reads a message field by field. `field` is told each number and value in order, and answers `None` for a value that
/// its field cannot have; numbers that it does not know it lets pass, as protobuf does.
pub(super) fn read<'a>(
    mut message: &'a [u8],
    mut field: impl FnMut(u64, Value<'a>) -> Option<()>,
) -> Option<()> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Varint(varint(&mut message)?),
            1 => Value::Fixed64(take(&mut message, 8)?.try_into().ok()?),
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                Value::Bytes(take(&mut message, length)?)
            }
            5 => {
                take(&mut message, 4)?;
                Value::Fixed32
            }
            _ => return None,
        };
        let number = tag >> 3;
        if number == 0 {
            return None;
        }
        field(number, value)?;
    }
    Some(())
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, rest) = message.split_at_checked(length)?;
    *message = rest;
    Some(head)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(message, 1)?.first()?;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Appends a field that is a number or a boolean. Zero is left out, as protobuf does.
pub(super) fn put_number(message: &mut Vec<u8>, field: u64, number: u64) {
    if number != 0 {
        put_varint(message, field << 3);
        put_varint(message, number);
    }
}

/// Appends a field that is a boolean, also if it is false: a choice between fields is known by the one that is there.
pub(super) fn put_boolean(message: &mut Vec<u8>, field: u64, boolean: bool) {
    put_varint(message, field << 3);
    message.push(u8::from(boolean));
}

/// Appends a field that is a `double`, also if it is zero.
pub(super) fn put_double(message: &mut Vec<u8>, field: u64, number: f64) {
    put_varint(message, field << 3 | 1);
    message.extend_from_slice(&number.to_le_bytes());
}

/// Appends a field that is a string, bytes or a message, also if it is empty.
pub(super) fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | 2);
    put_varint(message, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    message.extend_from_slice(bytes);
}

fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    message.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(message: &[u8]) -> Option<Vec<(u64, Value<'_>)>> {
        let mut fields = Vec::new();
        read(message, |number, value| {
            fields.push((number, value));
            Some(())
        })?;
        Some(fields)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Vec::new();
        put_number(&mut message, 1, 300);
        put_number(&mut message, 2, 0);
        put_bytes(&mut message, 3, b"text");
        put_double(&mut message, 100, -1.5);
        put_number(&mut message, 4, u64::MAX);
        let expected = [
            (1, Value::Varint(300)),
            (3, Value::Bytes(b"text")),
            (100, Value::Fixed64((-1.5_f64).to_le_bytes())),
            (4, Value::Varint(u64::MAX)),
        ];
        assert_eq!(fields(&message).unwrap(), expected);
    }

    #[test]
    fn what_is_cut_short_or_no_message_is_refused() {
        for message in
            [&b"\x08"[..], b"\x0a\x05four", b"\x09\x01\x02", b"\x0b", b"\x00\x01", &[0xff; 11], b"\x0d\x01"]
        {
            assert_eq!(fields(message), None, "{message:?}");
        }
        assert_eq!(fields(b"").unwrap(), []);
    }

    #[test]
    fn a_string_is_utf8() {
        assert_eq!(Value::Bytes("ä".as_bytes()).text(), Some("ä"));
        assert_eq!(Value::Bytes(b"\xff").text(), None);
        assert_eq!(Value::Varint(1).text(), None);
    }
}
