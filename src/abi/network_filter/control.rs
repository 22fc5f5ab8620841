//! What ends and resumes a connection, its metrics, and its scheduler.
//!
//! Closing and resuming *re-enter*: before they return Envoy may call other hooks of the same filter, and destroy it.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::super::buffer::lend;
use super::super::gate::{self, Gate};
use super::super::table::callbacks;
use super::super::types::{MetricError, MetricId};
use super::{ConnectionHandle, raw};

type Update = unsafe extern "C" fn(*mut c_void, usize, u64) -> raw::envoy_dynamic_module_type_metrics_result;

impl ConnectionHandle {
    /// Closes the connection to the client when what was written to it has left. `details` says why, for access logs.
    pub fn close(&mut self, details: &[u8]) {
        let how = raw::envoy_dynamic_module_type_network_connection_close_type_FlushWrite;
        let (Some(close), Some(envoy)) = (callbacks().network_filter_close_with_details, self.envoy()) else {
            return;
        };
        // SAFETY: F2, F3, F9.
        unsafe { close(envoy, how, lend(details)) }
    }

    /// Resumes what comes from the client, after a hook that stopped it.
    pub fn continue_reading(&mut self) {
        let (Some(resume), Some(envoy)) = (callbacks().network_filter_continue_reading, self.envoy()) else {
            return;
        };
        // SAFETY: F2, F3.
        unsafe { resume(envoy) }
    }

    /// Adds to a counter of this filter's configuration.
    pub fn increment_counter(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        self.update(callbacks().network_filter_increment_counter, id, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        self.update(callbacks().network_filter_increment_gauge, id, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        self.update(callbacks().network_filter_decrement_gauge, id, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        self.update(callbacks().network_filter_set_gauge, id, value)
    }

    /// Records a value in a histogram.
    pub fn record_histogram(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
        self.update(callbacks().network_filter_record_histogram_value, id, value)
    }

    fn update(&self, update: Option<Update>, id: MetricId, value: u64) -> Result<(), MetricError> {
        let update = update.ok_or(MetricError::Unavailable)?;
        let envoy = self.envoy().ok_or(MetricError::Unavailable)?;
        // SAFETY: F2, F3.
        MetricError::check(unsafe { update(envoy, id.0, value) })
    }

    /// A scheduler for this connection. `None` if the handle is closed.
    pub fn scheduler(&self) -> Option<ConnectionScheduler> {
        let new = callbacks().network_filter_scheduler_new?;
        let envoy = self.envoy()?;
        let gate = gate::of_filter(self.pass.filter()?)?;
        // SAFETY: F2, F3.
        let scheduler: *mut c_void = unsafe { new(envoy) };
        (!scheduler.is_null()).then(|| ConnectionScheduler {
            scheduler: scheduler.expose_provenance(),
            made_on: thread::current().id(),
            gate,
        })
    }
}

/// Whether connections can be asked for from any thread; before Envoy 1.39 only from their own.
pub fn can_wake_connections() -> bool {
    // A callback that came with the release that fixed the race.
    callbacks().get_log_level.is_some()
}

/// Brings `on_scheduled` to a connection. With the rules of a stream's [`Scheduler`](crate::abi::Scheduler).
#[derive(Debug)]
pub struct ConnectionScheduler {
    scheduler: usize,
    made_on: ThreadId,
    /// Whether the connection lives; see there.
    gate: Arc<Gate>,
}

impl ConnectionScheduler {
    /// Asks for `on_scheduled`. False if it cannot be asked for from here: before Envoy 1.39 only from the worker of the
    /// connection. Or if the connection is gone.
    pub fn commit(&self) -> bool {
        let Some(commit) = callbacks().network_filter_scheduler_commit else { return false };
        if !can_wake_connections() && thread::current().id() != self.made_on {
            return false;
        }
        let scheduler = ptr::with_exposed_provenance_mut(self.scheduler);
        // SAFETY: F2, F12; the connection lives inside its gate.
        self.gate.through(|| unsafe { commit(scheduler, 0) }).is_some()
    }
}

impl Drop for ConnectionScheduler {
    fn drop(&mut self) {
        if let Some(delete) = callbacks().network_filter_scheduler_delete {
            // SAFETY: F2, F12.
            unsafe { delete(ptr::with_exposed_provenance_mut(self.scheduler)) };
        }
    }
}
