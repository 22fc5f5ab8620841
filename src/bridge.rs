//! The bridge: Envoy's meaning, in safe Rust. Hooks come in from `exports`, become calls of the host, and what
//! plugins asked for goes out through `abi`.
//!
//! ```text
//!   exports ── config_new ──► http_config ──► lifecycle::registry (loads the plugin)
//!           ── new, headers, body, … ──► http_filter ──► generation.begin, vm.on_headers, …
//!                                          │   guest runs: hostcalls ──► http_stream (headers, body,
//!                                          │                              properties, metrics)
//!                                          └── afterwards: effects (local_response, continue, close)
//!           ── per_route_config_new ──► route_config
//! ```
//!
//! - [`module`]: what this process has once: the registry, the log sink.
//! - [`entering`]: how hooks enter a VM, also those that come back while this thread is inside one.
//! - [`http_config`], [`route_config`], [`http_filter`]: Envoy's three objects.
//! - [`stream`]: the one type that the host's `Stream` is here; [`http_stream`]: it, over the callbacks of HTTP filters;
//!   [`body`] and [`properties`] are parts of that.
//! - [`service`]: the bootstrap extension: a plugin without a filter, [`admin`] pages, and a [`start_up`] that waits.
//! - [`callouts`]: requests that guests send, over calls of streams, of connections and of configurations; [`lookups`]: names
//!   that they have resolved.
//! - [`access_log`] with [`log_stream`], [`connection_filter`] with [`connection_stream`]: the same for access loggers and
//!   for network filters; [`loading`]: how a plugin is loaded for them, [`own_properties`]: what a plugin stores.
//! - [`local_response`]: a plugin's reply, which the plugin itself may still edit.
//! - [`wait`]: until when a stream, a connection or Envoy's start-up waits for a plugin.
//! - [`services`], [`metrics`], [`worker`]: the host's `Services`, metrics that Envoy freezes, numbers of threads.
//!
//! The rule of this layer (D3 of the design): nothing of ours is borrowed or locked across a callback that can come
//! back. Effects are applied when the VM's lock is free, and a filter is `&self` with cells.

pub mod access_log;
mod action;
mod admin;
mod body;
mod callouts;
pub mod connection_filter;
mod connection_stream;
mod entering;
mod failing;
mod foreign;
pub mod http_config;
pub mod http_filter;
pub mod http_stream;
mod loading;
mod local_response;
mod log_stream;
mod lookups;
pub mod metrics;
pub mod module;
mod own_properties;
mod properties;
pub mod route_config;
pub mod service;
pub mod services;
mod start_up;
pub mod stream;
mod wait;
mod worker;
