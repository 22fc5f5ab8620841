//! Graft inside real Envoys.
//!
//! Every story here starts stock Envoys that load the library as an operator would, talks to them over
//! sockets, and looks only at what an operator, a client or a plugin can see: responses, what the upstream
//! received, log lines, statistics, the exit status.
//!
//! - [`harness`]: an Envoy process, its configuration, a client, a scripted upstream.
//! - [`stories`]: one file a story; each test runs once per supported release of Envoy, and is named after it.
//! - [`support`]: where plugins come from, for real; the folder `tests/support`.
//! - [`parity`]: one plugin, one script, Envoy's own Wasm filter and Graft side by side in one Envoy.
//!
//! The tests need files and say which command makes them: the Envoys (`make envoys`), the plugins
//! (`make plugins`), the library (`make build`).

// In a test a panic is the verdict: these lints guard the library, whose panics would end an Envoy.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
// A test binary has no public interface.
#![allow(unreachable_pub, missing_docs)]

mod harness;
mod parity;
mod stories;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what other test binaries use of it differs")]
mod support;
