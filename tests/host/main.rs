//! The host of Proxy-Wasm, hostcall by hostcall and entry point by entry point: guests in WAT beside the
//! assertion, over a stream and a process made of plain data. No Envoy is needed.
//!
//! - [`guest`]: how a guest is written and run. [`phases`]: one hostcall called from every phase. [`background`]: a VM
//!   without a stream at hand.
//! - One file a family of hostcalls: [`headers`], [`buffers`], [`properties`], [`streams`], [`metrics`], [`log`],
//!   [`contexts`], [`calls`], [`grpc`], [`lookups`], [`ticks`], [`shared_data`], [`shared_queues`], [`wasi`].
//! - What replies bring, and whose they are: [`replies`].
//! - What cuts across them: [`addresses`], [`restricted`], [`capabilities`], [`linking`], [`start`],
//!   [`entry_points`], [`failure`], [`limits`], [`statistics`].
//! - [`table`]: that nothing of the host's tables is left out here or in `docs/PROXY_WASM.md`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_collect,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod addresses;
mod background;
mod buffers;
mod calls;
mod capabilities;
mod connections;
mod contexts;
mod entry_points;
mod failure;
mod foreign_functions;
mod grpc;
mod guest;
mod headers;
mod limits;
mod linking;
mod log;
mod lookups;
mod metrics;
mod phases;
mod properties;
mod replies;
mod restricted;
mod shared_data;
mod shared_queues;
mod start;
mod statistics;
mod streams;
mod table;
mod ticks;
mod wasi;
