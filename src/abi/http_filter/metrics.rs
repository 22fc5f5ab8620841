//! Updates of metrics, on the worker of a stream. They change nothing of the stream, so they take `&self`.

use std::ffi::c_void;

use super::super::buffer::Lent;
use super::super::table::callbacks;
use super::super::types::{MetricError, MetricId};
use super::{HttpFilterHandle, raw};

type Update = unsafe extern "C" fn(
    *mut c_void,
    usize,
    *mut raw::envoy_dynamic_module_type_module_buffer,
    usize,
    u64,
) -> raw::envoy_dynamic_module_type_metrics_result;

impl HttpFilterHandle {
    /// Adds to a counter of this filter's configuration. `labels` has a value for each label that was defined.
    pub fn increment_counter(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(callbacks().http_filter_increment_counter, id, labels, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(callbacks().http_filter_increment_gauge, id, labels, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(callbacks().http_filter_decrement_gauge, id, labels, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(callbacks().http_filter_set_gauge, id, labels, value)
    }

    /// Records a value in a histogram.
    pub fn record_histogram(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(callbacks().http_filter_record_histogram_value, id, labels, value)
    }

    fn update(
        &self,
        update: Option<Update>,
        id: MetricId,
        labels: &[&[u8]],
        value: u64,
    ) -> Result<(), MetricError> {
        let update = update.ok_or(MetricError::Unavailable)?;
        let envoy = self.envoy().ok_or(MetricError::Unavailable)?;
        let mut labels = Lent::new(labels);
        // SAFETY: F2, F3, F9.
        let result = unsafe { update(envoy, id.0, labels.as_mut_ptr(), labels.len(), value) };
        MetricError::check(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream, MetricUpdate};

    #[test]
    fn updates_name_the_metric_and_its_labels() {
        let envoy = FakeEnvoy::install();
        envoy.define_metric("hits");
        envoy.inside_hook(&mut FakeStream::default(), |handle| {
            let id = MetricId(0);
            handle.increment_counter(id, &[b"a", b"b"], 2).unwrap();
            handle.decrement_gauge(id, &[], 1).unwrap();
            assert_eq!(handle.record_histogram(MetricId(9), &[], 5), Err(MetricError::NotFound));
        });
        let labels = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            envoy.metric_updates(),
            [
                MetricUpdate { what: "increment_counter", id: 0, labels, value: 2 },
                MetricUpdate { what: "decrement_gauge", id: 0, labels: Vec::new(), value: 1 },
            ]
        );
    }

    #[test]
    fn a_closed_handle_updates_nothing() {
        let envoy = FakeEnvoy::install();
        envoy.define_metric("hits");
        let mut kept = None;
        envoy.inside_hook(&mut FakeStream::default(), |handle| kept = Some(handle));
        assert_eq!(kept.unwrap().set_gauge(MetricId(0), &[], 1), Err(MetricError::Unavailable));
        assert!(envoy.metric_updates().is_empty());
    }
}
