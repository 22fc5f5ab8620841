//! Properties: Envoy's attributes under the names that plugins use.
//!
//! A path is parts joined by NUL, such as `request\0headers\0x-id`. The tree is the one of Envoy's attribute
//! reference; what the built-in host dropped in 1.33 (`cluster_name`, `route_name`, `node`, …) is still answered,
//! because published plugins ask for it. What an older Envoy has no callback for is computed from the headers where
//! that gives the same value; `docs/COMPATIBILITY.md` has a row for each that remains.
//!
//! Values have the wire form of the specification: text as it is, numbers as 8 bytes and booleans as 1 byte, little
//! endian, times as nanoseconds, maps as pairs.

mod connection;
mod maps;
mod names;
pub(super) mod source;

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::abi::process::Release;
use crate::abi::{AttributeId, HeaderType, MetadataSource};
use crate::host::stream::NoProperty;

use smallvec::SmallVec;

use self::names::Kind;
use self::source::Source;
use super::http_stream::Observed;

/// Prefix of a plugin's own properties in Envoy's filter state, as in the built-in host.
const OWN_PREFIX: &[u8] = b"wasm.";

/// The key of a plugin's own property in Envoy's filter state.
pub(super) fn own_key(path: &[u8]) -> SmallVec<[u8; 64]> {
    let mut key = SmallVec::from_slice(OWN_PREFIX);
    key.extend_from_slice(path);
    key
}

pub(super) use self::maps::typed as metadata_value;

/// Writes a property's value. `Ok(false)`: the path is none of Envoy's names.
///
/// # Errors
/// The name is known and there is no value now.
pub(super) fn get(
    envoy: &mut impl Source,
    observed: &Observed,
    path: &[u8],
    value: &mut Vec<u8>,
) -> Result<bool, NoProperty> {
    let mut parts = path.split(|byte| *byte == 0);
    let first = parts.next().unwrap_or_default();
    let rest: SmallVec<[&[u8]; 8]> = parts.collect();
    let found = match (first, rest.as_slice()) {
        (b"request", [b"headers", name @ ..]) => headers(envoy, HeaderType::RequestHeaders, name, value),
        (b"response", [b"headers", name @ ..]) => headers(envoy, HeaderType::ResponseHeaders, name, value),
        (b"response", [b"trailers", name @ ..]) => headers(envoy, HeaderType::ResponseTrailers, name, value),
        (b"metadata", path) => envoy.metadata(MetadataSource::Dynamic, path, value),
        (b"xds", [b"route_metadata", path @ ..]) | (b"route_metadata", path) => {
            envoy.metadata(MetadataSource::Route, path, value)
        }
        (b"xds", [b"cluster_metadata", path @ ..]) | (b"cluster_metadata", path) => {
            envoy.metadata(MetadataSource::Cluster, path, value)
        }
        (b"xds", [b"upstream_host_metadata", path @ ..]) | (b"upstream_host_metadata", path) => {
            envoy.metadata(MetadataSource::Host, path, value)
        }
        (b"xds", [b"upstream_host_locality_metadata", path @ ..]) => {
            envoy.metadata(MetadataSource::HostLocality, path, value)
        }
        (b"xds", [b"cluster_name"]) | (b"cluster_name", []) => cluster_name(envoy, value),
        (b"filter_state", [key]) => filter_state(envoy, key, value),
        (_, [name]) => match names::find(first, name) {
            Some(name) => attribute(envoy, observed, name, value),
            None if names::is_group(first) => None,
            None => return Ok(false),
        },
        (_, []) => match names::find_single(first) {
            Some(name) => attribute(envoy, observed, name, value),
            // A group as a whole is a map that has no wire form here.
            None if names::is_group(first) => return Err(NoProperty::Unserializable),
            None => return Ok(false),
        },
        (_, _) => None,
    };
    found.map(|()| true).ok_or(NoProperty::Absent)
}

/// One of Envoy's attributes, or what stands in for it where this Envoy has none.
fn attribute(envoy: &impl Source, observed: &Observed, name: names::Name, value: &mut Vec<u8>) -> Option<()> {
    if !envoy.serves(name.since) {
        return None;
    }
    match name.kind {
        Kind::Text(id) => value.extend_from_slice(&envoy.attribute_string(id)?),
        Kind::Int(id) => put_u64(value, envoy.attribute_int(id)?),
        Kind::Mtls => value.push(u8::from(has_peer_certificate(envoy))),
        Kind::TextOrEmpty(id) => value.extend_from_slice(&envoy.attribute_string(id).unwrap_or_default()),
        Kind::Query => {
            envoy.attribute_string(AttributeId::RequestPath)?;
            value.extend_from_slice(&envoy.attribute_string(AttributeId::RequestQuery).unwrap_or_default());
        }
        Kind::UpstreamFailure => {
            let reason = envoy.attribute_string(AttributeId::UpstreamTransportFailureReason);
            let has_upstream = envoy.attribute_string(AttributeId::UpstreamAddress).is_some();
            value.extend_from_slice(&reason.or(has_upstream.then_some(Cow::Borrowed(b"")))?);
        }
        Kind::Endpoints => put_u64(value, u64::try_from(envoy.cluster_host_count()?).ok()?),
        Kind::ResponseCode => put_u64(value, response_code(envoy)?),
        Kind::GrpcStatus => put_u64(value, grpc_status(envoy)?),
        Kind::RequestTime => put_u64(value, start_time(envoy, observed)?),
        Kind::RequestDuration => put_u64(value, duration(envoy, observed)?),
        Kind::BackendLatency => put_u64(value, backend_latency(envoy)?),
        Kind::RequestSize => {
            put_u64(value, request_size(envoy, observed));
        }
        Kind::RequestTotalSize => {
            let headers = byte_size(envoy, HeaderType::RequestHeaders);
            put_u64(value, request_size(envoy, observed).saturating_add(headers));
        }
        Kind::ResponseSize => {
            let size = int_since(envoy, Release::V1_39, AttributeId::ResponseSize);
            put_u64(value, size.unwrap_or(observed.response_bytes));
        }
        Kind::ResponseTotalSize => {
            let size = int_since(envoy, Release::V1_39, AttributeId::ResponseSize)
                .unwrap_or(observed.response_bytes);
            let headers = byte_size(envoy, HeaderType::ResponseHeaders);
            let trailers = byte_size(envoy, HeaderType::ResponseTrailers);
            put_u64(value, size.saturating_add(headers).saturating_add(trailers));
        }
        Kind::RequestHeadersBytes => put_u64(value, byte_size(envoy, HeaderType::RequestHeaders)),
        Kind::ResponseHeadersBytes => put_u64(value, byte_size(envoy, HeaderType::ResponseHeaders)),
    }
    Some(())
}

pub(super) fn put_u64(value: &mut Vec<u8>, number: u64) {
    value.extend_from_slice(&number.to_le_bytes());
}

/// A header by name, or all of them as pairs. Repeated values are joined by commas, as Envoy's attribute has them.
fn headers(envoy: &impl Source, map: HeaderType, path: &[&[u8]], value: &mut Vec<u8>) -> Option<()> {
    match path {
        [] => {
            let headers = envoy.headers(map);
            maps::put_pairs(value, headers.iter())
        }
        [name] => {
            value.extend_from_slice(envoy.header(map, name, 0)?);
            for index in 1..envoy.header_values_len(map, name) {
                value.push(b',');
                value.extend_from_slice(envoy.header(map, name, index)?);
            }
            Some(())
        }
        _ => None,
    }
}

fn cluster_name(envoy: &impl Source, value: &mut Vec<u8>) -> Option<()> {
    let name = envoy.cluster_name()?;
    value.extend_from_slice(name);
    Some(())
}

/// An object of Envoy's filter state, in its text form.
fn filter_state(envoy: &mut impl Source, key: &[u8], value: &mut Vec<u8>) -> Option<()> {
    envoy.filter_state(key, value)
}

fn number_in(envoy: &impl Source, map: HeaderType, name: &[u8]) -> Option<u64> {
    std::str::from_utf8(envoy.header(map, name, 0)?).ok()?.parse().ok()
}

fn response_code(envoy: &impl Source) -> Option<u64> {
    envoy
        .attribute_int(AttributeId::ResponseCode)
        .or_else(|| number_in(envoy, HeaderType::ResponseHeaders, b":status"))
}

fn grpc_status(envoy: &impl Source) -> Option<u64> {
    int_since(envoy, Release::V1_40, AttributeId::ResponseGrpcStatus)
        .or_else(|| number_in(envoy, HeaderType::ResponseTrailers, b"grpc-status"))
        .or_else(|| number_in(envoy, HeaderType::ResponseHeaders, b"grpc-status"))
}

fn byte_size(envoy: &impl Source, map: HeaderType) -> u64 {
    let headers = envoy.headers(map);
    let bytes = headers
        .iter()
        .fold(0_usize, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Since 1.38 Envoy says so; before, a digest of the peer's certificate does.
fn has_peer_certificate(envoy: &impl Source) -> bool {
    let digest = AttributeId::ConnectionSha256PeerCertificateDigest;
    envoy
        .attribute_bool(AttributeId::ConnectionMtls)
        .unwrap_or_else(|| envoy.attribute_string(digest).is_some_and(|digest| !digest.is_empty()))
}

/// An attribute that older Envoys log an error for.
fn int_since(envoy: &impl Source, since: Release, id: AttributeId) -> Option<u64> {
    if !envoy.serves(since) {
        return None;
    }
    envoy.attribute_int(id)
}

/// Nanoseconds since 1970. Before 1.40 it is when the plugin first saw the stream.
fn start_time(envoy: &impl Source, observed: &Observed) -> Option<u64> {
    if let Some(start) = envoy.timing_info().and_then(|timing| timing.start_unix_ns) {
        return Some(start);
    }
    let since = observed.started.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

/// Until the exchange was complete, or until now.
fn duration(envoy: &impl Source, observed: &Observed) -> Option<u64> {
    if !envoy.has_duration() {
        return None;
    }
    if let Some(complete) = envoy.timing_info().and_then(|timing| timing.request_complete_ns) {
        return Some(complete);
    }
    now()?.checked_sub(start_time(envoy, observed)?)
}

/// Body bytes: as announced, or as they came.
fn request_size(envoy: &impl Source, observed: &Observed) -> u64 {
    int_since(envoy, Release::V1_40, AttributeId::RequestSize)
        .or_else(|| number_in(envoy, HeaderType::RequestHeaders, b"content-length"))
        .unwrap_or(observed.request_bytes)
}

fn backend_latency(envoy: &impl Source) -> Option<u64> {
    let timing = envoy.timing_info()?;
    timing.last_upstream_byte_received_ns?.checked_sub(timing.first_upstream_byte_sent_ns?)
}

fn now() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}
