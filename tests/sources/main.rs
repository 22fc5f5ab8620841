//! Where code comes from, with real files and what lies in the way of them. No Wasm is needed: sources hand out bytes.
//!
//! - [`local`]: what is at hand in a file, in the configuration itself, in an environment variable.
//! - [`web`]: web servers as they are: packed code, marks of versions, redirects, TLS.
//! - [`hostile`]: web servers that want something: time, memory, a redirect to somewhere else.
//! - [`images`]: registries, in each form of an image, and what is wrong with some.
//! - [`access`]: whom a password is told to.
//! - [`signatures`]: who has signed an image.
//! - [`real`]: the same with servers and clients that others have written.
//! - [`shelves`]: when the source is asked although there is something on the shelf, and what is there when it is gone.
//!
//! The servers of [`server`] and [`registry`] are of this test: they do what no server should. [`world`] has the rest.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that meets the unexpected fails, and its items are nobody's interface"
)]

mod access;
mod hostile;
mod images;
mod local;
mod real;
mod registry;
mod server;
mod shelves;
mod signatures;
#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "what other test binaries use of it differs")]
mod support;
mod web;
mod world;
