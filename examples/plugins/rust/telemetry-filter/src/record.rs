//! A record, and what the user configures.

use serde::{Deserialize, Serialize};

/// What the user configures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// The VM id of the batcher.
    pub queue_vm_id: String,
    /// The name of its queue.
    pub queue: String,
    /// Headers of the request that are recorded.
    pub headers: Vec<String>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self { queue_vm_id: "telemetry".to_owned(), queue: "records".to_owned(), headers: Vec::new() }
    }
}

impl Configuration {
    /// Reads a configuration; an empty one is the default. The error says what is wrong with it.
    ///
    /// # Errors
    /// What is no JSON, or has unknown fields.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut own: Self = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        own.headers.iter_mut().for_each(|name| name.make_ascii_lowercase());
        Ok(own)
    }
}

/// Longest text in a record: paths and headers are the client's choice.
const LONGEST: usize = 1024;

/// What is told of one request. What is not known is left out.
#[derive(Debug, Default, Serialize)]
pub struct Record {
    /// When it was written, in milliseconds since the epoch.
    pub time_ms: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Absent if the client left before there was a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<i64>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<i64>,
    /// The chosen headers.
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    pub headers: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// Its JSON, on one line.
    pub fn to_line(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// A text as it is recorded: valid UTF-8, not too long.
pub fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// A number as the host hands it out.
pub fn number(bytes: &[u8]) -> Option<i64> {
    bytes.try_into().ok().map(i64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_of_what_is_known() {
        let mut record = Record { time_ms: 5, path: Some("/a\nb".to_owned()), ..Record::default() };
        record.headers.insert("x-id".to_owned(), "7".into());
        let line = String::from_utf8(record.to_line()).unwrap();
        assert_eq!(line, r#"{"time_ms":5,"path":"/a\nb","headers":{"x-id":"7"}}"#);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(text(b"short \xff"), "short \u{fffd}");
        let long = text("ä".repeat(1000).as_bytes());
        assert_eq!(long, "ä".repeat(512));
        let odd = text(format!("x{}", "ä".repeat(1000)).as_bytes());
        assert_eq!(odd.len(), 1023);
    }

    #[test]
    fn a_number_has_eight_bytes() {
        assert_eq!(number(&200_i64.to_le_bytes()), Some(200));
        assert_eq!(number(b"200"), None);
    }

    #[test]
    fn an_empty_configuration_is_the_default_and_a_wrong_one_is_refused() {
        assert_eq!(Configuration::read(b"").unwrap().queue, "records");
        assert_eq!(Configuration::read(br#"{"headers": ["X-Id"]}"#).unwrap().headers, ["x-id"]);
        assert!(Configuration::read(br#"{"typo": 1}"#).is_err());
    }
}
