//! The handle of a bootstrap extension's configuration: start-up, pages of the admin endpoint, calls and metrics without a
//! filter, events for the main thread.

use std::sync::Arc;

use super::buffer::lend;
use super::call_event::{self, CallRefusal, CallRequest};
use super::config_address::{ConfigAddress, ConfigScheduler, SchedulerCallbacks};
use super::config_metrics;
use super::hook::ConfigHandle;
use super::table::{Callbacks, callbacks};
use super::types::{MetricError, MetricId};

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

    /// Puts a page on Envoy's admin endpoint, under a path that requests have up to their query. `mutates`: it is for POST
    /// alone. False: there is no endpoint, the path is taken, or Envoy is older than 1.38.
    pub fn add_admin_page(&self, path: &str, help: &str, mutates: bool) -> bool {
        let Some(add) = callbacks().bootstrap_extension_register_admin_handler else { return false };
        let (path, help) = (path.as_bytes(), help.as_bytes());
        // SAFETY: F2, F9, F11 under the lock, on the main thread.
        let added =
            self.address.on_main(|envoy| unsafe { add(envoy, lend(path), lend(help), true, mutates) });
        added.unwrap_or(false)
    }

    /// Takes one away again. Envoy keeps the configuration as long as it has one.
    pub fn remove_admin_page(&self, path: &str) {
        if let Some(remove) = callbacks().bootstrap_extension_remove_admin_handler {
            self.address.on_main(|envoy| {
                // SAFETY: F2, F9, F11 under the lock, on the main thread.
                unsafe { remove(envoy, lend(path.as_bytes())) }
            });
        }
    }

    /// The body of the answer to a request for one of the pages, while that is being handled.
    pub fn set_admin_response(&self, body: &[u8]) {
        if let Some(set) = callbacks().bootstrap_extension_admin_set_response {
            self.address.on_main(|envoy| {
                // SAFETY: F2, F9, F11 under the lock, on the main thread.
                unsafe { set(envoy, lend(body)) };
            });
        }
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

    /// Defines a counter. `labels` names its labels, and each update gives their values.
    pub fn define_counter(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().bootstrap_extension_config_define_counter, name, labels)
    }

    /// Defines a gauge.
    pub fn define_gauge(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().bootstrap_extension_config_define_gauge, name, labels)
    }

    /// Defines a histogram.
    pub fn define_histogram(&self, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        self.define(callbacks().bootstrap_extension_config_define_histogram, name, labels)
    }

    /// Whether this Envoy takes updates here: not before 1.38.
    pub fn takes_updates(&self) -> bool {
        callbacks().bootstrap_extension_config_increment_counter.is_some()
    }

    /// Adds to a counter. This and the other updates: on the main thread alone.
    pub fn increment_counter(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.bootstrap_extension_config_increment_counter, id, labels, value)
    }

    /// Adds to a gauge.
    pub fn increment_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.bootstrap_extension_config_increment_gauge, id, labels, value)
    }

    /// Subtracts from a gauge.
    pub fn decrement_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.bootstrap_extension_config_decrement_gauge, id, labels, value)
    }

    /// Sets a gauge.
    pub fn set_gauge(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.bootstrap_extension_config_set_gauge, id, labels, value)
    }

    /// Records a value in a histogram.
    pub fn record_histogram(&self, id: MetricId, labels: &[&[u8]], value: u64) -> Result<(), MetricError> {
        self.update(|table| table.bootstrap_extension_config_record_histogram_value, id, labels, value)
    }

    // Envoy keeps label names and values of an extension in a pool without a lock: hence the main thread.

    fn define(
        &self,
        define: Option<config_metrics::Define>,
        name: &[u8],
        labels: &[&[u8]],
    ) -> Result<MetricId, MetricError> {
        let define = define.filter(|_| self.address.is_on_main());
        config_metrics::define(&self.address, define, name, labels)
    }

    fn update(
        &self,
        update: impl FnOnce(&Callbacks) -> Option<config_metrics::Update>,
        id: MetricId,
        labels: &[&[u8]],
        value: u64,
    ) -> Result<(), MetricError> {
        let update = update(callbacks()).filter(|_| self.address.is_on_main());
        config_metrics::update(&self.address, update, id, labels, value)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use std::ptr;

    use super::*;
    use crate::abi::testing::{FakeEnvoy, MetricUpdate};

    #[test]
    fn metrics_are_defined_and_updated_on_the_main_thread_alone() {
        let envoy = FakeEnvoy::install();
        let address = ConfigAddress::new(ptr::without_provenance_mut(0x40));
        // SAFETY: F11, the fake's metrics need no configuration behind the pointer.
        let handle = unsafe { BootstrapHandle::at(Arc::clone(&address)) };
        assert!(handle.takes_updates());
        let id = handle.define_gauge(b"level", &[b"of"]).unwrap();
        handle.set_gauge(id, &[b"sea"], 3).unwrap();
        let expected = MetricUpdate { what: "set_gauge", id: id.0, labels: vec!["sea".to_owned()], value: 3 };
        assert_eq!(envoy.metric_updates(), [expected]);
        let elsewhere = thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let _envoy = FakeEnvoy::install();
                (handle.set_gauge(id, &[b"sea"], 4), handle.define_counter(b"more", &[]))
            });
            elsewhere.join().unwrap()
        });
        assert_eq!(elsewhere, (Err(MetricError::Unavailable), Err(MetricError::Unavailable)));
        address.close();
        assert_eq!(handle.set_gauge(id, &[b"sea"], 5), Err(MetricError::Unavailable));
    }

    #[test]
    fn pages_are_added_answered_and_removed_on_the_main_thread_alone() {
        let envoy = FakeEnvoy::install();
        let config = envoy.config();
        let handle: BootstrapHandle = config.handle_of();
        assert!(handle.add_admin_page("/graft", "state", false));
        assert!(!handle.add_admin_page("/graft", "state", false), "the path is taken");
        assert!(handle.add_admin_page("/graft/reload", "load again", true));
        handle.set_admin_response(b"fine");
        let elsewhere = thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let _envoy = FakeEnvoy::install();
                handle.add_admin_page("/other", "", false)
            });
            elsewhere.join().unwrap()
        });
        assert!(!elsewhere);
        assert_eq!(envoy.admin_pages(), ["/graft: state", "POST /graft/reload: load again"]);
        assert_eq!(envoy.take_admin_response(), "fine");
        handle.remove_admin_page("/graft");
        assert_eq!(envoy.admin_pages(), ["POST /graft/reload: load again"]);
        config.close();
        assert!(!handle.add_admin_page("/graft", "state", false));
    }

    #[test]
    fn an_envoy_without_pages_is_known() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| {
            table.bootstrap_extension_register_admin_handler = None;
            table.bootstrap_extension_remove_admin_handler = None;
            table.bootstrap_extension_admin_set_response = None;
        });
        let handle: BootstrapHandle = envoy.config().handle_of();
        assert!(!handle.add_admin_page("/graft", "state", false));
        handle.set_admin_response(b"fine");
        handle.remove_admin_page("/graft");
        assert_eq!(envoy.take_admin_response(), "");
    }

    #[test]
    fn an_envoy_without_metrics_of_extensions_is_known() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| {
            table.bootstrap_extension_config_define_counter = None;
            table.bootstrap_extension_config_increment_counter = None;
        });
        // SAFETY: F11, as above.
        let handle = unsafe { BootstrapHandle::at(ConfigAddress::new(ptr::without_provenance_mut(0x40))) };
        assert!(!handle.takes_updates());
        assert_eq!(handle.define_counter(b"hits", &[]), Err(MetricError::Unavailable));
    }
}
