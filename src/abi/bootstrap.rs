//! The handle of a bootstrap extension's configuration: start-up, calls without a filter, events for the main thread.

use std::sync::Arc;

use super::call_event::{self, CallRefusal, CallRequest};
use super::config_address::{ConfigAddress, ConfigScheduler, SchedulerCallbacks};
use super::hook::ConfigHandle;
use super::table::callbacks;

/// A bootstrap extension's configuration. Kept and asked on any thread; what only the main thread may do is refused
/// elsewhere. When Envoy has destroyed it, everything is refused.
#[derive(Clone, Debug)]
pub struct BootstrapHandle {
    address: Arc<ConfigAddress>,
}

impl ConfigHandle for BootstrapHandle {
    const NEW: &'static str = "on_bootstrap_extension_config_new";

    unsafe fn at(address: Arc<ConfigAddress>) -> Self {
        Self { address }
    }
}

impl BootstrapHandle {
    /// Lets Envoy serve. Nothing to do before 1.38.
    pub fn signal_init_complete(&self) {
        if let Some(signal) = callbacks().bootstrap_extension_config_signal_init_complete {
            self.address.on_main(|envoy| {
                // SAFETY: F2, F11 under the lock, on the main thread.
                unsafe { signal(envoy) };
            });
        }
    }

    /// A scheduler for this extension. `None` before Envoy 1.38.
    pub fn scheduler(&self) -> Option<ConfigScheduler> {
        let table = callbacks();
        let callbacks = SchedulerCallbacks {
            new: table.bootstrap_extension_config_scheduler_new,
            commit: table.bootstrap_extension_config_scheduler_commit,
            delete: table.bootstrap_extension_config_scheduler_delete,
        };
        ConfigScheduler::new(&self.address, callbacks)
    }

    /// Starts a call whose answer comes at once, without trailers.
    ///
    /// # Errors
    /// Why it was not started; on another thread than the main thread it is never.
    pub fn start_call(&self, request: &CallRequest<'_>) -> Result<u64, CallRefusal> {
        let start = callbacks().bootstrap_extension_http_callout.ok_or(CallRefusal::Failed)?;
        self.address
            .on_main(|envoy| {
                // SAFETY: F11 under the lock, on the main thread.
                unsafe { call_event::start_whole(start, envoy, request) }
            })
            .unwrap_or(Err(CallRefusal::Failed))
    }
}
