//! What other tests stand on, shown to hold: the registry, the web server, the clients and the servers that misbehave.
//!
//! No Envoy and no plugin is needed; `make sources` brings the programs.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

#[path = "mod.rs"]
#[allow(dead_code, unused_imports, reason = "what other test binaries use of it differs")]
mod support;

mod proofs;
