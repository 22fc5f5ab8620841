//! A value with its path: the reader that every part of the configuration is written with.
//!
//! A [`Node`] knows where it stands, so whatever it is asked for, it answers or says where, what it found
//! and what was expected. The conversions are those of the protobuf JSON form: 64-bit integers and
//! booleans may be text, durations are seconds as text, and bytes are base64.

use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::error::{ConfigError, Location, Subject};
use super::path::{self, quoted};

/// A value of a configuration and the place where it stands.
#[derive(Clone)]
pub(super) struct Node<'a> {
    subject: &'a Subject,
    path: String,
    value: &'a Value,
    /// Errors name the type of a secret value, never the value.
    is_secret: bool,
}

impl<'a> Node<'a> {
    /// The whole configuration of `subject`.
    pub(super) fn root(subject: &'a Subject, value: &'a Value) -> Self {
        Self { subject, path: String::new(), value, is_secret: false }
    }

    /// The same node, in the configuration of `subject`.
    pub(super) fn of(mut self, subject: &'a Subject) -> Self {
        self.subject = subject;
        self
    }

    /// The same node, and those below it, as secrets.
    pub(super) fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// A string. It may be empty.
    pub(super) fn string(&self) -> Result<&'a str, ConfigError> {
        self.value.as_str().ok_or_else(|| self.unexpected("a string"))
    }

    /// A string with something in it; `expected` says what it stands for.
    pub(super) fn filled_string(&self, expected: &str) -> Result<&'a str, ConfigError> {
        match self.value.as_str() {
            Some(text) if !text.is_empty() => Ok(text),
            Some(_) | None => Err(self.unexpected(expected)),
        }
    }

    /// The path of a file. An address, or what should stand in the file, may hold a password and is not quoted.
    pub(super) fn file_path(&self, expected: &str) -> Result<&'a str, ConfigError> {
        let text = self.filled_string(expected)?;
        let path = text.strip_prefix("file://").unwrap_or(text);
        if path.contains(['\n', '"']) || path.contains("://") || is_base64_of_json(path) {
            return Err(self.clone().secret().unexpected(expected));
        }
        Ok(text)
    }

    /// The name of an environment variable. What stands in one may be a secret, and is not quoted in the place of its name.
    pub(super) fn variable_name(&self) -> Result<&'a str, ConfigError> {
        let expected = "the name of an environment variable";
        let name = self.filled_string(expected)?;
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
        if !is_name || is_base64_of_json(name) {
            return Err(self.clone().secret().unexpected(expected));
        }
        Ok(name)
    }

    /// A boolean, or its name as text.
    pub(super) fn boolean(&self) -> Result<bool, ConfigError> {
        match (self.value.as_bool(), self.value.as_str()) {
            (Some(value), _) => Ok(value),
            (None, Some("true")) => Ok(true),
            (None, Some("false")) => Ok(false),
            (None, _) => Err(self.unexpected("true or false")),
        }
    }

    /// An integer of `range`, or its decimal digits as text.
    pub(super) fn integer<T>(&self, range: RangeInclusive<T>) -> Result<T, ConfigError>
    where
        T: TryFrom<i128> + PartialOrd + std::fmt::Display,
    {
        let wide = match self.value {
            Value::Number(number) => {
                number.as_u64().map(i128::from).or_else(|| number.as_i64().map(i128::from))
            }
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        wide.and_then(|wide| T::try_from(wide).ok())
            .filter(|integer| range.contains(integer))
            .ok_or_else(|| self.unexpected(&format!("an integer from {} to {}", range.start(), range.end())))
    }

    /// A duration of `range` in the protobuf JSON form: seconds with at most nine decimals and an `s`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
        self.value.as_str().and_then(seconds).filter(|duration| range.contains(duration)).ok_or_else(|| {
            self.unexpected(&format!(
                "seconds such as \"1.5s\", from \"{}s\" to \"{}s\"",
                range.start().as_secs_f64(),
                range.end().as_secs_f64()
            ))
        })
    }

    /// Bytes as base64, of the standard or the URL-safe alphabet, padded or not.
    pub(super) fn base64(&self) -> Result<Vec<u8>, ConfigError> {
        self.value
            .as_str()
            .and_then(|text| {
                let engine = if text.contains(['-', '_']) { &URL_SAFE } else { &STANDARD };
                engine.decode(text).ok()
            })
            .ok_or_else(|| self.unexpected("bytes as base64"))
    }

    /// The elements of an array.
    pub(super) fn elements(&self) -> Result<impl Iterator<Item = Node<'a>>, ConfigError> {
        let array = self.value.as_array().ok_or_else(|| self.not_a("an array"))?;
        Ok(array.iter().enumerate().map(|(index, value)| Node {
            path: path::element(&self.path, index),
            value,
            ..self.clone()
        }))
    }

    /// The entries of an object whose keys are free, as in a protobuf map.
    pub(super) fn entries(&self) -> Result<impl Iterator<Item = (&'a str, Node<'a>)>, ConfigError> {
        let object = self.value.as_object().ok_or_else(|| self.not_a("an object"))?;
        Ok(object.iter().map(|(key, value)| {
            let child = Node { path: path::field(&self.path, key), value, ..self.clone() };
            (key.as_str(), child)
        }))
    }

    /// The node with `expected` in the place of what it holds.
    pub(super) fn unexpected(&self, expected: &str) -> ConfigError {
        ConfigError::Unexpected { at: self.location(), found: self.describe(), expected: expected.to_owned() }
    }

    /// Something stands where there should be a level more. Text may be the secret that belongs below, and is not quoted.
    fn not_a(&self, expected: &str) -> ConfigError {
        if self.value.is_string() {
            return self.clone().secret().unexpected(expected);
        }
        self.unexpected(expected)
    }

    /// The node is set, which `other` excludes.
    pub(super) fn conflict(&self, other: &Node<'_>) -> ConfigError {
        ConfigError::Conflict { at: self.location(), other: other.path.clone() }
    }

    /// Where the node stands.
    pub(super) fn location(&self) -> Location {
        Location::new(self.subject.clone(), self.path.clone())
    }

    /// Where the field called `name` of this object stands, or would stand.
    pub(super) fn location_of(&self, name: &str) -> Location {
        Location::new(self.subject.clone(), path::field(&self.path, name))
    }

    /// What stands here, short enough for a log line.
    fn describe(&self) -> String {
        match self.value {
            Value::Null => "null".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::Bool(_) if self.is_secret => "a boolean".to_owned(),
            Value::Number(_) if self.is_secret => "a number".to_owned(),
            Value::String(text) if text.is_empty() => "an empty string".to_owned(),
            Value::String(_) if self.is_secret => "a string that is not quoted here".to_owned(),
            Value::Bool(value) => format!("the boolean {value}"),
            Value::Number(value) => format!("the number {value}"),
            Value::String(text) => format!("the string {}", quoted(text)),
        }
    }
}

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Whether a text begins as an object of JSON does in base64, in which Kubernetes shows a `config.json`.
fn is_base64_of_json(text: &str) -> bool {
    ["eyJ", "eyAi", "ewoJ", "ewog"].iter().any(|start| text.starts_with(start))
}

/// A duration as protobuf writes it in JSON. Negative ones are nothing that this configuration knows.
fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, decimals) = match number.split_once('.') {
        Some((whole, decimals)) if !decimals.is_empty() => (whole, decimals),
        Some(_) => return None,
        None => (number, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || decimals.len() > 9 || !is_digits(whole) || !is_digits(decimals) {
        return None;
    }
    let nanoseconds = format!("{decimals:0<9}").parse().ok()?;
    Some(Duration::new(whole.parse().ok()?, nanoseconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with<T>(value: &Value, read: impl FnOnce(Node<'_>) -> Result<T, ConfigError>) -> Result<T, String> {
        let subject = Subject::Plugin("p".to_owned());
        read(Node::root(&subject, value)).map_err(|error| error.to_string())
    }

    #[test]
    fn booleans_may_be_text() {
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!(false), Some(false)),
            (json!("true"), Some(true)),
            (json!("false"), Some(false)),
            (json!("yes"), None),
            (json!(1), None),
        ] {
            assert_eq!(with(&value, |node| node.boolean()).ok(), expected, "{value}");
        }
    }

    #[test]
    fn integers_may_be_text_and_keep_to_their_range() {
        for (value, expected) in [
            (json!(5), Ok(5)),
            (json!("7"), Ok(7)),
            (json!(1), Err("the number 1")),
            (json!(11), Err("the number 11")),
            (json!(-5), Err("the number -5")),
            (json!(5.5), Err("the number 5.5")),
            (json!(u64::MAX), Err("the number 18446744073709551615")),
            (json!("5s"), Err("the string \"5s\"")),
            (json!(""), Err("an empty string")),
            (json!(true), Err("the boolean true")),
            (json!([5]), Err("an array")),
            (json!({}), Err("an object")),
        ] {
            assert_eq!(
                with(&value, |node| node.integer(2_u32..=10)),
                expected.map_err(|found: &str| format!(
                    "plugin \"p\": {found}, expected an integer from 2 to 10"
                )),
                "{value}"
            );
        }
        let largest = json!("18446744073709551615");
        assert_eq!(with(&largest, |node| node.integer(0..=u64::MAX)), Ok(u64::MAX));
        let smallest = json!(i64::MIN);
        assert_eq!(with(&smallest, |node| node.integer(i64::MIN..=0)), Ok(i64::MIN));
    }

    #[test]
    fn durations_are_seconds_as_text() {
        for (text, expected) in [
            ("0s", Some(Duration::ZERO)),
            ("1s", Some(Duration::from_secs(1))),
            ("1.5s", Some(Duration::from_millis(1500))),
            ("0.000000001s", Some(Duration::from_nanos(1))),
            ("0010.250s", Some(Duration::from_millis(10_250))),
            ("18446744073709551615s", Some(Duration::from_secs(u64::MAX))),
            ("18446744073709551616s", None),
            ("0.0000000001s", None),
            ("", None),
            ("s", None),
            ("1", None),
            ("1.s", None),
            (".5s", None),
            ("-1s", None),
            ("+1s", None),
            ("1e3s", None),
            ("1ms", None),
            ("1 s", None),
            ("\u{662}s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn a_duration_out_of_range_says_the_range() {
        let range = Duration::from_millis(1)..=Duration::from_mins(1);
        for (value, found) in [
            (json!("0s"), "the string \"0s\""),
            (json!("60.1s"), "the string \"60.1s\""),
            (json!(5), "the number 5"),
        ] {
            assert_eq!(
                with(&value, |node| node.duration(range.clone())).unwrap_err(),
                format!(
                    "plugin \"p\": {found}, expected seconds such as \"1.5s\", from \"0.001s\" to \"60s\""
                )
            );
        }
    }

    #[test]
    fn base64_may_be_of_either_alphabet_padded_or_not() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("aGk=", Some(b"hi")),
            ("aGk", Some(b"hi")),
            ("+/8=", Some(b"\xfb\xff")),
            ("-_8=", Some(b"\xfb\xff")),
            ("-_8", Some(b"\xfb\xff")),
            ("_-+/", None),
            ("a", None),
            ("aGk=x", None),
            ("not base64", None),
        ] {
            assert_eq!(with(&json!(text), |node| node.base64()).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_may_be_the_secret_itself_is_not_quoted_where_its_place_should_stand() {
        let secrets = [
            "https://user:hunter2@a.example/x",
            "file://https://user:hunter2@a.example/x",
            "{\"auths\": \"hunter2\"}",
            "-----BEGIN PRIVATE KEY-----\nhunter2",
            "eyJhdXRocyI6e319hunter2",
        ];
        for text in secrets {
            let value = json!(text);
            for error in [
                with(&value, |node| node.file_path("a path").map(str::to_owned)).unwrap_err(),
                with(&value, |node| node.variable_name().map(str::to_owned)).unwrap_err(),
                with(&value, |node| node.elements().map(|_| ())).unwrap_err(),
                with(&value, |node| node.entries().map(|_| ())).unwrap_err(),
            ] {
                assert!(!error.contains("hunter2") && error.contains("not quoted here"), "{error}");
            }
        }
        for path in ["/x.wasm", "x.wasm", "file:///x.wasm", "/a b/{c}@d:e.wasm"] {
            assert_eq!(with(&json!(path), |node| node.file_path("").map(str::to_owned)).unwrap(), path);
        }
        for name in ["AUTH", "auth.config-json_2"] {
            assert_eq!(with(&json!(name), |node| node.variable_name().map(str::to_owned)).unwrap(), name);
        }
    }

    #[test]
    fn long_values_are_cut_and_secret_ones_not_shown() {
        let long = json!("é".repeat(1000));
        let error = with(&long, |node| node.boolean()).unwrap_err();
        assert_eq!(
            error,
            format!("plugin \"p\": the string \"{}…\", expected true or false", "é".repeat(24))
        );
        for value in [json!("hunter2"), json!(4711)] {
            let error = with(&value, |node| node.secret().boolean()).unwrap_err();
            assert!(!error.contains("hunter2") && !error.contains("4711"), "{error}");
        }
    }
}
