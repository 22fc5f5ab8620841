//! What properties are read from: whatever Envoy tells about a stream, an exchange that is over, or a connection.
//!
//! The attributes are the same ones everywhere, and each kind of object has callbacks of its own for them. What a kind
//! does not have is not there.

use std::borrow::Cow;

use super::maps;
use crate::abi::process::{self, Release};
use crate::abi::{
    AccessLogHandle, AttributeId, HeaderType, Headers, HttpFilterHandle, MetadataSource, TimingInfo,
};

/// See the module's text.
pub(in crate::bridge) trait Source {
    /// Whether attributes that streams have since a release are here.
    fn serves(&self, since: Release) -> bool {
        process::release() >= since
    }

    /// Whether it is an exchange, which is complete some time. A connection is not, as in the built-in host.
    fn has_duration(&self) -> bool {
        true
    }

    fn attribute_string(&self, id: AttributeId) -> Option<Cow<'_, [u8]>>;
    fn attribute_int(&self, id: AttributeId) -> Option<u64>;
    fn attribute_bool(&self, id: AttributeId) -> Option<bool>;

    fn header(&self, map: HeaderType, name: &[u8], index: usize) -> Option<&[u8]>;
    fn header_values_len(&self, map: HeaderType, name: &[u8]) -> usize;
    fn headers(&self, map: HeaderType) -> Headers<'_>;

    fn cluster_name(&self) -> Option<&[u8]>;
    /// How many hosts the cluster has.
    fn cluster_host_count(&self) -> Option<usize>;
    fn timing_info(&self) -> Option<TimingInfo>;

    /// Writes an object of Envoy's filter state in its text form.
    fn filter_state(&mut self, key: &[u8], value: &mut Vec<u8>) -> Option<()>;
    /// Writes metadata: `filter_metadata`, a namespace, and a key.
    fn metadata(&mut self, source: MetadataSource, path: &[&[u8]], value: &mut Vec<u8>) -> Option<()>;
}

impl Source for HttpFilterHandle {
    fn attribute_string(&self, id: AttributeId) -> Option<Cow<'_, [u8]>> {
        self.attribute_string(id).map(Cow::Borrowed)
    }

    fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        self.attribute_int(id)
    }

    fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        self.attribute_bool(id)
    }

    fn header(&self, map: HeaderType, name: &[u8], index: usize) -> Option<&[u8]> {
        self.header(map, name, index)
    }

    fn header_values_len(&self, map: HeaderType, name: &[u8]) -> usize {
        self.header_values_len(map, name)
    }

    fn headers(&self, map: HeaderType) -> Headers<'_> {
        self.headers(map)
    }

    fn cluster_name(&self) -> Option<&[u8]> {
        self.cluster_name()
    }

    fn cluster_host_count(&self) -> Option<usize> {
        self.cluster_host_count()
    }

    fn timing_info(&self) -> Option<TimingInfo> {
        self.timing_info()
    }

    fn filter_state(&mut self, key: &[u8], value: &mut Vec<u8>) -> Option<()> {
        if let Some(bytes) = self.filter_state_bytes(key) {
            value.extend_from_slice(bytes);
            return Some(());
        }
        value.extend_from_slice(self.filter_state_typed(key)?);
        Some(())
    }

    fn metadata(&mut self, source: MetadataSource, path: &[&[u8]], value: &mut Vec<u8>) -> Option<()> {
        maps::metadata(self, source, path, value)
    }
}

impl Source for AccessLogHandle {
    /// A logger's callbacks are others than a stream's, and answer quietly what they do not have.
    fn serves(&self, _since: Release) -> bool {
        true
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are asked by their number")]
    fn attribute_string(&self, id: AttributeId) -> Option<Cow<'_, [u8]>> {
        let header = |name: &[u8]| self.header(HeaderType::RequestHeaders, name, 0).map(Cow::Borrowed);
        match id {
            AttributeId::RequestPath => header(b":path"),
            AttributeId::RequestUrlPath => Some(Cow::Borrowed(split_path(self)?.0)),
            AttributeId::RequestQuery => Some(Cow::Borrowed(split_path(self)?.1)),
            // Envoy does not tell a route without a name from none; only a route has a cluster.
            AttributeId::XdsRouteName => {
                let unnamed = self.cluster_name().is_some().then_some(&b""[..]);
                self.attribute_string(id).or(unnamed).map(Cow::Borrowed)
            }
            AttributeId::RequestHost => header(b":authority"),
            AttributeId::RequestScheme => header(b":scheme"),
            AttributeId::RequestMethod => header(b":method"),
            AttributeId::RequestReferer => header(b"referer"),
            AttributeId::RequestUserAgent => header(b"user-agent"),
            AttributeId::SourceAddress
            | AttributeId::DestinationAddress
            | AttributeId::UpstreamAddress
            | AttributeId::UpstreamLocalAddress => {
                let (address, port) = self.address(id)?;
                Some(Cow::Owned(with_port(address, port)))
            }
            id => self.attribute_string(id).filter(|text| !text.is_empty()).map(Cow::Borrowed),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are asked by their number")]
    fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let port = |of| self.address(of).map(|(_, port)| u64::from(port));
        match id {
            AttributeId::SourcePort => port(AttributeId::SourceAddress),
            AttributeId::DestinationPort => port(AttributeId::DestinationAddress),
            AttributeId::UpstreamPort => port(AttributeId::UpstreamAddress),
            AttributeId::RequestSize => Some(self.sizes().received),
            AttributeId::ResponseSize => Some(self.sizes().sent),
            id => self.attribute_int(id),
        }
    }

    fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        self.attribute_bool(id)
    }

    fn header(&self, map: HeaderType, name: &[u8], index: usize) -> Option<&[u8]> {
        self.header(map, name, index)
    }

    fn header_values_len(&self, map: HeaderType, name: &[u8]) -> usize {
        (0..).take_while(|index| self.header(map, name, *index).is_some()).count()
    }

    fn headers(&self, map: HeaderType) -> Headers<'_> {
        self.headers(map)
    }

    fn cluster_name(&self) -> Option<&[u8]> {
        self.cluster_name()
    }

    fn cluster_host_count(&self) -> Option<usize> {
        None
    }

    fn timing_info(&self) -> Option<TimingInfo> {
        Some(self.timing_info())
    }

    /// Envoy has a callback for it, which to 1.40 answers that there is none.
    fn filter_state(&mut self, _key: &[u8], _value: &mut Vec<u8>) -> Option<()> {
        None
    }

    /// Dynamic metadata by namespace and key, as far as it is text, a number or a boolean.
    fn metadata(&mut self, source: MetadataSource, path: &[&[u8]], value: &mut Vec<u8>) -> Option<()> {
        let (MetadataSource::Dynamic, [b"filter_metadata", namespace, key]) = (source, path) else {
            return None;
        };
        if let Some(number) = self.metadata_number(namespace, key) {
            value.extend_from_slice(&number.to_le_bytes());
        } else if let Some(boolean) = self.metadata_bool(namespace, key) {
            value.push(u8::from(boolean));
        } else {
            value.extend_from_slice(self.metadata_string(namespace, key)?);
        }
        Some(())
    }
}

/// The path of a request without its query, and the query.
fn split_path(exchange: &AccessLogHandle) -> Option<(&[u8], &[u8])> {
    let path = exchange.header(HeaderType::RequestHeaders, b":path", 0)?;
    let end = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
    let (path, query) = path.split_at(end);
    Some((path, query.get(1..).unwrap_or_default()))
}

/// An address as Envoy writes it: IPv6 in brackets; what has no port (a Unix socket) stands alone.
pub(in crate::bridge) fn with_port(address: &[u8], port: u32) -> Vec<u8> {
    if port == 0 {
        return address.to_vec();
    }
    let is_v6 = address.contains(&b':');
    let (open, close) = if is_v6 { ("[", "]") } else { ("", "") };
    let port = port.to_string();
    [open.as_bytes(), address, close.as_bytes(), b":", port.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_envoy_does() {
        assert_eq!(with_port(b"127.0.0.1", 80), b"127.0.0.1:80");
        assert_eq!(with_port(b"::1", 80), b"[::1]:80");
        assert_eq!(with_port(b"/run/socket", 0), b"/run/socket");
    }
}
