//! The protobuf wire form of the few messages that a configuration is made of.
//!
//! Envoy's own filter gives a plugin the bytes *inside* an Any, unless it is a `StringValue` or a
//! `BytesValue`: an `Int64Value` of 5 arrives as `08 05`, and a `Struct` as an encoded `Struct`, not as
//! JSON (whatever the comments of its API say). A plugin that was written against it reads these bytes,
//! so it gets the same here. And to us Envoy itself hands over an encoded `Struct` at times (see `document`).

use serde_json::{Map, Value};

use super::number::number;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const LENGTH_DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

/// A message that holds `value` as its varint field 1, which is left out when it is zero. Negative
/// integers are given sign-extended to 64 bits.
pub(super) fn varint_value(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value != 0 {
        put_tag(&mut bytes, 1, VARINT);
        put_varint(&mut bytes, value);
    }
    bytes
}

/// A `DoubleValue`.
pub(super) fn double_value(value: f64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value.to_bits() != 0 {
        put_tag(&mut bytes, 1, FIXED64);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A `FloatValue`.
pub(super) fn float_value(value: f32) -> Vec<u8> {
    let mut bytes = Vec::new();
    if value.to_bits() != 0 {
        put_tag(&mut bytes, 1, FIXED32);
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A `Struct`. Its fields come in alphabetical order; protobuf leaves the order open.
pub(super) fn structure(object: &Map<String, Value>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in object {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, &value_message(value));
        put_bytes(&mut bytes, 1, &entry);
    }
    bytes
}

/// A `Value`: one of its six fields, written even when it is zero. Its depth is that of the JSON text,
/// which the parser bounds.
fn value_message(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    match value {
        Value::Null => {
            put_tag(&mut bytes, 1, VARINT);
            put_varint(&mut bytes, 0);
        }
        Value::Number(number) => {
            put_tag(&mut bytes, 2, FIXED64);
            let double = number.as_f64().unwrap_or(f64::NAN);
            bytes.extend_from_slice(&double.to_le_bytes());
        }
        Value::String(text) => put_bytes(&mut bytes, 3, text.as_bytes()),
        Value::Bool(boolean) => {
            put_tag(&mut bytes, 4, VARINT);
            put_varint(&mut bytes, u64::from(*boolean));
        }
        Value::Object(object) => put_bytes(&mut bytes, 5, &structure(object)),
        Value::Array(array) => {
            let mut list = Vec::new();
            for element in array {
                put_bytes(&mut list, 1, &value_message(element));
            }
            put_bytes(&mut bytes, 6, &list);
        }
    }
    bytes
}

fn put_bytes(into: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    put_tag(into, field, LENGTH_DELIMITED);
    // A usize has at most 64 bits on every target that there is.
    put_varint(into, bytes.len() as u64);
    into.extend_from_slice(bytes);
}

fn put_tag(into: &mut Vec<u8>, field: u8, wire_type: u8) {
    into.push(tag(field, wire_type));
}

/// The fields here are numbered below 16, so a tag is one byte.
fn tag(field: u8, wire_type: u8) -> u8 {
    (field << 3) | wire_type
}

fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            into.push(low & 0x7f);
            return;
        }
        into.push(low | 0x80);
    }
}

/// The object that `bytes` hold as an encoded `Struct`, if that is what they are.
///
/// Strict, so that text is never taken for one: each entry has its key and then its value, a value has one
/// field, and nothing is unknown or given twice. Envoy's encoder writes nothing else.
pub(super) fn decode_structure(bytes: &[u8]) -> Option<Map<String, Value>> {
    // As deep as serde_json reads.
    decode_structure_within(128, bytes)
}

fn decode_structure_within(depth: u32, bytes: &[u8]) -> Option<Map<String, Value>> {
    let mut reader = Reader(bytes);
    let mut object = Map::new();
    while !reader.0.is_empty() {
        let mut entry = Reader(reader.length_delimited(1)?);
        let key = std::str::from_utf8(entry.length_delimited(1)?).ok()?;
        let value = decode_value(depth, entry.length_delimited(2)?)?;
        if !entry.0.is_empty() || object.insert(key.to_owned(), value).is_some() {
            return None;
        }
    }
    Some(object)
}

fn decode_value(depth: u32, bytes: &[u8]) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut reader = Reader(bytes);
    let (&first, _) = bytes.split_first()?;
    let value = match first {
        tag if tag == self::tag(1, VARINT) => {
            reader.tag(tag)?;
            (reader.varint()? == 0).then_some(Value::Null)?
        }
        tag if tag == self::tag(2, FIXED64) => {
            reader.tag(tag)?;
            Value::Number(number(f64::from_le_bytes(reader.array()?))?)
        }
        tag if tag == self::tag(3, LENGTH_DELIMITED) => {
            std::str::from_utf8(reader.length_delimited(3)?).ok()?.into()
        }
        tag if tag == self::tag(4, VARINT) => {
            reader.tag(tag)?;
            Value::Bool(reader.varint()? != 0)
        }
        tag if tag == self::tag(5, LENGTH_DELIMITED) => {
            decode_structure_within(depth, reader.length_delimited(5)?)?.into()
        }
        tag if tag == self::tag(6, LENGTH_DELIMITED) => {
            let mut list = Reader(reader.length_delimited(6)?);
            let mut array = Vec::new();
            while !list.0.is_empty() {
                array.push(decode_value(depth, list.length_delimited(1)?)?);
            }
            array.into()
        }
        _ => return None,
    };
    reader.0.is_empty().then_some(value)
}

/// The bytes of a message that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn tag(&mut self, expected: u8) -> Option<()> {
        let [tag] = self.array()?;
        (tag == expected).then_some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            let shifted = bits.checked_shl(shift)?;
            if shifted.checked_shr(shift)? != bits {
                return None;
            }
            value |= shifted;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn length_delimited(&mut self, field: u8) -> Option<&'a [u8]> {
        self.tag(tag(field, LENGTH_DELIMITED))?;
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // The expected bytes of this file are those that a plugin in Envoy 1.40.0's own filter was given.

    #[test]
    fn varints_are_those_of_protobuf() {
        for (value, expected) in [
            (0, &b""[..]),
            (5, b"\x08\x05"),
            (300, b"\x08\xac\x02"),
            (u64::MAX, b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ] {
            assert_eq!(varint_value(value), expected, "{value}");
        }
    }

    #[test]
    fn floating_point_values_are_little_endian() {
        assert_eq!(double_value(1.5), b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f");
        assert_eq!(float_value(1.5), b"\x0d\x00\x00\xc0\x3f");
        assert_eq!(double_value(0.0), b"");
        assert_eq!(float_value(0.0), b"");
    }

    #[test]
    fn a_struct_is_a_map_of_values() {
        let value = json!({"a": {"x": [2, 1.5], "y": 1}, "b": "<\u{e9}>"});
        let expected: &[u8] = b"\
            \n\x36\n\x01a\x12\x31\
              *\x2f\
                \n\x1d\n\x01x\x12\x18\
                  2\x16\
                    \n\x09\x11\x00\x00\x00\x00\x00\x00\x00\x40\
                    \n\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x3f\
                \n\x0e\n\x01y\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf0\x3f\
            \n\x0b\n\x01b\x12\x06\x1a\x04<\xc3\xa9>";
        assert_eq!(structure(value.as_object().unwrap()), expected);
    }

    #[test]
    fn a_value_is_written_even_when_it_is_zero() {
        for (value, expected) in [
            (json!(null), &b"\x08\x00"[..]),
            (json!(0), b"\x11\x00\x00\x00\x00\x00\x00\x00\x00"),
            (json!(""), b"\x1a\x00"),
            (json!(false), b"\x20\x00"),
            (json!(true), b"\x20\x01"),
            (json!({}), b"\x2a\x00"),
            (json!([]), b"\x32\x00"),
        ] {
            assert_eq!(value_message(&value), expected, "{value}");
        }
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let deep = (0..60).fold(json!("leaf"), |inner, _| json!([{"a": inner}]));
        for value in [
            json!({}),
            json!({"": null}),
            json!({"a": {"x": [2, 1.5, -3], "y": 1}, "b": "<\u{e9}>", "c": [[], {}, null, true, false, ""]}),
            json!({"long": "x".repeat(100_000)}),
            json!({"deep": deep}),
        ] {
            let object = value.as_object().unwrap();
            assert_eq!(decode_structure(&structure(object)).as_ref(), Some(object));
        }
    }

    #[test]
    fn what_is_no_struct_is_none() {
        let too_deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
        let too_deep = structure(json!({"a": too_deep}).as_object().unwrap());
        for bytes in [
            &b"{}"[..],
            b"\n",
            b"\n{}",
            b"\n{\n  \"name\": \"auth\"\n}",
            // An entry without a value, without a key, with both twice, and in the wrong order.
            b"\n\x03\n\x01a",
            b"\n\x04\x12\x02\x08\x00",
            b"\n\x0b\n\x01a\x12\x02\x08\x00\x12\x02\x08\x00",
            b"\n\x07\x12\x02\x08\x00\n\x01a",
            // A value with no field, an unknown one, one of the wrong type, and two.
            b"\n\x05\n\x01a\x12\x00",
            b"\n\x07\n\x01a\x12\x02\x38\x00",
            b"\n\x07\n\x01a\x12\x02\x0a\x00",
            b"\n\x09\n\x01a\x12\x04\x08\x00\x08\x00",
            // A null that is not zero, a key given twice, and text that is no UTF-8.
            b"\n\x07\n\x01a\x12\x02\x08\x01",
            b"\n\x07\n\x01a\x12\x02\x08\x00\n\x07\n\x01a\x12\x02\x08\x00",
            b"\n\x07\n\x01\xff\x12\x02\x08\x00",
            // Not a number, and lengths that lead out of the bytes.
            b"\n\x0e\n\x01a\x12\x09\x11\x00\x00\x00\x00\x00\x00\xf8\x7f",
            b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\n",
            b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02\n",
            b"\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\n",
            b"\n\x08\n\x01a\x12\x02\x08\x00",
            &too_deep,
        ] {
            assert_eq!(decode_structure(bytes), None, "{bytes:?}");
        }
    }
}
