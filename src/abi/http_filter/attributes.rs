//! Facts about the stream: attributes, the route's cluster, the worker, times, the route's configuration.

use std::sync::Arc;

use super::super::buffer::envoy_bytes;
use super::super::ownership::RouteSlot;
use super::super::table::callbacks;
use super::super::types::TimingInfo;
use super::{HttpFilterHandle, raw};
use crate::abi::AttributeId;

type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

impl HttpFilterHandle {
    /// An attribute that is a string. `None` if it has no value now, is of another type, or is unknown to this Envoy.
    pub fn attribute_string(&self, id: AttributeId) -> Option<&[u8]> {
        let get = callbacks().http_filter_get_attribute_string?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// An attribute that is an integer.
    pub fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let get = callbacks().http_filter_get_attribute_int?;
        let envoy = self.envoy()?;
        let mut value = 0;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// An attribute that is true or false. `None` before Envoy 1.38.
    pub fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        let get = callbacks().http_filter_get_attribute_bool?;
        let envoy = self.envoy()?;
        let mut value = false;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// The cluster that the route chose. `None` without a route, and before Envoy 1.38.
    pub fn cluster_name(&self) -> Option<&[u8]> {
        let get = callbacks().http_get_cluster_name?;
        let envoy = self.envoy()?;
        let mut name = RawBuffer::default();
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, &raw mut name) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(name) })
    }

    /// How many hosts the route's cluster has at priority 0. `None` without a route, and before Envoy 1.38.
    pub fn cluster_host_count(&self) -> Option<usize> {
        let get = callbacks().http_get_cluster_host_count?;
        let envoy = self.envoy()?;
        let (mut total, mut healthy, mut degraded) = (0, 0, 0);
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, 0, &raw mut total, &raw mut healthy, &raw mut degraded) };
        is_found.then_some(total)
    }

    /// The worker that this stream is on, counted from 0. `None` before Envoy 1.38.
    pub fn worker_index(&self) -> Option<u32> {
        let index = callbacks().http_filter_get_worker_index?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3.
        Some(unsafe { index(envoy) })
    }

    /// When things happened to this stream. `None` before Envoy 1.40.
    pub fn timing_info(&self) -> Option<TimingInfo> {
        let get = callbacks().http_get_timing_info?;
        let envoy = self.envoy()?;
        let mut timing = raw::envoy_dynamic_module_type_timing_info::default();
        // SAFETY: F2, F3, F8.
        unsafe { get(envoy, &raw mut timing) };
        Some(timing.into())
    }

    /// What `RouteConfig::new` made for the route of this stream, or else for its virtual host. `None` if neither
    /// has a configuration for this filter.
    pub fn route_config<T: Send + Sync + 'static>(&self) -> Option<&Arc<T>> {
        let get = callbacks().get_most_specific_route_config?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3.
        let config = unsafe { get(envoy) };
        // SAFETY: F5; the stream holds its route, and changing it needs the handle for itself.
        unsafe { RouteSlot::lend(config) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    #[test]
    fn attributes_are_found_by_id_and_type() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        stream.strings.push((AttributeId::RequestPath, b"/a".to_vec()));
        stream.integers.push((AttributeId::ResponseCode, 204));
        envoy.inside_hook(&mut stream, |handle| {
            assert_eq!(handle.attribute_string(AttributeId::RequestPath), Some(&b"/a"[..]));
            assert_eq!(handle.attribute_int(AttributeId::RequestPath), None);
            assert_eq!(handle.attribute_int(AttributeId::ResponseCode), Some(204));
            assert_eq!(handle.attribute_bool(AttributeId::ConnectionMtls), None);
        });
    }

    #[test]
    fn moments_that_have_not_come_are_none() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |handle| {
            let timing = handle.timing_info().unwrap();
            assert_eq!(timing.start_unix_ns, Some(1));
            assert_eq!(timing.last_downstream_byte_sent_ns, None);
        });
    }

    #[test]
    fn a_route_configuration_is_found_only_as_what_it_is() {
        let envoy = FakeEnvoy::install();
        let pointer = RouteSlot::give(Arc::new("from the route".to_owned()));
        let mut stream = FakeStream { route_config: pointer, ..FakeStream::default() };
        envoy.inside_hook(&mut stream, |handle| {
            assert_eq!(handle.route_config::<String>().unwrap().as_str(), "from the route");
            assert!(handle.route_config::<u64>().is_none());
        });
        stream.route_config = std::ptr::null();
        envoy.inside_hook(&mut stream, |handle| assert!(handle.route_config::<String>().is_none()));
        // SAFETY: F5, given above and not used again.
        drop(unsafe { RouteSlot::take(pointer) });
    }
}
