//! Properties that are maps: metadata by namespace and key, and maps as pairs.

use crate::abi::{HttpFilterHandle, MetadataSource};
use crate::host::pairs;
use crate::host::stream::MetadataValue;

/// Writes a map as pairs. `None`: it is too large for a guest's 32 bits.
pub(super) fn put_pairs<'a>(
    value: &mut Vec<u8>,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<()> {
    let pairs: Vec<_> = pairs.collect();
    if pairs.is_empty() {
        // A map without entries is a count of zero here, not nothing.
        value.extend_from_slice(&[0; 4]);
        return Some(());
    }
    let length = pairs::encoded_len(pairs.iter().copied()).ok()?;
    value.resize(usize::try_from(length).ok()?, 0);
    pairs::encode_into(value, pairs.iter().copied()).ok()
}

/// `filter_metadata`, a namespace, a key (and an index if the value is a list). A namespace alone is its keys with
/// those values that are text, numbers or booleans; what is nested deeper Envoy does not tell a module.
pub(super) fn metadata(
    envoy: &mut HttpFilterHandle,
    source: MetadataSource,
    path: &[&[u8]],
    value: &mut Vec<u8>,
) -> Option<()> {
    match path {
        [b"filter_metadata", namespace] => namespace_pairs(envoy, source, namespace, value),
        [b"filter_metadata", namespace, key] => one(envoy, source, namespace, key, value),
        [b"filter_metadata", namespace, key, index] => {
            let index = std::str::from_utf8(index).ok()?.parse().ok()?;
            put_value(value, &element(envoy, source, namespace, key, index)?)
        }
        _ => None,
    }
}

/// A value in its wire form.
fn one(
    envoy: &mut HttpFilterHandle,
    source: MetadataSource,
    namespace: &[u8],
    key: &[u8],
    value: &mut Vec<u8>,
) -> Option<()> {
    put_value(value, &typed(envoy, source, namespace, key)?)
}

/// A value that is text, a number, a boolean, or a list of those.
///
/// Envoy logs an error when it is asked for a type that the value does not have, so the key is looked up first where
/// that is possible (from 1.38 on), and types are tried in the order of how common they are.
pub(in crate::bridge) fn typed(
    envoy: &mut HttpFilterHandle,
    source: MetadataSource,
    namespace: &[u8],
    key: &[u8],
) -> Option<MetadataValue> {
    let keys: Vec<Vec<u8>> = envoy.metadata_keys(source, namespace).iter().map(<[u8]>::to_vec).collect();
    if !keys.is_empty() && !keys.iter().any(|own| own == key) {
        return None;
    }
    if let Some(text) = envoy.metadata_string(source, namespace, key) {
        return Some(MetadataValue::Text(text.to_vec()));
    }
    if let Some(number) = envoy.metadata_number(source, namespace, key) {
        return Some(MetadataValue::Number(number));
    }
    if let Some(boolean) = envoy.metadata_bool(source, namespace, key) {
        return Some(MetadataValue::Boolean(boolean));
    }
    let length = envoy.metadata_list_len(source, namespace, key)?;
    let elements = (0..length).map(|index| element(envoy, source, namespace, key, index));
    Some(MetadataValue::List(elements.collect::<Option<_>>()?))
}

fn element(
    envoy: &mut HttpFilterHandle,
    source: MetadataSource,
    namespace: &[u8],
    key: &[u8],
    index: usize,
) -> Option<MetadataValue> {
    if let Some(text) = envoy.metadata_list_string(source, namespace, key, index) {
        return Some(MetadataValue::Text(text.to_vec()));
    }
    if let Some(number) = envoy.metadata_list_number(source, namespace, key, index) {
        return Some(MetadataValue::Number(number));
    }
    envoy.metadata_list_bool(source, namespace, key, index).map(MetadataValue::Boolean)
}

/// The wire form. A list is pairs with its elements as keys.
fn put_value(bytes: &mut Vec<u8>, value: &MetadataValue) -> Option<()> {
    match value {
        MetadataValue::Text(text) => bytes.extend_from_slice(text),
        MetadataValue::Number(number) => bytes.extend_from_slice(&number.to_le_bytes()),
        MetadataValue::Boolean(boolean) => bytes.push(u8::from(*boolean)),
        MetadataValue::List(elements) => {
            let mut keys = Vec::with_capacity(elements.len());
            for element in elements {
                let mut key = Vec::new();
                put_value(&mut key, element)?;
                keys.push(key);
            }
            return put_pairs(bytes, keys.iter().map(|key| (key.as_slice(), &b""[..])));
        }
    }
    Some(())
}

fn namespace_pairs(
    envoy: &mut HttpFilterHandle,
    source: MetadataSource,
    namespace: &[u8],
    value: &mut Vec<u8>,
) -> Option<()> {
    let keys: Vec<Vec<u8>> = envoy.metadata_keys(source, namespace).iter().map(<[u8]>::to_vec).collect();
    if keys.is_empty() {
        return None;
    }
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for key in keys {
        let mut entry = Vec::new();
        if one(envoy, source, namespace, &key, &mut entry).is_some() {
            entries.push((key, entry));
        }
    }
    put_pairs(value, entries.iter().map(|(key, entry)| (key.as_slice(), entry.as_slice())))
}
