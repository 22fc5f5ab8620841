//! Puts a record of each request on a shared queue, for `telemetry-batcher` to send.
//!
//! Writing a record costs a request nothing but a copy: no callout, no waiting. [`record`] is what stands in it, and is
//! tested natively; `plugin` asks the host for it. README.md of `telemetry-batcher` describes both.

pub mod record;

#[cfg(target_family = "wasm")]
mod plugin;
#[cfg(target_family = "wasm")]
mod queue;
