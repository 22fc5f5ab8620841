//! The handle of a bootstrap extension's configuration: start-up, calls without a filter, events for the main thread.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use super::buffer::{LentHeaders, lend};
use super::call_event::{self, CallRefusal, CallRequest};
use super::http_config::ConfigAddress;
use super::table::callbacks;

/// A bootstrap extension's configuration. Kept and asked on any thread; what only the main thread may do is refused
/// elsewhere. When Envoy has destroyed it, everything is refused.
#[derive(Clone, Debug)]
pub struct BootstrapHandle {
    address: Arc<ConfigAddress>,
    made_on: ThreadId,
}

/// Brings `on_config_scheduled` to the extension. Deleted with it.
#[derive(Debug)]
pub struct BootstrapScheduler {
    scheduler: usize,
}

impl BootstrapHandle {
    /// A handle on what is at this address.
    ///
    /// # Safety
    /// While the address is not closed, Envoy's configuration is there (F11).
    pub(super) unsafe fn from_raw(address: Arc<ConfigAddress>) -> Self {
        Self { address, made_on: thread::current().id() }
    }

    /// Lets Envoy serve. Nothing to do before 1.38.
    pub fn signal_init_complete(&self) {
        if let Some(signal) = callbacks().bootstrap_extension_config_signal_init_complete {
            self.on_main(|envoy| {
                // SAFETY: F2, F11 under the lock, on the main thread.
                unsafe { signal(envoy) };
            });
        }
    }

    /// A scheduler for this extension. `None` before Envoy 1.38.
    pub fn scheduler(&self) -> Option<BootstrapScheduler> {
        let new = callbacks().bootstrap_extension_config_scheduler_new?;
        self.with(|envoy| {
            // SAFETY: F2, F11 under the lock.
            let scheduler: *mut c_void = unsafe { new(envoy) };
            (!scheduler.is_null()).then(|| BootstrapScheduler { scheduler: scheduler.expose_provenance() })
        })?
    }

    /// Asks for `on_config_scheduled`, from any thread. False if the extension is gone.
    pub fn commit(&self, scheduler: &BootstrapScheduler, event_id: u64) -> bool {
        let Some(commit) = callbacks().bootstrap_extension_config_scheduler_commit else { return false };
        self.with(|_alive| {
            // SAFETY: F2, F12; the extension lives while its address is locked.
            unsafe { commit(ptr::with_exposed_provenance_mut(scheduler.scheduler), event_id) };
        })
        .is_some()
    }

    /// Starts a call whose answer comes at once, without trailers.
    ///
    /// # Errors
    /// Why it was not started; on another thread than the main thread it is never.
    pub fn start_call(&self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().bootstrap_extension_http_callout.ok_or(CallRefusal::Failed)?;
        self.on_main(|envoy| {
            let mut headers = LentHeaders::new(request.headers);
            let mut number = 0;
            // SAFETY: F2, F9, F11 under the lock, on the main thread.
            let result = unsafe {
                start(
                    envoy,
                    ptr::from_mut(&mut number),
                    lend(request.cluster),
                    headers.as_mut_ptr(),
                    headers.len(),
                    lend(request.body),
                    request.timeout,
                )
            };
            call_event::started(result, number)
        })
        .unwrap_or(Err(CallRefusal::Failed))
    }

    fn on_main<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        if thread::current().id() != self.made_on {
            return None;
        }
        self.with(body)
    }

    fn with<T>(&self, body: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        // Recursive: Envoy may come back while the lock is held, and that must not wait behind who wants to write.
        let address = self.address.0.read_recursive();
        address.map(|envoy| body(ptr::with_exposed_provenance_mut(envoy)))
    }
}

impl Drop for BootstrapScheduler {
    fn drop(&mut self) {
        if let Some(delete) = callbacks().bootstrap_extension_config_scheduler_delete {
            // SAFETY: F2, F12.
            unsafe { delete(ptr::with_exposed_provenance_mut(self.scheduler)) };
        }
    }
}
