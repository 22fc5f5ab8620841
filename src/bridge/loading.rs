//! Loading a plugin for an object of Envoy's: its configuration is parsed, and the registry makes or finds it.
//!
//! Whatever is refused is one line in the log, and Envoy refuses the configuration.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::callouts::Carrying;
use super::module::{self, Module};
use super::stream::EnvoyStream;
use super::worker;
use crate::config::{self, ConfigError, PluginConfig};
use crate::lifecycle::error::LoadError;
use crate::lifecycle::registry::Use;
use crate::lifecycle::slot::Slot;
use crate::telemetry::{self, Level};

/// A plugin that is loaded, or being loaded.
pub(super) struct Loaded {
    pub(super) plugin: PluginConfig,
    pub(super) slot: Held,
    pub(super) module: &'static Module,
}

/// A configuration's hold on the slot of its plugin.
#[derive(Debug)]
pub(super) struct Held {
    slot: Arc<Slot<EnvoyStream>>,
    is_released: AtomicBool,
}

impl Held {
    fn new(slot: Arc<Slot<EnvoyStream>>) -> Self {
        Self { slot, is_released: AtomicBool::new(false) }
    }

    /// Envoy gives the configuration up: nothing more has to be loaded for it. Streams may be there yet.
    pub(super) fn release(&self) {
        if !self.is_released.swap(true, Ordering::AcqRel) {
            self.slot.release();
            if let Ok(module) = module::module() {
                module.registry.loader().let_go(&self.slot);
            }
        }
    }
}

impl Drop for Held {
    /// One that was refused has no other end.
    fn drop(&mut self) {
        self.release();
    }
}

impl Deref for Held {
    type Target = Slot<EnvoyStream>;

    fn deref(&self) -> &Slot<EnvoyStream> {
        &self.slot
    }
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
        Ok((module, slot)) => Some(Loaded { plugin, slot: Held::new(slot), module }),
        Err(error) => {
            telemetry::log(Level::Error, format_args!("graft: {}", error.describe(&plugin)));
            None
        }
    }
}

type Found = (&'static Module, Arc<Slot<EnvoyStream>>);

fn find(purpose: Use, plugin: &PluginConfig, carrying: &Carrying) -> Result<Found, LoadError> {
    let module = module::module()?;
    carrying.begin(&module.services.calls);
    let slot = module.registry.open(purpose, plugin, worker::is_any_busy())?;
    if slot.stable().is_none() {
        telemetry::log_plugin(Level::Info, &plugin.name, format_args!("is loaded in the background"));
    }
    Ok((module, slot))
}
