//! The host's `Stream` over the callbacks of a network filter. As with the stream of an HTTP filter, Envoy's handle is
//! lent to it for the length of a hook.

use std::sync::Arc;
use std::time::SystemTime;

use super::body;
use super::callouts;
use super::connection_filter::ConnectionConfig;
use super::http_stream::Observed;
use super::metrics::Metric;
use super::own_properties::{OwnProperties, Stored};
use super::properties;
use super::services::EnvoyServices;
use crate::abi::{self, ConnectionHandle, ConnectionScheduler};
use crate::host::calls::{Request, Start};
use crate::host::stream::{Headers, LifeSpan, MetricUpdate, NoProperty, Stream};
use crate::host::types::{Direction, HeaderMap};

/// See the module's text.
#[derive(Debug)]
pub struct ConnectionStream {
    config: Arc<ConnectionConfig>,
    envoy: Option<ConnectionHandle>,
    own: OwnProperties,
    scheduler: Option<ConnectionScheduler>,
    observed: Observed,
    /// Bytes from the client that a hook has seen and held back: they come again.
    held: usize,
}

impl ConnectionStream {
    /// A connection with nothing attached.
    pub(super) fn new(config: Arc<ConnectionConfig>) -> Self {
        Self {
            config,
            envoy: None,
            own: OwnProperties::default(),
            scheduler: None,
            observed: Observed { started: SystemTime::now(), request_bytes: 0, response_bytes: 0 },
            held: 0,
        }
    }

    /// A hook begins, which brings bytes of a direction, or none.
    pub(super) fn attach(&mut self, envoy: ConnectionHandle, brings: Option<Direction>) {
        if brings == Some(Direction::Request) {
            let new = envoy.data_len(abi::Direction::Request).saturating_sub(self.held);
            self.observed.request_bytes = self.observed.request_bytes.saturating_add(wide(new));
        }
        self.envoy = Some(envoy);
    }

    /// The hook's guest has returned, and lets the bytes go on or not: the handle goes back to the filter.
    pub(super) fn detach(&mut self, brings: Option<Direction>, holds: bool) -> Option<ConnectionHandle> {
        let envoy = self.envoy.take()?;
        match brings {
            Some(Direction::Request) => {
                self.held = if holds { envoy.data_len(abi::Direction::Request) } else { 0 };
            }
            Some(Direction::Response) if !holds => {
                let sent = wide(envoy.data_len(abi::Direction::Response));
                self.observed.response_bytes = self.observed.response_bytes.saturating_add(sent);
            }
            Some(Direction::Response) | None => {}
        }
        Some(envoy)
    }

    /// The connection waits now: another context may resume it.
    pub(super) fn make_wakeable(&mut self) {
        if self.scheduler.is_none() {
            self.scheduler = self.envoy.as_ref().and_then(ConnectionHandle::scheduler);
        }
    }
}

fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn envoy_direction(direction: Direction) -> abi::Direction {
    match direction {
        Direction::Request => abi::Direction::Request,
        Direction::Response => abi::Direction::Response,
    }
}

impl Stream for ConnectionStream {
    type Services = EnvoyServices;

    fn start_call(&mut self, request: &Request) -> Start {
        self.envoy.as_mut().map_or(Start::NotHere, |envoy| callouts::start_of_connection(envoy, request))
    }

    fn can_wake(&self) -> bool {
        // Replies are told at once: a connection's bytes can be worked on in its own callbacks only.
        false
    }

    fn wake(&self) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.commit();
        }
    }

    fn is_connection(&self) -> bool {
        true
    }

    fn has_map(&self, _map: HeaderMap) -> bool {
        false
    }

    fn header(&self, _map: HeaderMap, _name: &[u8]) -> Option<&[u8]> {
        None
    }

    fn headers(&self, _map: HeaderMap) -> Headers<'_> {
        Headers::new()
    }

    fn header_count(&self, _map: HeaderMap) -> usize {
        0
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

    fn body_len(&self, direction: Direction, _buffered: bool) -> usize {
        self.envoy.as_ref().map_or(0, |envoy| envoy.data_len(envoy_direction(direction)))
    }

    fn copy_body(&self, direction: Direction, _buffered: bool, start: usize, target: &mut [u8]) -> usize {
        let Some(envoy) = &self.envoy else { return 0 };
        let chunks = envoy.data_chunks(envoy_direction(direction));
        body::copy(chunks.iter(), start, target)
    }

    fn replace_body(&mut self, direction: Direction, _buffered: bool, length: usize, bytes: &[u8]) -> bool {
        let Some(envoy) = &mut self.envoy else { return false };
        let direction = envoy_direction(direction);
        let is_drained = length == 0 || envoy.drain_data(direction, length);
        is_drained && (bytes.is_empty() || envoy.prepend_data(direction, bytes))
    }

    fn append_body(&mut self, direction: Direction, _buffered: bool, bytes: &[u8]) -> bool {
        let Some(envoy) = &mut self.envoy else { return false };
        bytes.is_empty() || envoy.append_data(envoy_direction(direction), bytes)
    }

    fn property(&mut self, path: &[u8], value: &mut Vec<u8>) -> Result<(), NoProperty> {
        if let Some(envoy) = self.envoy.as_mut()
            && properties::get(envoy, &self.observed, path, value)?
        {
            return Ok(());
        }
        if path.contains(&0) {
            return Err(NoProperty::Absent);
        }
        let envoy = self.envoy.as_ref();
        let stored = || envoy?.filter_state_bytes(&properties::own_key(path));
        value.extend_from_slice(self.own.get(path).or_else(stored).ok_or(NoProperty::Absent)?);
        Ok(())
    }

    fn set_property(&mut self, path: &[u8], value: &[u8], _span: LifeSpan) -> bool {
        let Some(envoy) = self.envoy.as_mut() else { return false };
        let is_told = match self.own.set(path, value) {
            Some(Stored::New) => true,
            Some(Stored::Overwritten) => envoy.overwrites_filter_state(),
            None => return false,
        };
        if is_told {
            envoy.set_filter_state_bytes(&properties::own_key(path), value);
        }
        true
    }

    fn clear_route_cache(&mut self) {}

    fn update_metric(
        &mut self,
        services: &EnvoyServices,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        self.config.outlet.ids().update_or_wait(self.envoy.as_ref(), &services.metrics, metric, update)
    }
}
