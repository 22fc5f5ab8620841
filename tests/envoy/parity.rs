//! The same plugin under Envoy's own Wasm filter and under Graft.
//!
//! A [`scenario::Scenario`] is a plugin, its configuration and a script of requests. It runs in one Envoy
//! 1.40.0 that holds two listeners, one with `envoy.filters.http.wasm` (V8) and one with Graft, in front of
//! the same upstream. Everything that can be observed ([`observe`]) is compared line by line:
//!
//! ```text
//!                       ┌─ listener "BuiltIn" ─ envoy.filters.http.wasm ─┐
//!   script of requests ─┤                                                ├─ upstream
//!                       └─ listener "Graft" ─── dynamic module ──────────┘
//!       responses, requests at the upstream, plugin logs, access logs:
//!       equal, but for differences.rs
//! ```
//!
//! What differs and is meant to differ stands in [`differences`], line by line, with its reason. A difference
//! that is not declared fails, and so does a declared one that is no longer there. So the report in
//! `docs/PROXY_WASM.md` ([`report`]) is written from the tables and is true when the tests pass.

pub mod differences;
pub mod observe;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod scenarios;
