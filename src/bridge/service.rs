//! A service: a plugin that runs without a filter, as Envoy's bootstrap extension (`WasmService`).
//!
//! It has VMs of its own, one for the process (`singleton`) or one for each worker, that no stream enters: what runs in
//! them are ticks, messages on queues and replies to callouts, on the agenda's thread. Data and queues it shares with the
//! filters whose plugins have its `vm_id`.

use std::sync::Arc;

use super::callouts::Carrier;
use super::module;
use super::stream::EnvoyStream;
use crate::abi::{BootstrapHandle, CallEvent};
use crate::config;
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::registry::Use;
use crate::telemetry::{self, Level};

/// See the module's text. Main thread.
#[derive(Debug)]
pub struct Service {
    /// Held, so that its VMs live.
    _generation: Arc<Generation<EnvoyStream>>,
    carrier: Option<Arc<Carrier>>,
}

impl Service {
    /// `on_bootstrap_extension_config_new`: loads the plugin, then lets Envoy serve. `None` refuses the configuration;
    /// the reason is one line in the log.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn new(envoy: BootstrapHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let name = String::from_utf8_lossy(name);
        let service = match config::parse_service(&name, config) {
            Ok(service) => service,
            Err(error) => {
                telemetry::log(Level::Error, format_args!("graft: {error}"));
                return None;
            }
        };
        match Self::load(&envoy, &service) {
            Ok(loaded) => {
                // Without this Envoy would never serve.
                envoy.signal_init_complete();
                Some(Arc::new(loaded))
            }
            Err(error) => {
                telemetry::log(Level::Error, format_args!("graft: {}", error.describe(&service.plugin)));
                None
            }
        }
    }

    fn load(envoy: &BootstrapHandle, service: &config::ServiceConfig) -> Result<Self, LoadError> {
        let module = module::module()?;
        let calls = &module.services.calls;
        let carrier = Carrier::bootstrap(envoy.clone());
        if let Some(carrier) = &carrier {
            // Clusters are not ready before Envoy says so.
            calls.hold();
            calls.add(carrier);
        }
        let purpose = if service.is_singleton { Use::Singleton } else { Use::Service };
        let generation = module.registry.load_for(purpose, &service.plugin).inspect_err(|_refused| {
            if let Some(carrier) = &carrier {
                calls.remove(carrier);
            }
        })?;
        telemetry::log_plugin(
            Level::Info,
            &service.plugin.name,
            format_args!(
                "runs as a service, {}: code sha256:{}",
                if service.is_singleton { "once in the process" } else { "once for each worker" },
                generation.pool().template().code().digest()
            ),
        );
        Ok(Self { _generation: generation, carrier })
    }

    /// Clusters are ready: calls that waited go out.
    pub fn on_server_initialized(&self) {
        if let Ok(module) = module::module() {
            module.services.calls.release();
        }
    }

    /// `on_bootstrap_extension_config_scheduled`: commands for calls have come.
    pub fn on_scheduled(&self) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.on_scheduled(carrier);
        }
    }

    /// Envoy tells something of a call of this extension.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn on_call_event(&self, number: u64, event: CallEvent<'_>) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.on_event(carrier, number, &event);
        }
    }

    /// `on_bootstrap_extension_config_destroy`: Envoy ends.
    pub fn on_destroy(&self) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.remove(carrier);
        }
    }
}
