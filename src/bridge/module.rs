//! What this process has once. Every filter configuration, in every listener, finds the same image of the library
//! and so the same registry.

use std::sync::Arc;

use once_cell::sync::OnceCell;

use super::services::{self, EnvoyServices};
use super::stream::EnvoyStream;
use crate::abi::process;
use crate::lifecycle::agenda;
use crate::lifecycle::error::LoadError;
use crate::lifecycle::registry::{Registry, Workers};
use crate::telemetry;

/// Places for home VMs where Envoy does not say how many workers it has (1.37). More than any machine has cores that
/// runs one Envoy; a place costs a few bytes until its first stream.
const PLACES_OF_UNKNOWN_WORKERS: usize = 256;

/// The process-wide objects.
#[derive(Debug)]
pub struct Module {
    /// Everything that is loaded.
    pub registry: Registry<EnvoyStream>,
    /// Log, clocks, metrics.
    pub services: Arc<EnvoyServices>,
}

static MODULE: OnceCell<Module> = OnceCell::new();

/// `on_program_init`: Envoy loaded the library. Main thread, once.
pub fn on_program_init() {
    telemetry::install(services::sink());
}

/// The module; made when the first plugin is configured.
///
/// # Errors
/// The engine cannot start on this machine. Tried anew at the next call.
pub fn module() -> Result<&'static Module, LoadError> {
    MODULE.get_or_try_init(|| {
        let services = Arc::new(EnvoyServices::new());
        let registry = Registry::new(Arc::clone(&services), workers())?;
        agenda::work_off(registry.commons())?;
        if process::is_validation_mode() {
            // What it compiles is for the cache: it ends at once.
            registry.loader().optimize_at_once();
        } else {
            registry.keeper().start()?;
            registry.loader().start();
        }
        Ok(Module { registry, services })
    })
}

fn workers() -> Workers {
    let concurrency = process::concurrency().and_then(|workers| usize::try_from(workers).ok());
    match concurrency {
        // Nobody will send a stream: one VM shows whether the plugin starts.
        _ if process::is_validation_mode() => Workers { places: 1, prepared: 1 },
        Some(workers) => Workers { places: workers.max(1), prepared: workers.max(1) },
        None => Workers { places: PLACES_OF_UNKNOWN_WORKERS, prepared: 1 },
    }
}
