//! Envoy's bootstrap extension: pages on the admin endpoint, a start-up that waits for plugins, and a service.
//!
//! A service is a plugin that runs without a filter (`WasmService`). It has VMs of its own, one for the process
//! (`singleton`) or one for each worker, that no stream enters: what runs in them are ticks, messages on queues and replies
//! to callouts, on the agenda's thread. Data and queues it shares with the filters whose plugins have its `vm_id`. An
//! extension may have none.

use std::sync::Arc;

use super::admin::{Answer, Desk, Pages};
use super::callouts::{Carrier, Carrying};
use super::loading::{self, Held};
use super::metrics::{Outlet, Place};
use super::module::{self, Module};
use super::start_up::StartUp;
use crate::abi::{BootstrapHandle, CallEvent};
use crate::config;
use crate::lifecycle::registry::Use;
use crate::telemetry::{self, Level};

/// See the module's text. Main thread.
#[derive(Debug)]
pub struct Service {
    envoy: BootstrapHandle,
    /// The plugin's, held so that its VMs live.
    slot: Option<Held>,
    carrying: Carrying,
    /// The metrics of its plugin, and a way to Envoy for those of everybody that Envoy takes from extensions alone.
    outlet: Outlet,
    pages: Pages,
    start_up: StartUp,
}

impl Service {
    /// `on_bootstrap_extension_config_new`: loads the plugin, if there is one. `None` refuses the configuration; the reason
    /// is one line in the log.
    pub fn new(envoy: BootstrapHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let service = loading::accepted(config::parse_service(&String::from_utf8_lossy(name), config))?;
        let carrying = Carrying::new(Carrier::bootstrap(envoy.clone()));
        let place = Place::Service(envoy.clone());
        let (slot, outlet) = if let Some(plugin) = service.plugin {
            let (purpose, how_often) = if service.is_singleton {
                (Use::Singleton, "once in the process")
            } else {
                (Use::Service, "once for each worker")
            };
            let loading::Loaded { plugin, slot, module } = loading::start(purpose, plugin, &carrying)?;
            let outlet = Outlet::open(&module.services.metrics, place, &slot.metrics());
            telemetry::log_plugin(Level::Info, &plugin.name, format_args!("runs as a service, {how_often}"));
            (Some(slot), outlet)
        } else {
            let module = started()?;
            carrying.begin(&module.services.calls);
            (None, Outlet::open(&module.services.metrics, place, &[]))
        };
        let pages = Pages::open(envoy.clone(), service.extension.admin);
        let start_up = StartUp::begin(envoy.clone(), service.extension.startup_wait);
        Some(Arc::new(Self { envoy, slot, carrying, outlet, pages, start_up }))
    }

    /// Clusters are ready: calls that waited go out.
    pub fn on_server_initialized(&self) {
        if let Ok(module) = module::module() {
            module.services.calls.release();
            self.start_up.on_server_initialized(module);
        }
    }

    /// `on_bootstrap_extension_shutdown`, while Envoy is whole.
    pub fn on_shutdown(&self) {
        self.pages.close();
        self.start_up.end();
        if let Ok(module) = module::module() {
            module.services.calls.shut_down();
        }
    }

    /// Somebody asks for a page of Graft's on the admin endpoint. Answers with a status of HTTP.
    pub fn on_admin_request(&self, method: &[u8], target: &[u8]) -> u32 {
        let Answer { status, body } = match started() {
            Some(module) => {
                let totals = |plugin: &str| module.services.metrics.totals(plugin);
                let is_starting = self.start_up.is_under_way();
                Desk { registry: &module.registry, totals: &totals, is_starting }.answer(method, target)
            }
            None => return 500,
        };
        self.envoy.set_admin_response(body.as_bytes());
        status
    }

    /// `on_bootstrap_extension_config_scheduled`: commands for calls have come, or updates of metrics, or plugins that
    /// start-up waits for.
    pub fn on_scheduled(&self) {
        self.carrying.on_scheduled();
        self.outlet.on_scheduled();
        self.start_up.on_scheduled();
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
        if let Some(slot) = &self.slot {
            slot.release();
        }
    }
}

/// What the process has once. Why it has not is one line in the log.
fn started() -> Option<&'static Module> {
    let tell = |error: &_| telemetry::log(Level::Error, format_args!("graft: {error}"));
    module::module().inspect_err(tell).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::FakeEnvoy;

    /// An Envoy that is going to serve.
    fn install() -> FakeEnvoy {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.is_validation_mode = None);
        envoy
    }

    fn has_begun(envoy: &FakeEnvoy) -> bool {
        envoy.told_of_calls().iter().any(|told| told == "init complete")
    }

    #[test]
    fn envoy_waits_for_the_signal_of_an_extension_without_a_plugin_and_shows_its_pages() {
        let envoy = install();
        let config = envoy.config();
        let service = Service::new(config.handle_of(), b"graft", b"").unwrap();
        assert!(!has_begun(&envoy));
        service.on_scheduled();
        assert!(!has_begun(&envoy), "filters are not there before the server is initialized");
        assert_eq!(service.on_admin_request(b"GET", b"/graft"), 200);
        assert!(envoy.take_admin_response().contains("start-up waits"));

        service.on_server_initialized();
        assert!(!has_begun(&envoy), "listeners of a file come with the next turn of the loop");
        // Plugins of other tests in this process may be under way.
        while !has_begun(&envoy) {
            service.on_scheduled();
            std::thread::yield_now();
        }
        assert_eq!(service.on_admin_request(b"POST", b"/graft/reload"), 400);
        assert!(envoy.take_admin_response().starts_with("plugin: missing"));
        assert_eq!(service.on_admin_request(b"GET", b"/graft"), 200);
        assert!(!envoy.take_admin_response().contains("start-up waits"));
        service.on_scheduled();
        service.on_shutdown();
        assert!(!has_begun(&envoy), "once is enough");
        assert!(envoy.admin_pages().is_empty());
        service.on_destroy();
        config.close();
    }

    #[test]
    fn nothing_is_waited_for_where_that_is_not_wanted_and_no_longer_than_envoy_lives() {
        let envoy = install();
        let config = envoy.config();
        let settings = br#"{"graft": {"startup_wait": "0s", "admin": false}}"#;
        let service = Service::new(config.handle_of(), b"graft", settings).unwrap();
        assert!(has_begun(&envoy) && envoy.admin_pages().is_empty());
        service.on_destroy();
        config.close();

        let config = envoy.config();
        let service = Service::new(config.handle_of(), b"graft", b"{}").unwrap();
        assert!(!has_begun(&envoy));
        service.on_shutdown();
        assert!(has_begun(&envoy));
        service.on_destroy();
        config.close();
    }
}
