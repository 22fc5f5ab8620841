//! Lets requests pass that carry a JSON Web Token of a trusted issuer.
//!
//! - [`configuration`]: what a user writes;
//! - [`token`]: a token as it was sent, and what its claims must say;
//! - [`keys`]: the issuer's keys, and whether one of them signed a token;
//! - [`refresh`]: when the keys are fetched, and by which of the VMs that share them.
//!
//! These know no host and are tested natively. `plugin` is the root context, which fetches; `stream` is a request, which
//! may wait for keys. README.md has the configuration.

pub mod configuration;
pub mod keys;
pub mod refresh;
pub mod token;

#[cfg(target_family = "wasm")]
mod plugin;
#[cfg(target_family = "wasm")]
mod stream;
