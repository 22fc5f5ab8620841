//! Collects the records that `telemetry-filter` writes, and posts them in batches.
//!
//! [`batch`] holds them, bounded whatever happens, and is tested natively; `plugin` reads the queue and sends. README.md
//! has the configuration of both plugins.

pub mod batch;

#[cfg(target_family = "wasm")]
mod plugin;
