//! The configuration of an access logger: its metrics. They have no labels, and are updated through the configuration
//! also while an exchange is logged.

use std::sync::Arc;

use super::super::config_address::ConfigAddress;
use super::super::config_metrics;
use super::super::hook::ConfigHandle;
use super::super::table::callbacks;
use super::super::types::{MetricError, MetricId};

/// A configuration of Envoy's, with the manners of [`HttpFilterConfigHandle`](crate::abi::HttpFilterConfigHandle).
#[derive(Clone, Debug)]
pub struct AccessLogConfigHandle {
    address: Arc<ConfigAddress>,
}

impl ConfigHandle for AccessLogConfigHandle {
    const NEW: &'static str = "on_access_logger_config_new";

    unsafe fn at(address: Arc<ConfigAddress>) -> Self {
        Self { address }
    }
}

impl AccessLogConfigHandle {
    /// Defines a counter. Possible only until `config_new` returns.
    pub fn define_counter(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().access_logger_config_define_counter, name)
    }

    /// Defines a gauge.
    pub fn define_gauge(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().access_logger_config_define_gauge, name)
    }

    /// Defines a histogram.
    pub fn define_histogram(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().access_logger_config_define_histogram, name)
    }

    /// Adds to a counter.
    pub fn increment_counter(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(&self.address, callbacks().access_logger_increment_counter, id, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(&self.address, callbacks().access_logger_increment_gauge, id, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(&self.address, callbacks().access_logger_decrement_gauge, id, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(&self.address, callbacks().access_logger_set_gauge, id, value)
    }

    /// Records a value in a histogram.
    pub fn record_histogram(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(
            &self.address,
            callbacks().access_logger_record_histogram_value,
            id,
            value,
        )
    }
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;
    use crate::abi::testing::{FakeEnvoy, MetricUpdate};

    #[test]
    fn what_is_defined_is_updated_until_the_configuration_goes() {
        let envoy = FakeEnvoy::install();
        let address = ConfigAddress::new(ptr::without_provenance_mut(0x40));
        // SAFETY: F11, the fake's metrics need no configuration behind the pointer.
        let handle = unsafe { AccessLogConfigHandle::at(Arc::clone(&address)) };
        let lines = handle.define_counter(b"lines").unwrap();
        let level = handle.define_gauge(b"level").unwrap();
        let sizes = handle.define_histogram(b"sizes").unwrap();
        handle.increment_counter(lines, 3).unwrap();
        handle.increment_gauge(level, 4).unwrap();
        handle.decrement_gauge(level, 1).unwrap();
        handle.set_gauge(level, 9).unwrap();
        handle.record_histogram(sizes, 7).unwrap();
        let told: Vec<(&str, usize, u64)> = envoy
            .metric_updates()
            .iter()
            .map(|MetricUpdate { what, id, value, .. }| (*what, *id, *value))
            .collect();
        assert_eq!(
            told,
            [
                ("increment_counter", 0, 3),
                ("increment_gauge", 1, 4),
                ("decrement_gauge", 1, 1),
                ("set_gauge", 1, 9),
                ("record_histogram", 2, 7)
            ]
        );
        address.close();
        assert_eq!(handle.increment_counter(lines, 1), Err(MetricError::Unavailable));
        assert_eq!(handle.define_counter(b"more"), Err(MetricError::Unavailable));
    }
}
