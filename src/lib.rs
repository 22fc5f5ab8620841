//! Graft: Proxy-Wasm plugins in a stock Envoy.
//!
//! One shared library that Envoy loads as a dynamic module. The layers, and what each may name, from top to
//! bottom (`tests/architecture.rs` checks it):
//!
//! | layer | what it is |
//! | --- | --- |
//! | `exports` | every symbol that Envoy looks up |
//! | [`bridge`] | Envoy's meaning, in safe Rust: filter configurations, filters, streams |
//! | [`lifecycle`] | plugins over time: registry, generations, pools of VMs |
//! | [`host`] | Proxy-Wasm: contexts, entry points, hostcalls; no Envoy |
//! | [`engine`] | wasmtime: code, memory, limits, WASI |
//! | [`abi`] | the seam to Envoy's C ABI: the only unsafe code beside `exports` |
//! | [`config`] | what a user writes, typed and validated |
//! | [`source`] | where code comes from |
//! | [`telemetry`] | log lines |
//!
//! Start reading at `exports`, pick a hook, and follow it down. `docs/ARCHITECTURE.md` has the pictures.

pub mod abi;
pub mod bridge;
pub mod config;
pub mod engine;
mod exports;
pub mod host;
pub mod lifecycle;
pub mod source;
pub mod telemetry;
