//! The host of Proxy-Wasm, hostcall by hostcall and entry point by entry point: guests in WAT beside the
//! assertion, over a stream and a process made of plain data. No Envoy is needed.
//!
//! - [`guest`]: how a guest is written and run.
//! - One file a family of hostcalls, and one each for what cuts across them: addresses, allocation, restriction,
//!   failure, limits, start, contexts.
//! - [`table`]: that nothing of the host's table is left out here or in `docs/PROXY_WASM.md`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod guest;
mod headers;
