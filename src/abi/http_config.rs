//! The handle of a filter configuration: definitions of metrics, their updates without a stream, and calls.

mod calls;

use std::sync::Arc;

pub use calls::has_config_calls;

use super::config_address::ConfigAddress;
use super::config_metrics;
use super::table::callbacks;
use super::types::{MetricError, MetricId};

/// A filter configuration of Envoy.
///
/// It may be kept and used on any thread. When Envoy has destroyed the configuration, or has refused it, everything
/// answers [`MetricError::Unavailable`].
#[derive(Clone, Debug)]
pub struct HttpFilterConfigHandle {
    address: Arc<ConfigAddress>,
}

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
        config_metrics::define(&self.address, callbacks().http_filter_config_define_counter, name, labels)
    }

    /// Defines a gauge, as [`define_counter`](Self::define_counter) does a counter.
    pub fn define_gauge(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        config_metrics::define(&self.address, callbacks().http_filter_config_define_gauge, name, labels)
    }

    /// Defines a histogram, as [`define_counter`](Self::define_counter) does a counter.
    pub fn define_histogram(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        config_metrics::define(&self.address, callbacks().http_filter_config_define_histogram, name, labels)
    }

    /// Whether this Envoy takes updates here: not before 1.39.
    pub fn takes_updates(&self) -> bool {
        callbacks().http_filter_config_increment_counter.is_some()
    }

    /// Adds to a counter. This and the other updates: [`MetricError::Unavailable`] before Envoy 1.39.
    pub fn increment_counter(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        config_metrics::update(
            &self.address,
            callbacks().http_filter_config_increment_counter,
            id,
            labels,
            value,
        )
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        config_metrics::update(
            &self.address,
            callbacks().http_filter_config_increment_gauge,
            id,
            labels,
            value,
        )
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        config_metrics::update(
            &self.address,
            callbacks().http_filter_config_decrement_gauge,
            id,
            labels,
            value,
        )
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        config_metrics::update(&self.address, callbacks().http_filter_config_set_gauge, id, labels, value)
    }

    /// Records a value in a histogram. On the main thread alone: Envoy keeps samples by thread, and knows its own alone.
    pub fn record_histogram(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        let update = callbacks().http_filter_config_record_histogram_value;
        let update = update.filter(|_| self.address.is_on_main());
        config_metrics::update(&self.address, update, id, labels, value)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_void;
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
    fn samples_are_recorded_on_the_main_thread_alone() {
        let envoy = FakeEnvoy::install();
        let (_address, handle) = handle(some_config());
        let id = handle.define_histogram(b"sizes", &[]).unwrap();
        handle.record_histogram(id, &[], 1).unwrap();
        let elsewhere = std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                (handle.record_histogram(id, &[], 2), envoy.metric_updates().len())
            });
            elsewhere.join().unwrap()
        });
        assert_eq!(elsewhere, (Err(MetricError::Unavailable), 0));
        assert_eq!(envoy.metric_updates().len(), 1);
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
