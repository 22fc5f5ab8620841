//! Where code comes from, with real files and what lies in the way of them. No Wasm is needed: sources hand out bytes.
//!
//! [`local`]: what is at hand in a file, in the configuration itself, in an environment variable.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod local;
