//! A filter configuration: one use of a plugin in one filter chain.

use std::sync::Arc;

use super::callouts::Carrier;
use super::metrics::Ids;
use super::module;
use super::route_config;
use super::stream::EnvoyStream;
use crate::abi::{CallEvent, HttpFilterConfigHandle};
use crate::config::{self, FailurePolicy, PluginConfig};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::telemetry::{self, Level};

/// See the module's text. Made on the main thread; read by all workers.
#[derive(Debug)]
pub struct HttpConfig {
    /// Name of the plugin, for logs.
    pub name: String,
    /// What streams begin on.
    pub generation: Arc<Generation<EnvoyStream>>,
    /// What happens to a stream whose plugin failed.
    pub failure_policy: FailurePolicy,
    /// What Envoy calls the plugin's metrics here.
    pub metric_ids: Ids,
    /// Calls of root contexts can be made on this configuration, if this Envoy has such calls.
    pub(super) carrier: Option<Arc<Carrier>>,
}

impl HttpConfig {
    /// `on_http_filter_config_new`: loads the plugin. `None` refuses the configuration; the reason is one line in the
    /// log.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn new(envoy: HttpFilterConfigHandle, name: &[u8], config: &[u8]) -> Option<Arc<Self>> {
        let filter_name = String::from_utf8_lossy(name);
        let plugin = match config::parse_plugin(&filter_name, config) {
            Ok(plugin) => plugin,
            Err(error) => {
                telemetry::log(Level::Error, format_args!("graft: {error}"));
                return None;
            }
        };
        match Self::load(&envoy, &plugin) {
            Ok(loaded) => {
                let loaded = Arc::new(loaded);
                if let Err(error) = route_config::configured(&loaded) {
                    telemetry::log(Level::Error, format_args!("graft: {error}"));
                    return None;
                }
                Some(loaded)
            }
            Err(error) => {
                telemetry::log(Level::Error, format_args!("graft: {}", error.describe(&plugin)));
                None
            }
        }
    }

    fn load(envoy: &HttpFilterConfigHandle, plugin: &PluginConfig) -> Result<Self, LoadError> {
        let module = module::module()?;
        // Before the plugin starts: it may call while it is configured.
        let carrier = Carrier::new(envoy.clone());
        if let Some(carrier) = &carrier {
            module.services.calls.add(carrier);
        }
        let generation = module.registry.load(plugin).inspect_err(|_refused| {
            if let Some(carrier) = &carrier {
                module.services.calls.remove(carrier);
            }
        })?;
        let metric_ids = Ids::define(envoy, &generation.metrics());
        module.services.metrics.carry_by_config(envoy, &metric_ids);
        let template = generation.pool().template();
        telemetry::log_plugin(
            Level::Info,
            &plugin.name,
            format_args!("loaded code sha256:{} (Proxy-Wasm {})", template.code().digest(), template.abi()),
        );
        Ok(Self {
            name: plugin.name.clone(),
            generation,
            failure_policy: plugin.failure_policy,
            metric_ids,
            carrier,
        })
    }

    /// `on_http_filter_config_scheduled`: commands for calls have come. Main thread.
    pub fn on_scheduled(self: &Arc<Self>) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.on_scheduled(carrier);
        }
    }

    /// Envoy tells something of a call of this configuration. Main thread.
    #[allow(clippy::needless_pass_by_value)] // The seam hands it over.
    pub fn on_call_event(&self, number: u64, event: CallEvent<'_>) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.on_event(carrier, number, &event);
        }
    }

    /// `on_http_filter_config_destroy`: Envoy's configuration is gone; streams may still hold this one.
    pub fn on_destroy(&self) {
        if let (Some(carrier), Ok(module)) = (&self.carrier, module::module()) {
            module.services.calls.remove(carrier);
        }
    }
}
