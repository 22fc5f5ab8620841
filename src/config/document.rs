//! The bytes that Envoy hands over to a tree of values.
//!
//! A `Struct` arrives as JSON text, or encoded: Envoy 1.37 hands over the bytes of the message, and 1.38 still
//! does for routes. A `StringValue` arrives as its text on each Envoy. Which it is, the bytes tell: an encoded
//! `Struct` holds the byte `12` before each value, and JSON text never does.
//!
//! The tree is serde's, with two things settled while it is built:
//!
//! * An object that names a field twice is refused. JSON leaves open which of the two counts, and the one
//!   that is dropped may be the one that the operator reads.
//! * A whole number is an integer. A `Struct` knows doubles alone, so Envoy may print `1` as `1`, `1.0`
//!   or `1e+0`, and a plugin that expects an integer must find one.
//!
//! Objects come out with their fields in alphabetical order. Envoy prints them in an order that changes
//! from one process to the next, and the bytes that come out of here identify a VM.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::error::{ConfigError, Location, Subject};
use super::number::number;
use super::path::{self, quoted};
use super::wire;

/// Parses the bytes that Envoy handed over for `subject`.
pub(super) fn parse(subject: &Subject, bytes: &[u8]) -> Result<Value, ConfigError> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(ConfigError::Empty {
            at: Location::new(subject.clone(), ""),
            expected: "filter_config with the fields of a plugin's configuration",
        });
    }
    if let Some(object) = wire::decode_structure(bytes) {
        return Ok(Value::Object(object));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let document: Document = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = path_of(error.path());
        not_json(Location::new(subject.clone(), path), error.inner())
    })?;
    deserializer.end().map_err(|error| not_json(Location::new(subject.clone(), ""), &error))?;
    Ok(document.0)
}

/// The path that serde followed, as ours are written.
fn path_of(path: &serde_path_to_error::Path) -> String {
    path.iter().fold(String::new(), |path, segment| match segment {
        Segment::Map { key } => path::field(&path, key),
        Segment::Seq { index } => path::element(&path, *index),
        // JSON has no variants; and serde does not know a key that is not complete.
        Segment::Enum { .. } | Segment::Unknown => path,
    })
}

fn not_json(at: Location, error: &serde_json::Error) -> ConfigError {
    let text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    ConfigError::NotJson {
        at,
        problem: text.strip_suffix(&position).unwrap_or(&text).to_owned(),
        line: error.line(),
        column: error.column(),
    }
}

/// A value in which the two points above are settled.
struct Document(Value);

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder).map(Self)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        number(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Document(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Document(value))) = entries.next_entry::<String, Document>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("field {} given twice", quoted(&key))));
            }
            object.insert(key, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject {
        Subject::Plugin("p".to_owned())
    }

    fn text(json: &str) -> String {
        parse(&subject(), json.as_bytes()).unwrap().to_string()
    }

    fn message(json: &[u8]) -> String {
        parse(&subject(), json).unwrap_err().to_string()
    }

    #[test]
    fn whole_numbers_are_integers() {
        for (written, expected) in [
            ("1", "1"),
            ("1.0", "1"),
            ("1e+0", "1"),
            ("1e+15", "1000000000000000"),
            ("-5.0", "-5"),
            ("-0.0", "0"),
            ("-0", "0"),
            ("1.5", "1.5"),
            ("1e-07", "1e-7"),
            ("0.1", "0.1"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e+19", "10000000000000000000"),
            ("1e+20", "1e+20"),
            ("-1e+19", "-1e+19"),
            ("1.7976931348623157e+308", "1.7976931348623157e+308"),
        ] {
            assert_eq!(text(written), expected, "{written}");
        }
    }

    #[test]
    fn the_text_is_compact_and_in_alphabetical_order() {
        assert_eq!(
            text("{\n \"b\": [ 1.0, null,\ttrue ],\r\n \"a\": { \"d\": \"\\u00e9\", \"c\": {} } }\n"),
            r#"{"a":{"c":{},"d":"é"},"b":[1,null,true]}"#
        );
    }

    #[test]
    fn no_bytes_are_named_as_such() {
        for bytes in [&b""[..], b" \n\t"] {
            assert_eq!(
                message(bytes),
                "plugin \"p\": empty, expected filter_config with the fields of a plugin's configuration"
            );
        }
    }

    #[test]
    fn wrong_text_is_reported_with_line_column_and_path() {
        let expected = "expected JSON text (filter_config as a google.protobuf.Struct or StringValue)";
        for (bytes, problem) in [
            (&b"\x0a\x05hello"[..], "expected value at line 2 column 1"),
            (b"hello", "expected value at line 1 column 1"),
            (b"{\"a\": 1,\n  \"b\" 2}", "expected `:` at line 2 column 7"),
            (b"{\"a\": {\"b\": [1, }", "a.b[1]: expected value at line 1 column 17"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"[1e999]", "[0]: number out of range at line 1 column 6"),
            (b"\"\xff\"", "invalid unicode code point at line 1 column 2"),
            (b"{\"a\": {\"x\": 1, \"x\": 2}}", "a: field \"x\" given twice at line 1 column 22"),
            (b"{\"a\\n\": {\"x\": tru}}", "[\"a\\n\"].x: expected ident at line 1 column 18"),
        ] {
            assert_eq!(message(bytes), format!("plugin \"p\": {problem}, {expected}"));
        }
    }

    /// The bytes are those that Envoy 1.37.0 handed over.
    #[test]
    fn an_encoded_struct_is_read_too() {
        let bytes = b"\n\x0e\n\x01a\x12\t\x11\x00\x00\x00\x00\x00\x00\xf0?";
        assert_eq!(parse(&subject(), bytes).unwrap().to_string(), r#"{"a":1}"#);
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(message(deep.as_bytes()).contains("recursion limit exceeded"));
    }
}
