//! Metrics of configurations. HTTP filters and bootstrap extensions have them with labels, network filters and access
//! loggers without; the callbacks of a sort have one signature.

use std::ffi::c_void;

use super::buffer::{Lent, lend};
use super::config_address::ConfigAddress;
use super::raw;
use super::types::{MetricError, MetricId};

type Name = raw::envoy_dynamic_module_type_module_buffer;
type Outcome = raw::envoy_dynamic_module_type_metrics_result;

/// Defines a metric with labels.
pub(super) type Define = unsafe extern "C" fn(*mut c_void, Name, *mut Name, usize, *mut usize) -> Outcome;
/// Changes one.
pub(super) type Update = unsafe extern "C" fn(*mut c_void, usize, *mut Name, usize, u64) -> Outcome;
/// Defines a metric where there are no labels.
pub(super) type PlainDefine = unsafe extern "C" fn(*mut c_void, Name, *mut usize) -> Outcome;
/// Changes one.
pub(super) type PlainUpdate = unsafe extern "C" fn(*mut c_void, usize, u64) -> Outcome;

/// Defines a metric. `labels` names its labels, and each update gives their values.
pub(super) fn define(
    address: &ConfigAddress,
    define: Option<Define>,
    name: &[u8],
    labels: &[&[u8]],
) -> Result<MetricId, MetricError> {
    let define = define.ok_or(MetricError::Unavailable)?;
    address.with_definitions(|envoy| {
        let mut labels = Lent::new(labels);
        let mut id = 0;
        // SAFETY: F2, F9, F11 under the lock.
        let result = unsafe { define(envoy, lend(name), labels.as_mut_ptr(), labels.len(), &raw mut id) };
        MetricError::check(result).map(|()| MetricId(id))
    })
}

/// Changes a metric.
pub(super) fn update(
    address: &ConfigAddress,
    update: Option<Update>,
    id: MetricId,
    labels: &[&[u8]],
    value: u64,
) -> Result<(), MetricError> {
    let update = update.ok_or(MetricError::Unavailable)?;
    address.with_updates(|envoy| {
        let mut labels = Lent::new(labels);
        // SAFETY: F2, F9, F11 under the lock.
        MetricError::check(unsafe { update(envoy, id.0, labels.as_mut_ptr(), labels.len(), value) })
    })
}

/// Defines a metric where there are no labels.
pub(super) fn define_plain(
    address: &ConfigAddress,
    define: Option<PlainDefine>,
    name: &[u8],
) -> Result<MetricId, MetricError> {
    let define = define.ok_or(MetricError::Unavailable)?;
    address.with_definitions(|envoy| {
        let mut id = 0;
        // SAFETY: F2, F9, F11 under the lock.
        let result = unsafe { define(envoy, lend(name), &raw mut id) };
        MetricError::check(result).map(|()| MetricId(id))
    })
}

/// Changes one.
pub(super) fn update_plain(
    address: &ConfigAddress,
    update: Option<PlainUpdate>,
    id: MetricId,
    value: u64,
) -> Result<(), MetricError> {
    let update = update.ok_or(MetricError::Unavailable)?;
    address.with_updates(|envoy| {
        // SAFETY: F2, F11 under the lock.
        MetricError::check(unsafe { update(envoy, id.0, value) })
    })
}
