//! A filter configuration: one use of a plugin in one filter chain.

use std::sync::Arc;

use super::callouts::{Carrier, Carrying};
use super::failing::Failing;
use super::loading::{self, Held};
use super::metrics::{Outlet, Place};
use super::route_config;
use crate::abi::{CallEvent, HttpFilterConfigHandle};
use crate::config::FailurePolicy;
use crate::telemetry::{self, Level};

/// See the module's text. Made on the main thread; read by all workers.
#[derive(Debug)]
pub struct HttpConfig {
    /// Name of the plugin, for logs.
    pub name: String,
    /// Where the generations are that streams begin on.
    pub(super) slot: Held,
    /// What happens to a stream whose plugin failed.
    pub failure_policy: FailurePolicy,
    /// Those streams.
    pub(super) failing: Failing,
    /// What Envoy calls the plugin's metrics here, and a way to it without a stream.
    pub(super) outlet: Outlet,
    /// Calls of root contexts can be made on this configuration, if this Envoy has such calls.
    carrying: Carrying,
}

impl HttpConfig {
    /// `on_http_filter_config_new`: loads the plugin. `None` refuses the configuration; the reason is one line in the
    /// log.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn new(envoy: HttpFilterConfigHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let carrying = Carrying::new(Carrier::new(envoy.clone()));
        let loading::Loaded { plugin, slot, module } = loading::load(name, config, &carrying)?;
        let outlet = Outlet::open(&module.services.metrics, Place::Filter(envoy), &slot.metrics());
        let failing = Failing::new(module, &plugin.name, plugin.failure_policy);
        let loaded = Arc::new(Self {
            name: plugin.name,
            failing,
            slot,
            failure_policy: plugin.failure_policy,
            outlet,
            carrying,
        });
        if let Err(error) = route_config::configured(&loaded) {
            telemetry::log(Level::Error, format_args!("graft: {error}"));
            return None;
        }
        Some(loaded)
    }

    /// `on_http_filter_config_scheduled`: commands for calls have come, or updates of metrics. Main thread.
    pub fn on_scheduled(&self) {
        self.carrying.on_scheduled();
        self.outlet.on_scheduled();
    }

    /// Envoy tells something of a call of this configuration. Main thread.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn on_call_event(&self, number: u64, event: CallEvent<'_>) {
        self.carrying.on_event(number, &event);
    }

    /// `on_http_filter_config_destroy`: Envoy's configuration is gone; streams may still hold this one.
    pub fn on_destroy(&self) {
        self.carrying.end();
        self.outlet.close();
        self.slot.release();
    }
}
