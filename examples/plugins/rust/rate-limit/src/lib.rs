//! Limits how many requests a client may send, counted over all workers.
//!
//! [`bucket`] is the arithmetic and [`configuration`] what a user writes; neither knows a host, both are tested natively.
//! `plugin` keeps the buckets in shared data. README.md has the configuration.

pub mod bucket;
pub mod configuration;

#[cfg(target_family = "wasm")]
mod plugin;
