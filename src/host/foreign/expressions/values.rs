//! Values of the language: from attributes, and to the wire form of the specification, which that of properties is too.

use std::sync::Arc;

use cel::Value;
use cel::objects::Key;
use chrono::{DateTime, Duration, FixedOffset};

use crate::host::pairs;
use crate::host::types::Status;

/// Text. Envoy lets bytes into headers that are no UTF-8; the language's text is.
pub(super) fn text(bytes: &[u8]) -> Value {
    Value::String(Arc::new(String::from_utf8_lossy(bytes).into_owned()))
}

/// Bytes.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(Arc::new(bytes.to_vec()))
}

/// A time from nanoseconds since 1970.
pub(super) fn time(nanoseconds: i64) -> Value {
    Value::Timestamp(DateTime::from_timestamp_nanos(nanoseconds).fixed_offset())
}

/// A duration from nanoseconds.
pub(super) fn duration(nanoseconds: i64) -> Value {
    Value::Duration(Duration::nanoseconds(nanoseconds))
}

/// The wire form: text and bytes as they are, numbers as 8 bytes and booleans as 1, times as nanoseconds, maps as pairs,
/// lists as pairs with the elements as names. Nothing, types and the like have none.
pub(super) fn encode(value: &Value) -> Result<Vec<u8>, Status> {
    Ok(match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Int(number) => number.to_le_bytes().to_vec(),
        Value::UInt(number) => number.to_le_bytes().to_vec(),
        Value::Float(number) => number.to_le_bytes().to_vec(),
        Value::Bool(boolean) => vec![u8::from(*boolean)],
        Value::Timestamp(time) => encode_time(time)?,
        Value::Duration(duration) => {
            let nanoseconds = duration.num_nanoseconds().ok_or(Status::SerializationFailure)?;
            nanoseconds.to_le_bytes().to_vec()
        }
        Value::List(elements) => {
            let elements: Vec<Vec<u8>> = elements.iter().map(encode).collect::<Result<_, _>>()?;
            encode_pairs(elements.iter().map(|element| (element.as_slice(), &b""[..])))?
        }
        Value::Map(map) => {
            let mut entries = Vec::with_capacity(map.map.len());
            for (key, value) in map.map.iter() {
                entries.push((encode_key(key), encode(value)?));
            }
            // The map has no order of its own.
            entries.sort();
            encode_pairs(entries.iter().map(|(key, value)| (key.as_slice(), value.as_slice())))?
        }
        Value::Function(..) | Value::Opaque(_) | Value::Struct(_) | Value::Null => {
            return Err(Status::SerializationFailure);
        }
    })
}

fn encode_time(time: &DateTime<FixedOffset>) -> Result<Vec<u8>, Status> {
    let nanoseconds = time.timestamp_nanos_opt().ok_or(Status::SerializationFailure)?;
    Ok(nanoseconds.to_le_bytes().to_vec())
}

fn encode_key(key: &Key) -> Vec<u8> {
    match key {
        Key::Int(number) => number.to_le_bytes().to_vec(),
        Key::Uint(number) => number.to_le_bytes().to_vec(),
        Key::Bool(boolean) => vec![u8::from(*boolean)],
        Key::String(text) => text.as_bytes().to_vec(),
    }
}

fn encode_pairs<'a>(entries: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Vec<u8>, Status> {
    let entries: Vec<_> = entries.collect();
    if entries.is_empty() {
        return Ok(vec![0; 4]);
    }
    let length =
        pairs::encoded_len(entries.iter().copied()).map_err(|_too_large| Status::SerializationFailure)?;
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    pairs::encode_into(&mut bytes, entries).map_err(|_too_large| Status::SerializationFailure)?;
    Ok(bytes)
}
