//! The handle of a filter configuration: definitions of metrics, their updates without a stream, and calls.

mod calls;

use std::ffi::c_void;
use std::sync::Arc;

pub use calls::has_config_calls;

use super::buffer::{Lent, lend};
use super::config_address::ConfigAddress;
use super::raw;
use super::table::{Callbacks, callbacks};
use super::types::{MetricError, MetricId};

/// A filter configuration of Envoy.
///
/// It may be kept and used on any thread. When Envoy has destroyed the configuration, or has refused it, everything
/// answers [`MetricError::Unavailable`].
#[derive(Clone, Debug)]
pub struct HttpFilterConfigHandle {
    address: Arc<ConfigAddress>,
}

type Define = unsafe extern "C" fn(
    *mut c_void,
    raw::envoy_dynamic_module_type_module_buffer,
    *mut raw::envoy_dynamic_module_type_module_buffer,
    usize,
    *mut usize,
) -> raw::envoy_dynamic_module_type_metrics_result;

type Update = unsafe extern "C" fn(
    *mut c_void,
    usize,
    *mut raw::envoy_dynamic_module_type_module_buffer,
    usize,
    u64,
) -> raw::envoy_dynamic_module_type_metrics_result;

impl HttpFilterConfigHandle {
    /// A handle on what is at this address.
    ///
    /// # Safety
    /// While the address is not closed, Envoy's configuration is there (F11).
    pub(super) unsafe fn from_raw(address: Arc<ConfigAddress>) -> Self {
        Self { address }
    }

    /// Defines a counter. `labels` names its labels, and each update gives their values.
    ///
    /// Possible only until `config_new` returns; later it is [`MetricError::Frozen`].
    pub fn define_counter(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().http_filter_config_define_counter, name, labels)
    }

    /// Defines a gauge, as [`define_counter`](Self::define_counter) does a counter.
    pub fn define_gauge(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().http_filter_config_define_gauge, name, labels)
    }

    /// Defines a histogram, as [`define_counter`](Self::define_counter) does a counter.
    pub fn define_histogram(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().http_filter_config_define_histogram, name, labels)
    }

    /// Adds to a counter. This and the other updates: [`MetricError::Unavailable`] before Envoy 1.39.
    pub fn increment_counter(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.http_filter_config_increment_counter, id, labels, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.http_filter_config_increment_gauge, id, labels, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.http_filter_config_decrement_gauge, id, labels, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.http_filter_config_set_gauge, id, labels, value)
    }

    /// Records a value in a histogram.
    pub fn record_histogram(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.http_filter_config_record_histogram_value, id, labels, value)
    }

    fn define(&self, define: Option<Define>, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        let define = define.ok_or(MetricError::Unavailable)?;
        self.address.with_definitions(|envoy| {
            let mut labels = Lent::new(labels);
            let mut id = 0;
            // SAFETY: F2, F9, F11 under the lock.
            let result = unsafe { define(envoy, lend(name), labels.as_mut_ptr(), labels.len(), &raw mut id) };
            MetricError::check(result).map(|()| MetricId(id))
        })
    }

    fn update(
        &self,
        update: impl FnOnce(&Callbacks) -> Option<Update>,
        id: MetricId,
        labels: &[&[u8]],
        value: u64,
    ) -> Result<(), MetricError> {
        let update = update(callbacks()).ok_or(MetricError::Unavailable)?;
        self.address.with_updates(|envoy| {
            let mut labels = Lent::new(labels);
            // SAFETY: F2, F9, F11 under the lock.
            MetricError::check(unsafe { update(envoy, id.0, labels.as_mut_ptr(), labels.len(), value) })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::abi::testing::{FakeEnvoy, MetricUpdate};

    fn handle(envoy: *mut c_void) -> (Arc<ConfigAddress>, HttpFilterConfigHandle) {
        let address = ConfigAddress::new(envoy);
        // SAFETY: F11, the fake's metrics need no configuration behind the pointer.
        let handle = unsafe { HttpFilterConfigHandle::from_raw(Arc::clone(&address)) };
        (address, handle)
    }

    fn some_config() -> *mut c_void {
        ptr::without_provenance_mut(0x40)
    }

    #[test]
    fn a_defined_counter_can_be_updated() {
        let envoy = FakeEnvoy::install();
        let (_address, handle) = handle(some_config());
        let id = handle.define_counter(b"hits", &[b"path"]).unwrap();
        handle.increment_counter(id, &[b"/"], 3).unwrap();
        assert_eq!(envoy.defined_metrics(), ["hits"]);
        assert_eq!(
            envoy.metric_updates(),
            [MetricUpdate { what: "increment_counter", id: id.0, labels: vec!["/".to_owned()], value: 3 }]
        );
    }

    #[test]
    fn a_refusal_says_why() {
        let envoy = FakeEnvoy::install();
        let (_address, handle) = handle(some_config());
        envoy.freeze_metrics();
        assert_eq!(handle.define_gauge(b"late", &[]), Err(MetricError::Frozen));
        assert_eq!(handle.set_gauge(MetricId(77), &[], 1), Err(MetricError::NotFound));
    }

    #[test]
    fn an_envoy_without_updates_says_that_they_are_unavailable() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.http_filter_config_set_gauge = None);
        let (_address, handle) = handle(some_config());
        let id = handle.define_gauge(b"level", &[]).unwrap();
        assert_eq!(handle.set_gauge(id, &[], 1), Err(MetricError::Unavailable));
    }

    #[test]
    fn a_handle_outlives_its_configuration_and_does_nothing() {
        let envoy = FakeEnvoy::install();
        let (address, handle) = handle(some_config());
        let id = handle.define_counter(b"hits", &[]).unwrap();
        address.close();
        assert_eq!(handle.increment_counter(id, &[], 1), Err(MetricError::Unavailable));
        assert_eq!(handle.define_counter(b"more", &[]), Err(MetricError::Unavailable));
        assert!(envoy.metric_updates().is_empty());
    }
}
