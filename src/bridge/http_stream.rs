//! The host's `Stream` over Envoy's callbacks.
//!
//! The object lives in a VM as long as the stream; Envoy's handle is lent to it for the length of a hook
//! ([`HttpStream::attach`]) and taken back before effects are applied. Between hooks nothing can be asked, and every
//! method answers "not there".
//!
//! While a plugin looks at its own local response, which Envoy does not have yet, the response's maps and body are
//! those of [`LocalReply`] instead of Envoy's.

use std::sync::Arc;
use std::time::SystemTime;

use super::body;
use super::callouts;
use super::foreign::{self, Spans};
use super::http_config::HttpConfig;
use super::local_response::LocalReply;
use super::metrics::Metric;
use super::own_properties::{OwnProperties, Stored};
use super::properties;
use super::services::EnvoyServices;
use crate::abi::{BodyType, HeaderType, HttpFilterHandle, Scheduler};
use crate::host::calls::{Request, Start};
use crate::host::stream::{
    Headers, LifeSpan, MetadataSource, MetadataValue, MetricUpdate, NoProperty, Refusal, Stream,
};
use crate::host::types::{Direction, HeaderMap};

/// See the module's text.
#[derive(Debug)]
pub struct HttpStream {
    config: Arc<HttpConfig>,
    envoy: Option<HttpFilterHandle>,
    /// The direction whose body hook runs: only there Envoy has a received chunk.
    body_hook: Option<Direction>,
    /// The plugin's own reply, while it looks at it.
    pub(super) local_reply: Option<LocalReply>,
    own_properties: OwnProperties,
    /// What brings a hook to this stream when another context resumes it; made when it first waits.
    scheduler: Option<Scheduler>,
    /// What properties need that Envoy does not tell.
    observed: Observed,
    /// The guest's spans below the stream's.
    spans: Spans,
}

/// What is noted of a stream, for Envoys that have no attribute for it.
#[derive(Debug)]
pub(super) struct Observed {
    /// When the plugin first saw the stream.
    pub(super) started: SystemTime,
    /// Body bytes that came by.
    pub(super) request_bytes: u64,
    /// Body bytes that came by.
    pub(super) response_bytes: u64,
}

impl HttpStream {
    /// A stream with nothing attached.
    pub fn new(config: Arc<HttpConfig>) -> Self {
        Self {
            config,
            envoy: None,
            body_hook: None,
            local_reply: None,
            own_properties: OwnProperties::default(),
            scheduler: None,
            observed: Observed { started: SystemTime::now(), request_bytes: 0, response_bytes: 0 },
            spans: Spans::default(),
        }
    }

    /// A hook begins. `body_hook` is the direction whose body it brings.
    pub fn attach(&mut self, envoy: HttpFilterHandle, body_hook: Option<Direction>) {
        if let Some(direction) = body_hook {
            let (part, bytes) = match direction {
                Direction::Request => (BodyType::ReceivedRequest, &mut self.observed.request_bytes),
                Direction::Response => (BodyType::ReceivedResponse, &mut self.observed.response_bytes),
            };
            *bytes = bytes.saturating_add(u64::try_from(envoy.body_len(part)).unwrap_or(u64::MAX));
        }
        self.envoy = Some(envoy);
        self.body_hook = body_hook;
    }

    /// The hook's guest has returned: the handle goes back to the filter.
    pub fn detach(&mut self) -> Option<HttpFilterHandle> {
        self.body_hook = None;
        self.envoy.take()
    }

    /// The stream waits now: another context may resume it.
    pub fn make_wakeable(&mut self) {
        if self.scheduler.is_none() {
            self.scheduler = self.envoy.as_ref().and_then(HttpFilterHandle::scheduler);
        }
    }

    /// Whether the body that is held back and the chunk of this hook are more than Envoy buffers.
    pub fn is_over_limit(&self, direction: Direction) -> bool {
        let Some(envoy) = &self.envoy else { return false };
        let limit = envoy.buffer_limit().filter(|limit| *limit > 0);
        limit.is_some_and(|limit| {
            let all = body::len(envoy, direction, self.body_hook, true);
            u64::try_from(all).is_ok_and(|all| all > limit)
        })
    }

    fn local_reply(&self, map: HeaderMap) -> Option<&LocalReply> {
        self.local_reply.as_ref().filter(|_| map.direction() == Direction::Response)
    }
}

pub(super) fn envoy_map(map: HeaderMap) -> HeaderType {
    match map {
        HeaderMap::RequestHeaders => HeaderType::RequestHeaders,
        HeaderMap::RequestTrailers => HeaderType::RequestTrailers,
        HeaderMap::ResponseHeaders => HeaderType::ResponseHeaders,
        HeaderMap::ResponseTrailers => HeaderType::ResponseTrailers,
    }
}

impl Stream for HttpStream {
    type Services = EnvoyServices;

    fn has_map(&self, map: HeaderMap) -> bool {
        if self.local_reply(map).is_some() {
            return map == HeaderMap::ResponseHeaders;
        }
        self.envoy.as_ref().is_some_and(|envoy| envoy.has_headers(envoy_map(map)))
    }

    fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        if let Some(reply) = self.local_reply(map) {
            return reply.header(map, name);
        }
        self.envoy.as_ref()?.header(envoy_map(map), name, 0)
    }

    fn headers(&self, map: HeaderMap) -> Headers<'_> {
        if let Some(reply) = self.local_reply(map) {
            return reply.headers(map);
        }
        self.envoy.as_ref().map(|envoy| envoy.headers(envoy_map(map)).iter().collect()).unwrap_or_default()
    }

    fn header_count(&self, map: HeaderMap) -> usize {
        if let Some(reply) = self.local_reply(map) {
            return reply.headers(map).len();
        }
        self.envoy.as_ref().map_or(0, |envoy| envoy.headers_len(envoy_map(map)))
    }

    fn add_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        if let Some(reply) = self.local_reply.as_mut().filter(|_| map == HeaderMap::ResponseHeaders) {
            return reply.add_header(name, value);
        }
        self.envoy.as_mut().is_some_and(|envoy| envoy.add_header(envoy_map(map), name, value))
    }

    fn set_header(&mut self, map: HeaderMap, name: &[u8], value: &[u8]) -> bool {
        if let Some(reply) = self.local_reply.as_mut().filter(|_| map == HeaderMap::ResponseHeaders) {
            return reply.set_header(name, value);
        }
        self.envoy.as_mut().is_some_and(|envoy| envoy.set_header(envoy_map(map), name, value))
    }

    fn remove_header(&mut self, map: HeaderMap, name: &[u8]) -> bool {
        if let Some(reply) = self.local_reply.as_mut().filter(|_| map == HeaderMap::ResponseHeaders) {
            return reply.remove_header(name);
        }
        self.envoy.as_mut().is_some_and(|envoy| envoy.remove_header(envoy_map(map), name))
    }

    fn body_len(&self, direction: Direction, buffered: bool) -> usize {
        match (&self.local_reply, &self.envoy) {
            (Some(reply), _) if direction == Direction::Response => reply.body.len(),
            (_, Some(envoy)) => body::len(envoy, direction, self.body_hook, buffered),
            (_, None) => 0,
        }
    }

    fn copy_body(&self, direction: Direction, buffered: bool, start: usize, target: &mut [u8]) -> usize {
        match (&self.local_reply, &self.envoy) {
            (Some(reply), _) if direction == Direction::Response => {
                body::copy([reply.body.as_slice()].into_iter(), start, target)
            }
            (_, Some(envoy)) => body::with_chunks(envoy, direction, self.body_hook, buffered, |chunks| {
                body::copy(chunks, start, target)
            }),
            (_, None) => 0,
        }
    }

    fn replace_body(&mut self, direction: Direction, buffered: bool, length: usize, bytes: &[u8]) -> bool {
        match (&mut self.local_reply, &mut self.envoy) {
            (Some(reply), _) if direction == Direction::Response => {
                let length = length.min(reply.body.len());
                reply.body.splice(..length, bytes.iter().copied());
                true
            }
            (_, Some(envoy)) => body::replace(envoy, direction, self.body_hook, buffered, length, bytes),
            (_, None) => false,
        }
    }

    fn append_body(&mut self, direction: Direction, buffered: bool, bytes: &[u8]) -> bool {
        match (&mut self.local_reply, &mut self.envoy) {
            (Some(reply), _) if direction == Direction::Response => {
                reply.body.extend_from_slice(bytes);
                true
            }
            (_, Some(envoy)) => body::append(envoy, direction, self.body_hook, buffered, bytes),
            (_, None) => false,
        }
    }

    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty> {
        if let Some(envoy) = self.envoy.as_mut()
            && properties::get(envoy, &self.observed, path, value)?
        {
            return Ok(());
        }
        // What is none of Envoy's names is a property of a plugin's own. It is bytes, so nothing is below it: a path
        // with parts can be stored, for access logs, and is not found here (as in the built-in host).
        if path.contains(&0) {
            return Err(NoProperty::Absent);
        }
        if let Some(own) = self.own_properties.get(path) {
            value.extend_from_slice(own);
            return Ok(());
        }
        let envoy = self.envoy.as_ref().ok_or(NoProperty::Absent)?;
        let stored = envoy.filter_state_bytes(&properties::own_key(path)).ok_or(NoProperty::Absent)?;
        value.extend_from_slice(stored);
        Ok(())
    }

    fn set_property(&mut self, path: &[u8], value: &[u8], span: LifeSpan) -> bool {
        let Some(envoy) = self.envoy.as_mut() else { return false };
        let is_told = match self.own_properties.set(path, value) {
            Some(Stored::New) => true,
            Some(Stored::Overwritten) => envoy.overwrites_filter_state(),
            None => return false,
        };
        if is_told {
            let key = properties::own_key(path);
            let kept = match span {
                LifeSpan::FilterChain => None,
                LifeSpan::Request | LifeSpan::Connection => {
                    envoy.set_filter_state_for(&key, value, foreign::envoy_span(span))
                }
            };
            if kept.is_none() {
                envoy.set_filter_state_bytes(&key, value);
            }
        }
        true
    }

    fn set_filter_state_object(&mut self, name: &[u8], text: &[u8], _: LifeSpan) -> Result<(), Refusal> {
        foreign::set_filter_state_object(self.envoy.as_mut(), name, text)
    }

    fn metadata(&mut self, source: MetadataSource, namespace: &[u8], key: &[u8]) -> Option<MetadataValue> {
        properties::metadata_value(self.envoy.as_mut()?, foreign::envoy_source(source), namespace, key)
    }

    fn metadata_keys(&mut self, source: MetadataSource, namespace: Option<&[u8]>) -> Vec<Vec<u8>> {
        let Some(envoy) = self.envoy.as_mut() else { return Vec::new() };
        let source = foreign::envoy_source(source);
        let names = match namespace {
            Some(namespace) => envoy.metadata_keys(source, namespace),
            None => envoy.metadata_namespaces(source),
        };
        names.iter().map(<[u8]>::to_vec).collect()
    }

    fn set_metadata(&mut self, namespace: &[u8], key: &[u8], value: &MetadataValue) -> Result<(), Refusal> {
        foreign::set_metadata(self.envoy.as_mut(), namespace, key, value)
    }

    fn set_span_tag(&mut self, child: Option<u32>, key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        self.spans.set_tag(self.envoy.as_mut(), child, key, value)
    }

    fn log_to_span(&mut self, event: &[u8]) -> Result<(), Refusal> {
        Spans::log(self.envoy.as_mut(), event)
    }

    fn start_child_span(&mut self, operation: &[u8]) -> Result<u32, Refusal> {
        self.spans.start_child(self.envoy.as_mut(), operation)
    }

    fn finish_child_span(&mut self, child: u32) -> Result<(), Refusal> {
        self.spans.finish_child(child)
    }

    fn override_upstream_host(&mut self, host: &[u8], is_strict: bool) -> Result<(), Refusal> {
        let envoy = self.envoy.as_mut().ok_or(Refusal::Unavailable)?;
        match envoy.override_upstream_host(host, is_strict) {
            Some(true) => Ok(()),
            Some(false) => Err(Refusal::Invalid),
            None => Err(Refusal::Unavailable),
        }
    }

    fn clear_route_cache(&mut self) {
        if let Some(envoy) = &mut self.envoy {
            envoy.clear_route_cache();
        }
    }

    fn start_call(&mut self, request: &Request) -> Start {
        let Some(envoy) = &mut self.envoy else { return Start::NotHere };
        let start = callouts::start(envoy, request);
        if start != Start::NotHere {
            // The reply may come by way of the process.
            self.make_wakeable();
        }
        start
    }

    fn can_wake(&self) -> bool {
        self.scheduler.is_some()
    }

    fn wake(&self) {
        // One that never waited takes its effects at its next hook.
        if let Some(scheduler) = &self.scheduler {
            scheduler.commit(0);
        }
    }

    fn update_metric(
        &mut self,
        services: &EnvoyServices,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        self.config.outlet.ids().update_or_wait(self.envoy.as_ref(), &services.metrics, metric, update)
    }
}
