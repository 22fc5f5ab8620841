//! The one stream type of this module's VMs.
//!
//! A VM is generic over one type of stream, and the plugins that share a VM may be attached to different objects of
//! Envoy's. So what a stream is, is a variant, and the host's [`Stream`] is answered by whichever it is. Hooks know
//! which one they brought and ask for it by name ([`EnvoyStream::http_mut`]).

use std::sync::Arc;

use super::connection_stream::ConnectionStream;
use super::http_stream::HttpStream;
use super::log_stream::LogStream;
use super::metrics::Metric;
use super::services::EnvoyServices;
use crate::host::calls::{Request, Start};
use crate::host::stream::{
    Headers, LifeSpan, MetadataSource, MetadataValue, MetricUpdate, NoProperty, Refusal, Stream,
};
use crate::host::types::{Direction, HeaderMap};

/// See the module's text.
#[derive(Debug)]
pub enum EnvoyStream {
    /// A stream of an HTTP filter.
    Http(HttpStream),
    /// A TCP connection of a network filter.
    Connection(ConnectionStream),
    /// An exchange that an access logger shows.
    Log(LogStream),
}

/// Answers by whichever stream it is.
macro_rules! by {
    ($self:ident, $stream:ident => $answer:expr) => {
        match $self {
            Self::Http($stream) => $answer,
            Self::Connection($stream) => $answer,
            Self::Log($stream) => $answer,
        }
    };
}

impl EnvoyStream {
    /// The HTTP filter's stream, if it is one.
    pub fn http_mut(&mut self) -> Option<&mut HttpStream> {
        match self {
            Self::Http(stream) => Some(stream),
            Self::Connection(_) | Self::Log(_) => None,
        }
    }

    /// The network filter's connection, if it is one.
    pub(super) fn connection_mut(&mut self) -> Option<&mut ConnectionStream> {
        match self {
            Self::Connection(stream) => Some(stream),
            Self::Http(_) | Self::Log(_) => None,
        }
    }
}

impl From<HttpStream> for EnvoyStream {
    fn from(stream: HttpStream) -> Self {
        Self::Http(stream)
    }
}

impl Stream for EnvoyStream {
    type Services = EnvoyServices;

    fn is_connection(&self) -> bool {
        by!(self, stream => stream.is_connection())
    }

    fn has_map(&self, map: HeaderMap) -> bool {
        by!(self, stream => stream.has_map(map))
    }

    fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        by!(self, stream => stream.header(map, name))
    }

    fn headers(&self, map: HeaderMap) -> Headers<'_> {
        by!(self, stream => stream.headers(map))
    }

    fn header_count(&self, map: HeaderMap) -> usize {
        by!(self, stream => stream.header_count(map))
    }

    fn add_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        by!(self, stream => stream.add_header(map, name, value))
    }

    fn set_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        by!(self, stream => stream.set_header(map, name, value))
    }

    fn remove_header(&mut self, map: HeaderMap, name: &[u8]) -> bool {
        by!(self, stream => stream.remove_header(map, name))
    }

    fn body_len(&self, direction: Direction, buffered: bool) -> usize {
        by!(self, stream => stream.body_len(direction, buffered))
    }

    fn copy_body(&self, direction: Direction, buffered: bool, start: usize, target: &mut [u8]) -> usize {
        by!(self, stream => stream.copy_body(direction, buffered, start, target))
    }

    fn replace_body(&mut self, direction: Direction, buffered: bool, length: usize, bytes: &[u8]) -> bool {
        by!(self, stream => stream.replace_body(direction, buffered, length, bytes))
    }

    fn append_body(&mut self, direction: Direction, buffered: bool, bytes: &[u8]) -> bool {
        by!(self, stream => stream.append_body(direction, buffered, bytes))
    }

    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty> {
        by!(self, stream => stream.property(path, value))
    }

    fn set_property(&mut self, path: &[u8], value: &[u8], span: LifeSpan) -> bool {
        by!(self, stream => stream.set_property(path, value, span))
    }

    fn set_filter_state_object(&mut self, name: &[u8], text: &[u8], span: LifeSpan) -> Result<(), Refusal> {
        by!(self, stream => stream.set_filter_state_object(name, text, span))
    }

    fn metadata(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<MetadataValue> {
        by!(self, stream => stream.metadata(source, namespace, key))
    }

    fn metadata_keys(&mut self, source: MetadataSource, namespace: Option<&[u8]>) -> Vec<Vec<u8>> {
        by!(self, stream => stream.metadata_keys(source, namespace))
    }

    fn set_metadata(&mut self, namespace: &[u8], key: &[u8], value: &MetadataValue) -> Result<(), Refusal> {
        by!(self, stream => stream.set_metadata(namespace, key, value))
    }

    fn set_span_tag(&mut self, child: Option<u32>, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        by!(self, stream => stream.set_span_tag(child, key, value))
    }

    fn log_to_span(&mut self, event: &[u8]) -> Result<(), Refusal> {
        by!(self, stream => stream.log_to_span(event))
    }

    fn start_child_span(&mut self, operation: &[u8]) -> Result<u32, Refusal> {
        by!(self, stream => stream.start_child_span(operation))
    }

    fn finish_child_span(&mut self, child: u32) -> Result<(), Refusal> {
        by!(self, stream => stream.finish_child_span(child))
    }

    fn override_upstream_host(&mut self, host: &[u8], is_strict: bool) -> Result<(), Refusal> {
        by!(self, stream => stream.override_upstream_host(host, is_strict))
    }

    fn clear_route_cache(&mut self) {
        by!(self, stream => stream.clear_route_cache());
    }

    fn start_call(&mut self, request: &Request) -> Start {
        by!(self, stream => stream.start_call(request))
    }

    fn can_wake(&self) -> bool {
        by!(self, stream => stream.can_wake())
    }

    fn wake(&self) {
        by!(self, stream => stream.wake());
    }

    fn update_metric(
        &mut self,
        services: &EnvoyServices,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        by!(self, stream => stream.update_metric(services, metric, update))
    }
}
