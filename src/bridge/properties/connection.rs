//! Properties of a TCP connection: those of `source`, `destination`, `connection`, `upstream` and `xds`, and of
//! `request` and `response` what counts bytes and tells times.

use std::borrow::Cow;

use super::source::{Source, with_port};
use crate::abi::process::{self, Release};
use crate::abi::{AttributeId, ConnectionHandle, HeaderType, Headers, MetadataSource, TimingInfo};

impl Source for ConnectionHandle {
    /// Attributes came to connections with 1.39; before, only what has a getter of its own is asked for.
    fn serves(&self, since: Release) -> bool {
        process::release() >= since || process::release() < Release::V1_39
    }

    fn has_duration(&self) -> bool {
        false
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are asked by their number")]
    fn attribute_string(&self, id: AttributeId) -> Option<Cow<'_, [u8]>> {
        match id {
            AttributeId::RequestPath
            | AttributeId::RequestUrlPath
            | AttributeId::RequestQuery
            | AttributeId::RequestHost
            | AttributeId::RequestScheme
            | AttributeId::RequestMethod
            | AttributeId::RequestReferer
            | AttributeId::RequestUserAgent
            | AttributeId::RequestId
            | AttributeId::RequestProtocol => None,
            AttributeId::SourceAddress | AttributeId::DestinationAddress | AttributeId::UpstreamAddress => {
                let (address, port) = self.address(id)?;
                Some(Cow::Owned(with_port(address, port)))
            }
            id => self.attribute_string(id).map(Cow::Borrowed),
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "all others are asked by their number")]
    fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let port = |of| self.address(of).map(|(_, port)| u64::from(port));
        match id {
            AttributeId::SourcePort => port(AttributeId::SourceAddress),
            AttributeId::DestinationPort => port(AttributeId::DestinationAddress),
            AttributeId::UpstreamPort => port(AttributeId::UpstreamAddress),
            AttributeId::ResponseCode | AttributeId::ResponseGrpcStatus => None,
            id => self.attribute_int(id),
        }
    }

    fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        self.attribute_bool(id)
    }

    fn header(&self, _map: HeaderType, _name: &[u8], _index: usize) -> Option<&[u8]> {
        None
    }

    fn header_values_len(&self, _map: HeaderType, _name: &[u8]) -> usize {
        0
    }

    fn headers(&self, _map: HeaderType) -> Headers<'_> {
        Headers::none()
    }

    fn cluster_name(&self) -> Option<&[u8]> {
        self.cluster_name()
    }

    fn cluster_host_count(&self) -> Option<usize> {
        None
    }

    fn timing_info(&self) -> Option<TimingInfo> {
        None
    }

    fn filter_state(&mut self, key: &[u8], value: &mut Vec<u8>) -> Option<()> {
        value.extend_from_slice(self.filter_state_bytes(key)?);
        Some(())
    }

    /// Dynamic metadata by namespace and key, as far as it is text or a number.
    fn metadata(&mut self, source: MetadataSource, path: &[&[u8]], value: &mut Vec<u8>) -> Option<()> {
        let (MetadataSource::Dynamic, [b"filter_metadata", namespace, key]) = (source, path) else {
            return None;
        };
        if let Some(number) = self.metadata_number(namespace, key) {
            value.extend_from_slice(&number.to_le_bytes());
        } else {
            value.extend_from_slice(self.metadata_string(namespace, key)?);
        }
        Some(())
    }
}
