//! Where a configuration of Envoy's is, while there is one, and what brings events to it.
//!
//! Filter configurations, access loggers and the bootstrap extension have the same life: Envoy makes one on its main
//! thread and frees it after `config_destroy`, on whichever thread had its last user, while threads of ours may be about to
//! ask it something. So whoever asks holds the address's lock, and `config_destroy` takes the address away under it.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use parking_lot::RwLock;

use super::types::MetricError;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct ConfigAddress {
    envoy: RwLock<Option<usize>>,
    /// Envoy's main thread.
    made_on: ThreadId,
}

impl ConfigAddress {
    /// The address of a configuration that is being made on this thread.
    pub(super) fn new(envoy: *mut c_void) -> Arc<Self> {
        let envoy = (!envoy.is_null()).then(|| envoy.expose_provenance());
        Arc::new(Self { envoy: RwLock::new(envoy), made_on: thread::current().id() })
    }

    /// Envoy's configuration goes: everything that is asked of it is refused from now on.
    pub(super) fn close(&self) {
        *self.envoy.write() = None;
    }

    /// Runs a definition on Envoy's configuration. Alone: Envoy's list of definitions has no lock of its own.
    pub(super) fn with_definitions<T>(
        &self,
        define: impl FnOnce(*mut c_void) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        let envoy = self.envoy.write();
        define(pointer(envoy.ok_or(MetricError::Unavailable)?))
    }

    /// Runs an update on Envoy's configuration, which stays until it is done.
    pub(super) fn with_updates<T>(
        &self,
        update: impl FnOnce(*mut c_void) -> Result<T, MetricError>,
    ) -> Result<T, MetricError> {
        self.with(update).unwrap_or(Err(MetricError::Unavailable))
    }

    /// Runs a body with Envoy's configuration, if it lives.
    pub(super) fn with<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        // Recursive: Envoy may come back while the lock is held, and that must not wait behind who wants to write.
        let envoy = self.envoy.read_recursive();
        envoy.map(|envoy| body(pointer(envoy)))
    }

    /// Whether this is Envoy's main thread.
    pub(super) fn is_on_main(&self) -> bool {
        thread::current().id() == self.made_on
    }

    /// The same for what only the main thread may do: `None` on every other.
    pub(super) fn on_main<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        if !self.is_on_main() {
            return None;
        }
        self.with(body)
    }
}

fn pointer(address: usize) -> *mut c_void {
    ptr::with_exposed_provenance_mut(address)
}

/// Envoy's three functions for the scheduler of one kind of configuration.
#[derive(Debug, Clone, Copy)]
pub(super) struct SchedulerCallbacks {
    pub(super) new: Option<unsafe extern "C" fn(*mut c_void) -> *mut c_void>,
    pub(super) commit: Option<unsafe extern "C" fn(*mut c_void, u64)>,
    pub(super) delete: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// Brings `on_*_config_scheduled` to a configuration, on the main thread.
#[derive(Debug)]
pub struct ConfigScheduler {
    address: Arc<ConfigAddress>,
    /// Envoy's scheduler, as an address: `Send` without a promise of ours.
    scheduler: usize,
    callbacks: SchedulerCallbacks,
}

impl ConfigScheduler {
    /// A scheduler for a configuration. `None` where there is none, or the configuration is gone.
    pub(super) fn new(address: &Arc<ConfigAddress>, callbacks: SchedulerCallbacks) -> Option<Self> {
        let new = callbacks.new?;
        // SAFETY: F2, F11 under the lock.
        let scheduler = address.with(|envoy| unsafe { new(envoy) })?;
        (!scheduler.is_null()).then(|| Self {
            address: Arc::clone(address),
            scheduler: scheduler.expose_provenance(),
            callbacks,
        })
    }

    /// Asks for the hook, with a number, from any thread. False if the configuration is gone.
    pub fn commit(&self, event_id: u64) -> bool {
        let Some(commit) = self.callbacks.commit else { return false };
        // SAFETY: F2, F12; the configuration lives while its address is locked.
        self.address.with(|_alive| unsafe { commit(pointer(self.scheduler), event_id) }).is_some()
    }
}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        if let Some(delete) = self.callbacks.delete {
            // SAFETY: F2, F12.
            unsafe { delete(pointer(self.scheduler)) };
        }
    }
}
