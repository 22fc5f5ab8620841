//! Loading a plugin for an object of Envoy's: its configuration is parsed, and the registry makes or finds it.

use std::sync::Arc;

use super::module::{self, Module};
use super::stream::EnvoyStream;
use crate::config::{self, PluginConfig};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::generation::Generation;
use crate::telemetry::{self, Level};

/// A plugin that is loaded.
pub(super) struct Loaded {
    pub(super) plugin: PluginConfig,
    pub(super) generation: Arc<Generation<EnvoyStream>>,
    pub(super) module: &'static Module,
}

/// Loads a plugin from the name and the bytes of a configuration. `None`: it is refused, and the reason is one line in
/// the log.
pub(super) fn load(name: &[u8], config: &[u8]) -> Option<Loaded> {
    let plugin = match config::parse_plugin(&String::from_utf8_lossy(name), config) {
        Ok(plugin) => plugin,
        Err(error) => {
            telemetry::log(Level::Error, format_args!("graft: {error}"));
            return None;
        }
    };
    match find(&plugin) {
        Ok((module, generation)) => Some(Loaded { plugin, generation, module }),
        Err(error) => {
            telemetry::log(Level::Error, format_args!("graft: {}", error.describe(&plugin)));
            None
        }
    }
}

type Found = (&'static Module, Arc<Generation<EnvoyStream>>);

fn find(plugin: &PluginConfig) -> Result<Found, LoadError> {
    let module = module::module()?;
    let generation = module.registry.load(plugin)?;
    let template = generation.pool().template();
    telemetry::log_plugin(
        Level::Info,
        &plugin.name,
        format_args!("loaded code sha256:{} (Proxy-Wasm {})", template.code().digest(), template.abi()),
    );
    Ok((module, generation))
}
