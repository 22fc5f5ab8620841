//! Asks an authorisation service whether a request may pass, and does as it says.
//!
//! The request waits meanwhile. What the service is asked and what its answer means is [`policy`], which knows no host
//! and is tested natively; `plugin` does the talking. README.md has the configuration.

pub mod policy;

#[cfg(target_family = "wasm")]
mod plugin;
