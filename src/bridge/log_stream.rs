//! The host's `Stream` over an exchange that an access logger shows: everything can be asked and nothing changed.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::access_log::LogConfig;
use super::http_stream::{Observed, envoy_map};
use super::metrics::Metric;
use super::properties;
use super::services::EnvoyServices;
use crate::abi::AccessLogHandle;
use crate::host::calls::{Request, Start};
use crate::host::stream::{Headers, LifeSpan, MetricUpdate, NoProperty, Stream};
use crate::host::types::{Direction, HeaderMap};

/// See the module's text. Lives as long as one `proxy_on_log`.
#[derive(Debug)]
pub struct LogStream {
    config: Arc<LogConfig>,
    envoy: AccessLogHandle,
    observed: Observed,
}

impl LogStream {
    /// The exchange of a hook.
    pub(super) fn new(config: Arc<LogConfig>, envoy: AccessLogHandle) -> Self {
        let start = envoy.timing_info().start_unix_ns.map(Duration::from_nanos);
        let sizes = envoy.sizes();
        let observed = Observed {
            started: start.and_then(|start| UNIX_EPOCH.checked_add(start)).unwrap_or_else(SystemTime::now),
            request_bytes: sizes.received,
            response_bytes: sizes.sent,
        };
        Self { config, envoy, observed }
    }
}

impl Stream for LogStream {
    type Services = EnvoyServices;

    fn start_call(&mut self, _request: &Request) -> Start {
        Start::NotHere
    }

    fn can_wake(&self) -> bool {
        false
    }

    fn wake(&self) {
        // What is over does not wait.
    }

    fn has_map(&self, map: HeaderMap) -> bool {
        self.envoy.has_headers(envoy_map(map))
    }

    fn header(&self, map: HeaderMap, name: &[u8]) -> Option<&[u8]> {
        self.envoy.header(envoy_map(map), name, 0)
    }

    fn headers(&self, map: HeaderMap) -> Headers<'_> {
        self.envoy.headers(envoy_map(map)).iter().collect()
    }

    fn header_count(&self, map: HeaderMap) -> usize {
        self.envoy.headers_len(envoy_map(map))
    }

    fn add_header(&mut self, _map: HeaderMap, _name: &[u8], _value: &[u8]) -> bool {
        false
    }

    fn set_header(&mut self, _map: HeaderMap, _name: &[u8], _value: &[u8]) -> bool {
        false
    }

    fn remove_header(&mut self, _map: HeaderMap, _name: &[u8]) -> bool {
        false
    }

    fn body_len(&self, _direction: Direction, _buffered: bool) -> usize {
        0
    }

    fn copy_body(&self, _direction: Direction, _buffered: bool, _start: usize, _target: &mut [u8]) -> usize {
        0
    }

    fn replace_body(
        &mut self,
        _direction: Direction,
        _buffered: bool,
        _length: usize,
        _bytes: &[u8],
    ) -> bool {
        false
    }

    fn append_body(&mut self, _direction: Direction, _buffered: bool, _bytes: &[u8]) -> bool {
        false
    }

    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty> {
        // A plugin's own properties are filter state, which Envoy does not show to loggers.
        let is_found = properties::get(&mut self.envoy, &self.observed, path, value)?;
        if is_found { Ok(()) } else { Err(NoProperty::Absent) }
    }

    fn set_property(&mut self, _path: &[u8], _value: &[u8], _span: LifeSpan) -> bool {
        false
    }

    fn clear_route_cache(&mut self) {}

    fn update_metric(
        &mut self,
        services: &EnvoyServices,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        self.config.outlet.ids().update(&self.config.envoy, &services.metrics, metric, update)
    }
}
