//! Metadata: `graft_set_metadata` for the stream's own (dynamic) one, `graft_get_metadata` for that and for the one
//! of the route, the cluster and the upstream host.
//!
//! Values have the wire form of `google.protobuf.Value`. Its null, structs and lists in lists cannot be told to Envoy's
//! modules one by one, so they are neither set nor found.

use super::{Answer, Scene};
use crate::host::stream::{MetadataSource, MetadataValue, Stream};
use crate::host::types::Status;
use crate::host::wire;

/// `{1: string namespace, 2: string key, 3: google.protobuf.Value value}`.
pub(super) fn set<S: Stream>(mut scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut namespace, mut key, mut value) = ("", "", None);
    wire::read(message, |number, field| {
        match number {
            1 => namespace = field.text()?,
            2 => key = field.text()?,
            3 => value = Some(scalar(field.bytes()?)?),
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let value = value.filter(|_| !namespace.is_empty()).ok_or(Status::BadArgument)?;
    scene.keep(namespace.len().saturating_add(key.len()).saturating_add(message.len()))?;
    scene.stream()?.set_metadata(namespace.as_bytes(), key.as_bytes(), &value)?;
    Ok(Vec::new())
}

/// `{1: string namespace, 2: string key, 3: enum source}` to a `google.protobuf.Value`.
pub(super) fn get<S: Stream>(scene: Scene<'_, S>, message: &[u8]) -> Answer {
    let (mut namespace, mut key, mut source) = ("", "", MetadataSource::Dynamic);
    wire::read(message, |number, field| {
        match number {
            1 => namespace = field.text()?,
            2 => key = field.text()?,
            3 => source = self::source(field.number()?)?,
            _ => {}
        }
        Some(())
    })
    .ok_or(Status::BadArgument)?;
    let value = scene.stream()?.metadata(source, namespace.as_bytes(), key.as_bytes());
    let mut answer = Vec::new();
    put(&mut answer, &value.ok_or(Status::NotFound)?);
    Ok(answer)
}

fn source(number: u64) -> Option<MetadataSource> {
    Some(match number {
        0 => MetadataSource::Dynamic,
        1 => MetadataSource::Route,
        2 => MetadataSource::Cluster,
        3 => MetadataSource::Host,
        4 => MetadataSource::HostLocality,
        _ => return None,
    })
}

/// A value that is text, a number or a boolean.
fn scalar(message: &[u8]) -> Option<MetadataValue> {
    let mut value = None;
    wire::read(message, |number, field| {
        value = Some(match number {
            2 => MetadataValue::Number(field.double()?),
            3 => MetadataValue::Text(field.text()?.as_bytes().to_vec()),
            4 => MetadataValue::Boolean(field.number()? != 0),
            _ => return None,
        });
        Some(())
    })?;
    value
}

fn put(message: &mut Vec<u8>, value: &MetadataValue) {
    match value {
        MetadataValue::Text(text) => wire::put_bytes(message, 3, text),
        MetadataValue::Number(number) => wire::put_double(message, 2, *number),
        MetadataValue::Boolean(boolean) => wire::put_boolean(message, 4, *boolean),
        MetadataValue::List(elements) => {
            let mut list = Vec::new();
            for element in elements {
                let mut one = Vec::new();
                put(&mut one, element);
                wire::put_bytes(&mut list, 1, &one);
            }
            wire::put_bytes(message, 6, &list);
        }
    }
}
