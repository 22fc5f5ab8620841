//! The configuration of a network filter: its metrics, which have no labels, and its scheduler.

use std::sync::Arc;

use super::super::config_address::{ConfigAddress, ConfigScheduler, SchedulerCallbacks};
use super::super::config_metrics;
use super::super::hook::ConfigHandle;
use super::super::table::callbacks;
use super::super::types::{MetricError, MetricId};

/// A configuration of Envoy's, with the manners of [`HttpFilterConfigHandle`](crate::abi::HttpFilterConfigHandle).
#[derive(Clone, Debug)]
pub struct ConnectionConfigHandle {
    address: Arc<ConfigAddress>,
}

impl ConfigHandle for ConnectionConfigHandle {
    const NEW: &'static str = "on_network_filter_config_new";

    unsafe fn at(address: Arc<ConfigAddress>) -> Self {
        Self { address }
    }
}

impl ConnectionConfigHandle {
    /// Defines a counter. Possible only until `config_new` returns.
    pub fn define_counter(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().network_filter_config_define_counter, name)
    }

    /// Defines a gauge.
    pub fn define_gauge(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().network_filter_config_define_gauge, name)
    }

    /// Defines a histogram.
    pub fn define_histogram(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        config_metrics::define_plain(&self.address, callbacks().network_filter_config_define_histogram, name)
    }

    /// Whether this Envoy takes updates here: not before 1.39.
    pub fn takes_updates(&self) -> bool {
        callbacks().network_filter_config_increment_counter.is_some()
    }

    /// A scheduler for this configuration. `None` if the configuration is gone.
    pub fn scheduler(&self) -> Option<ConfigScheduler> {
        let table = callbacks();
        let callbacks = SchedulerCallbacks {
            new: table.network_filter_config_scheduler_new,
            commit: table.network_filter_config_scheduler_commit,
            delete: table.network_filter_config_scheduler_delete,
        };
        ConfigScheduler::new(&self.address, callbacks)
    }

    /// Adds to a counter.
    pub fn increment_counter(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        let update = callbacks().network_filter_config_increment_counter;
        config_metrics::update_plain(&self.address, update, id, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        let update = callbacks().network_filter_config_increment_gauge;
        config_metrics::update_plain(&self.address, update, id, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        let update = callbacks().network_filter_config_decrement_gauge;
        config_metrics::update_plain(&self.address, update, id, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        config_metrics::update_plain(&self.address, callbacks().network_filter_config_set_gauge, id, value)
    }

    /// Records a value in a histogram. On the main thread alone: Envoy keeps samples by thread, and knows its own alone.
    pub fn record_histogram(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        let update = callbacks().network_filter_config_record_histogram_value;
        let update = update.filter(|_| self.address.is_on_main());
        config_metrics::update_plain(&self.address, update, id, value)
    }
}
