//! `configuration` fields: an Any in its JSON form, or simply a string, an object or an array.
//!
//! | written | what the plugin reads |
//! | --- | --- |
//! | a string | its bytes |
//! | an array, or an object without `@type` | its JSON text |
//! | an Any | what Envoy's own filter makes of it |
//! | nothing, `null`, or `{}` (an empty Any) | nothing |

use serde_json::Value;

use super::error::ConfigError;
use super::fields::Fields;
use super::node::Node;
use super::wire;

/// The types that an Any may have here, under the prefix `google.protobuf.`.
const TYPES: [&str; 11] = [
    "StringValue",
    "BytesValue",
    "Struct",
    "Empty",
    "BoolValue",
    "Int32Value",
    "Int64Value",
    "UInt32Value",
    "UInt64Value",
    "FloatValue",
    "DoubleValue",
];

/// The bytes that a plugin reads as its configuration, or as that of its VM. They may be secret.
pub(super) fn read(node: &Node<'_>) -> Result<Vec<u8>, ConfigError> {
    match node.value() {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(text.clone().into_bytes()),
        Value::Object(object) if object.is_empty() => Ok(Vec::new()),
        Value::Object(object) if object.contains_key("@type") => typed(node),
        value @ (Value::Object(_) | Value::Array(_)) => Ok(value.to_string().into_bytes()),
        Value::Bool(_) | Value::Number(_) => {
            let expected = "a string, an object, an array, or an Any with an @type";
            Err(node.clone().secret().unexpected(expected))
        }
    }
}

/// The name of the message in a type URL: what follows the last slash, one of which there must be.
pub(super) fn message_name(url: &str) -> Option<&str> {
    url.rsplit_once('/').map(|(_, name)| name)
}

fn typed<'a>(node: &Node<'a>) -> Result<Vec<u8>, ConfigError> {
    let fields = node.fields(&["@type", "value"])?;
    let type_url = fields.require("@type", "a type URL")?;
    let name = type_url
        .value()
        .as_str()
        .and_then(message_name)
        .and_then(|name| name.strip_prefix("google.protobuf."))
        .unwrap_or_default();
    // An absent value is the default of its type, and every default is no bytes.
    let read = |read: fn(&Node<'a>) -> Result<Vec<u8>, ConfigError>| {
        fields.read_or("value", Vec::new(), |value| read(&value.clone().secret()))
    };
    match name {
        "StringValue" => read(|value| Ok(value.string()?.as_bytes().to_vec())),
        "BytesValue" => read(Node::base64),
        "Struct" => read(structure),
        "Empty" => empty(&fields),
        "BoolValue" => read(|value| Ok(wire::varint_value(value.boolean()?.into()))),
        "Int32Value" => read(|value| Ok(signed(value.integer(i32::MIN..=i32::MAX)?.into()))),
        "Int64Value" => read(|value| Ok(signed(value.integer(i64::MIN..=i64::MAX)?))),
        "UInt32Value" => read(|value| Ok(wire::varint_value(value.integer(0..=u32::MAX)?.into()))),
        "UInt64Value" => read(|value| Ok(wire::varint_value(value.integer(0..=u64::MAX)?))),
        "FloatValue" => read(float),
        "DoubleValue" => read(double),
        _ => Err(type_url.unexpected(&format!(
            "a type URL that ends in /google.protobuf. and one of {}",
            TYPES.join(", ")
        ))),
    }
}

fn structure(value: &Node<'_>) -> Result<Vec<u8>, ConfigError> {
    value.value().as_object().map(wire::structure).ok_or_else(|| value.unexpected("an object"))
}

fn empty(fields: &Fields<'_>) -> Result<Vec<u8>, ConfigError> {
    match fields.get("value") {
        Some(value) => {
            let expected = "no value beside google.protobuf.Empty";
            Err(value.clone().secret().unexpected(expected))
        }
        None => Ok(Vec::new()),
    }
}

fn signed(value: i64) -> Vec<u8> {
    wire::varint_value(value.cast_unsigned())
}

fn double(value: &Node<'_>) -> Result<Vec<u8>, ConfigError> {
    value.value().as_f64().map(wire::double_value).ok_or_else(|| value.unexpected("a number"))
}

fn float(value: &Node<'_>) -> Result<Vec<u8>, ConfigError> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "to the nearest float is what is wanted; what is too large becomes infinite and is refused"
    )]
    let nearest = value.value().as_f64().map(|double| double as f32);
    nearest
        .filter(|float| float.is_finite())
        .map(wire::float_value)
        .ok_or_else(|| value.unexpected("a number that a 32-bit float can hold"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::error::Subject;
    use super::*;

    fn bytes(value: &Value) -> Result<Vec<u8>, String> {
        let subject = Subject::Plugin("p".to_owned());
        read(&Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    fn any(name: &str, value: &Value) -> Value {
        json!({"@type": format!("type.googleapis.com/google.protobuf.{name}"), "value": value})
    }

    #[test]
    fn plain_values_are_text() {
        for (value, expected) in [
            (json!(null), ""),
            (json!(""), ""),
            (json!({}), ""),
            (json!("a: b\n"), "a: b\n"),
            (json!([1, "x", null]), r#"[1,"x",null]"#),
            (json!([]), "[]"),
            (json!({"b": {"d": 1}, "a": 1.5}), r#"{"a":1.5,"b":{"d":1}}"#),
            (json!({"text": "a\n\"é\""}), r#"{"text":"a\n\"é\""}"#),
        ] {
            assert_eq!(bytes(&value), Ok(expected.as_bytes().to_vec()), "{value}");
        }
        for value in [json!(5), json!(true)] {
            assert!(
                bytes(&value)
                    .unwrap_err()
                    .ends_with(", expected a string, an object, an array, or an Any with an @type"),
                "{value}"
            );
        }
    }

    /// The bytes are those that a plugin in Envoy 1.40.0's own filter was given.
    #[test]
    fn an_any_is_what_envoys_own_filter_makes_of_it() {
        for (name, value, expected) in [
            ("StringValue", json!("hé"), "hé".as_bytes()),
            ("BytesValue", json!("aGk="), b"hi"),
            ("BytesValue", json!("_-8"), b"\xff\xef"),
            ("Struct", json!({"a": true}), b"\n\x07\n\x01a\x12\x02\x20\x01"),
            ("Struct", json!({}), b""),
            ("Int32Value", json!(5), b"\x08\x05"),
            ("Int64Value", json!("-1"), b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ("Int32Value", json!(-1), b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
            ("UInt32Value", json!(300), b"\x08\xac\x02"),
            ("UInt64Value", json!("300"), b"\x08\xac\x02"),
            ("BoolValue", json!(true), b"\x08\x01"),
            ("BoolValue", json!(false), b""),
            ("DoubleValue", json!(1.5), b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f"),
            ("FloatValue", json!(1.5), b"\x0d\x00\x00\xc0\x3f"),
        ] {
            assert_eq!(bytes(&any(name, &value)), Ok(expected.to_vec()), "{name} {value}");
        }
    }

    #[test]
    fn an_absent_value_is_the_default() {
        for name in TYPES {
            let url = format!("type.googleapis.com/google.protobuf.{name}");
            assert_eq!(bytes(&json!({"@type": url})), Ok(Vec::new()), "{name}");
        }
    }

    #[test]
    fn the_host_of_a_type_url_does_not_count() {
        let value = json!({"@type": "example.com/x/google.protobuf.StringValue", "value": "v"});
        assert_eq!(bytes(&value), Ok(b"v".to_vec()));
    }

    #[test]
    fn unknown_types_say_which_are_accepted() {
        for url in [
            json!("type.googleapis.com/google.protobuf.Duration"),
            json!("google.protobuf.StringValue"),
            json!("type.googleapis.com/acme.Config"),
            json!(""),
            json!(5),
        ] {
            let error = bytes(&json!({"@type": url, "value": "hunter2"})).unwrap_err();
            assert!(error.starts_with("plugin \"p\": @type: "), "{error}");
            assert!(
                error.contains("/google.protobuf. and one of StringValue, BytesValue, Struct, Empty"),
                "{error}"
            );
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = bytes(&json!({"@type": "x/acme.Config"})).unwrap_err();
        assert!(error.contains("the string \"x/acme.Config\", expected"), "{error}");
    }

    #[test]
    fn a_wrong_value_is_refused_and_not_quoted() {
        for (name, value, expected) in [
            ("StringValue", json!(4711), "a string"),
            ("BytesValue", json!("?hunter2"), "bytes as base64"),
            ("Struct", json!("hunter2"), "an object"),
            ("Struct", json!([4711]), "an object"),
            ("Empty", json!({}), "no value beside google.protobuf.Empty"),
            ("BoolValue", json!("hunter2"), "true or false"),
            ("Int32Value", json!(4_711_471_147_114_711_u64), "an integer from -2147483648 to 2147483647"),
            ("UInt32Value", json!(-4711), "an integer from 0 to 4294967295"),
            ("FloatValue", json!(4.711e300), "a number that a 32-bit float can hold"),
            ("DoubleValue", json!("4711"), "a number"),
        ] {
            let error = bytes(&any(name, &value)).unwrap_err();
            assert!(error.starts_with("plugin \"p\": value: a"), "{error}");
            assert!(error.ends_with(&format!(", expected {expected}")), "{error}");
            assert!(!error.contains("hunter2") && !error.contains("4711"), "{error}");
        }
        let error = bytes(&json!({"@type": "x/google.protobuf.StringValue", "valeu": "x"}));
        assert_eq!(
            error.unwrap_err(),
            "plugin \"p\": valeu: unknown field, did you mean value?, expected @type, value"
        );
    }
}
