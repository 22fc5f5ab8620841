//! Loading a plugin for an object of Envoy's: its configuration is parsed, and the registry makes or finds it.
//!
//! Whatever is refused is one line in the log, and Envoy refuses the configuration.

use std::sync::Arc;

use super::callouts::Carrying;
use super::module::{self, Module};
use super::stream::EnvoyStream;
use crate::config::{self, ConfigError, PluginConfig};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::registry::Use;
use crate::telemetry::{self, Level};

/// A plugin that is loaded.
pub(super) struct Loaded {
    pub(super) plugin: PluginConfig,
    pub(super) generation: Arc<Generation<EnvoyStream>>,
    pub(super) module: &'static Module,
}

/// Loads a plugin for streams, from the name and the bytes of a configuration. `carrying` can make the calls that the
/// plugin makes while it is configured.
pub(super) fn load(name: &[u8], config: &[u8], carrying: &Carrying) -> Option<Loaded> {
    let plugin = accepted(config::parse_plugin(&String::from_utf8_lossy(name), config))?;
    start(Use::Filter, plugin, carrying)
}

/// What was parsed, unless it was refused.
pub(super) fn accepted<T>(parsed: Result<T, ConfigError>) -> Option<T> {
    parsed.inspect_err(|error| telemetry::log(Level::Error, format_args!("graft: {error}"))).ok()
}

/// Loads a plugin whose configuration is parsed.
pub(super) fn start(purpose: Use, plugin: PluginConfig, carrying: &Carrying) -> Option<Loaded> {
    match find(purpose, &plugin, carrying) {
        Ok((module, generation)) => Some(Loaded { plugin, generation, module }),
        Err(error) => {
            telemetry::log(Level::Error, format_args!("graft: {}", error.describe(&plugin)));
            None
        }
    }
}

type Found = (&'static Module, Arc<Generation<EnvoyStream>>);

fn find(purpose: Use, plugin: &PluginConfig, carrying: &Carrying) -> Result<Found, LoadError> {
    let module = module::module()?;
    carrying.begin(&module.services.calls);
    let generation = module.registry.load(purpose, plugin)?;
    let template = generation.pool().template();
    telemetry::log_plugin(
        Level::Info,
        &plugin.name,
        format_args!("loaded code sha256:{} (Proxy-Wasm {})", template.code().digest(), template.abi()),
    );
    Ok((module, generation))
}
