//! The configuration of a network filter: its metrics. They have no labels, and are updated through connections.

use std::ffi::c_void;
use std::sync::Arc;

use super::super::buffer::lend;
use super::super::config_address::ConfigAddress;
use super::super::hook::ConfigHandle;
use super::super::table::callbacks;
use super::super::types::{MetricError, MetricId};
use super::raw;

/// A configuration of Envoy's, with the manners of [`HttpFilterConfigHandle`](crate::abi::HttpFilterConfigHandle).
#[derive(Debug)]
pub struct ConnectionConfigHandle {
    address: Arc<ConfigAddress>,
}

type Define = unsafe extern "C" fn(
    *mut c_void,
    raw::envoy_dynamic_module_type_module_buffer,
    *mut usize,
) -> raw::envoy_dynamic_module_type_metrics_result;

impl ConfigHandle for ConnectionConfigHandle {
    const NEW: &'static str = "on_network_filter_config_new";

    unsafe fn at(address: Arc<ConfigAddress>) -> Self {
        Self { address }
    }
}

impl ConnectionConfigHandle {
    /// Defines a counter. Possible only until `config_new` returns.
    pub fn define_counter(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        self.define(callbacks().network_filter_config_define_counter, name)
    }

    /// Defines a gauge.
    pub fn define_gauge(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        self.define(callbacks().network_filter_config_define_gauge, name)
    }

    /// Defines a histogram.
    pub fn define_histogram(&self, name: &[u8]) -> Result<MetricId, MetricError> {
        self.define(callbacks().network_filter_config_define_histogram, name)
    }

    fn define(&self, define: Option<Define>, name: &[u8]) -> Result<MetricId, MetricError> {
        let define = define.ok_or(MetricError::Unavailable)?;
        self.address.with_definitions(|envoy| {
            let mut id = 0;
            // SAFETY: F2, F9, F11 under the lock.
            let result = unsafe { define(envoy, lend(name), &raw mut id) };
            MetricError::check(result).map(|()| MetricId(id))
        })
    }
}
