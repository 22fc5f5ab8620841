//! What foreign functions ask of a stream's Envoy: metadata, filter state, spans.

use crate::abi::{self, ChildSpan, HttpFilterHandle};
use crate::host::stream::{LifeSpan, MetadataSource, MetadataValue, Refusal};

/// Most spans that a guest may have open on one stream.
const MOST_CHILDREN: usize = 64;

/// Names of filter state that Envoy makes objects for, in every release that tells a module whether it made one. Envoy
/// does not say why it did not: for these it is the text, for others that it does not know the name.
const FACTORIES: &[&[u8]] = &[
    b"envoy.network.application_protocols",
    b"envoy.network.upstream_server_name",
    b"envoy.network.upstream_subject_alt_names",
    b"envoy.ratelimit.hits_addend",
    b"envoy.string",
    b"envoy.tcp_proxy.cluster",
    b"envoy.tcp_proxy.disable_tunneling",
    b"envoy.tcp_proxy.per_connection_idle_timeout_ms",
    b"envoy.upstream.dynamic_host",
    b"envoy.upstream.dynamic_port",
];

pub(super) fn envoy_span(span: LifeSpan) -> abi::LifeSpan {
    match span {
        LifeSpan::FilterChain => abi::LifeSpan::FilterChain,
        LifeSpan::Request => abi::LifeSpan::Request,
        LifeSpan::Connection => abi::LifeSpan::Connection,
    }
}

pub(super) fn envoy_source(source: MetadataSource) -> abi::MetadataSource {
    match source {
        MetadataSource::Dynamic => abi::MetadataSource::Dynamic,
        MetadataSource::Route => abi::MetadataSource::Route,
        MetadataSource::Cluster => abi::MetadataSource::Cluster,
        MetadataSource::Host => abi::MetadataSource::Host,
        MetadataSource::HostLocality => abi::MetadataSource::HostLocality,
    }
}

pub(super) fn set_filter_state_object(
    envoy: Option<&mut HttpFilterHandle>,
    name: &[u8],
    text: &[u8],
) -> Result<(), Refusal> {
    let envoy = envoy.ok_or(Refusal::Unavailable)?;
    if !envoy.has_typed_filter_state() {
        return Err(Refusal::Unavailable);
    }
    if envoy.set_filter_state_typed(name, text) {
        Ok(())
    } else if FACTORIES.contains(&name) {
        Err(Refusal::Invalid)
    } else {
        Err(Refusal::NoSuch)
    }
}

pub(super) fn set_metadata(
    envoy: Option<&mut HttpFilterHandle>,
    namespace: &[u8],
    key: &[u8],
    value: &MetadataValue,
) -> Result<(), Refusal> {
    let envoy = envoy.ok_or(Refusal::Unavailable)?;
    let is_set = match value {
        MetadataValue::Text(text) => envoy.set_metadata_string(namespace, key, text),
        MetadataValue::Number(number) => envoy.set_metadata_number(namespace, key, *number),
        MetadataValue::Boolean(boolean) => envoy.set_metadata_bool(namespace, key, *boolean),
        MetadataValue::List(_) => return Err(Refusal::Invalid),
    };
    if is_set { Ok(()) } else { Err(Refusal::Unavailable) }
}

/// The spans that a guest began below the stream's. They end with it.
#[derive(Debug, Default)]
pub(super) struct Spans {
    last: u32,
    children: Vec<(u32, ChildSpan)>,
}

impl Spans {
    pub(super) fn set_tag(
        &self,
        envoy: Option<&mut HttpFilterHandle>,
        child: Option<u32>,
        key: &[u8],
        value: &[u8],
    ) -> Result<(), Refusal> {
        let child = match child {
            Some(number) => {
                let child = self.children.iter().find(|(own, _)| *own == number);
                Some(&child.ok_or(Refusal::NoSuch)?.1)
            }
            None => None,
        };
        let envoy = envoy.ok_or(Refusal::Unavailable)?;
        if envoy.set_span_tag(child, key, value) { Ok(()) } else { Err(Refusal::NoSuch) }
    }

    pub(super) fn log(envoy: Option<&mut HttpFilterHandle>, event: &[u8]) -> Result<(), Refusal> {
        let envoy = envoy.ok_or(Refusal::Unavailable)?;
        if envoy.log_to_span(event) { Ok(()) } else { Err(Refusal::NoSuch) }
    }

    pub(super) fn start_child(
        &mut self,
        envoy: Option<&mut HttpFilterHandle>,
        operation: &[u8],
    ) -> Result<u32, Refusal> {
        let envoy = envoy.ok_or(Refusal::Unavailable)?;
        if self.children.len() >= MOST_CHILDREN {
            return Err(Refusal::Unavailable);
        }
        let child = envoy.start_child_span(operation).ok_or(Refusal::NoSuch)?;
        self.last = self.last.checked_add(1).ok_or(Refusal::Unavailable)?;
        self.children.push((self.last, child));
        Ok(self.last)
    }

    pub(super) fn finish_child(&mut self, number: u32) -> Result<(), Refusal> {
        let place = self.children.iter().position(|(own, _)| *own == number).ok_or(Refusal::NoSuch)?;
        drop(self.children.swap_remove(place));
        Ok(())
    }
}
