//! A service: a plugin that runs without a filter, as Envoy's bootstrap extension (`WasmService`).
//!
//! It has VMs of its own, one for the process (`singleton`) or one for each worker, that no stream enters: what runs in
//! them are ticks, messages on queues and replies to callouts, on the agenda's thread. Data and queues it shares with the
//! filters whose plugins have its `vm_id`.

use std::sync::Arc;

use super::callouts::{Carrier, Carrying};
use super::loading::{self, Held};
use super::metrics::{Outlet, Place};
use super::module;
use crate::abi::{BootstrapHandle, CallEvent};
use crate::config;
use crate::lifecycle::registry::Use;
use crate::telemetry::{self, Level};

/// See the module's text. Main thread.
#[derive(Debug)]
pub struct Service {
    /// Held, so that its VMs live.
    slot: Held,
    carrying: Carrying,
    /// Its metrics, and a way to Envoy for those of everybody that Envoy takes from services alone.
    outlet: Outlet,
}

impl Service {
    /// `on_bootstrap_extension_config_new`: loads the plugin, then lets Envoy serve. `None` refuses the configuration;
    /// the reason is one line in the log.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn new(envoy: BootstrapHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let service = loading::accepted(config::parse_service(&String::from_utf8_lossy(name), config))?;
        let (purpose, how_often) = if service.is_singleton {
            (Use::Singleton, "once in the process")
        } else {
            (Use::Service, "once for each worker")
        };
        let carrying = Carrying::new(Carrier::bootstrap(envoy.clone()));
        let loading::Loaded { plugin, slot, module } = loading::start(purpose, service.plugin, &carrying)?;
        let place = Place::Service(envoy.clone());
        let outlet = Outlet::open(&module.services.metrics, place, &slot.metrics());
        // Without this Envoy would never serve.
        envoy.signal_init_complete();
        telemetry::log_plugin(Level::Info, &plugin.name, format_args!("runs as a service, {how_often}"));
        Some(Arc::new(Self { slot, carrying, outlet }))
    }

    /// Clusters are ready: calls that waited go out.
    #[allow(clippy::unused_self)] // Envoy says it to each extension.
    pub fn on_server_initialized(&self) {
        if let Ok(module) = module::module() {
            module.services.calls.release();
        }
    }

    /// `on_bootstrap_extension_shutdown`, while Envoy is whole.
    pub fn on_shutdown(&self) {
        if let Ok(module) = module::module() {
            module.services.calls.shut_down();
        }
    }

    /// `on_bootstrap_extension_config_scheduled`: commands for calls have come, or updates of metrics.
    pub fn on_scheduled(&self) {
        self.carrying.on_scheduled();
        self.outlet.on_scheduled();
    }

    /// Envoy tells something of a call of this extension.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn on_call_event(&self, number: u64, event: CallEvent<'_>) {
        self.carrying.on_event(number, &event);
    }

    /// `on_bootstrap_extension_config_destroy`: Envoy ends.
    pub fn on_destroy(&self) {
        self.carrying.end();
        self.outlet.close();
        self.slot.release();
    }
}
