//! Proxy-Wasm: the host side of the ABI, with no Envoy in it.
//!
//! ```text
//!        lifecycle, bridge
//!              │ Vm: start, create_root, create_stream, on_request_headers, …
//!   ┌──────────▼───────────┐  entry points (proxy_on_*)   ┌───────────┐
//!   │ Vm = Store<State>    ├─────────────────────────────►│   guest   │
//!   │      + EntryPoints   │◄─────────────────────────────┤           │
//!   └──────────┬───────────┘  hostcalls (proxy_*)         └───────────┘
//!              │ Stream (one exchange), Services (the process)
//!           bridge (Envoy), or testing (a fake)
//! ```
//!
//! - [`types`]: the numbers of the ABI, as enums.
//! - [`stream`]: the two traits by which a host reaches the proxy, and the effects that a guest asks for.
//! - [`contexts`]: the objects that entry points run on: roots (plugins) and streams.
//! - [`template`]: code that is linked and checked, from which VMs are made.
//! - [`vm`]: one instance with its contexts, and every entry point as a method.
//! - [`hostcalls`]: the table of what a guest may import; one file a family.
//! - [`commons`]: what all VMs share: [`shared`] data and queues, and the [`agenda`] of what happens without a stream.
//! - [`calls`]: callouts by HTTP and gRPC.
//! - [`foreign`]: what `proxy_call_foreign_function` can call by name; one file a family.
//! - [`pairs`]: the wire form of header maps. [`testing`]: a stream and a process for tests.
//!
//! The rules come from the Proxy-Wasm specification (`abi-versions/v0.2.1`); where Envoy's built-in host differs and
//! plugins rely on it, the built-in host is right. `docs/PROXY_WASM.md` lists every hostcall with its statuses.

pub mod agenda;
pub mod calls;
pub mod commons;
pub mod contexts;
pub mod entry_points;
pub mod foreign;
pub mod hostcalls;
pub mod metrics;
mod numbers;
pub mod pairs;
pub mod shared;
pub mod stream;
pub mod template;
pub mod testing;
pub mod types;
pub mod vm;
mod wire;
