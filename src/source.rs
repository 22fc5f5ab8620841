//! Where code comes from: a place in a configuration becomes bytes.
//!
//! [`Sources::fetch`] is the door. It blocks, and is meant for a thread that may wait.
//!
//! ```text
//!  Wanted ─► fetch ─┬► location   file, inline, environment
//!                   ├► web        a web server ────────┐
//!                   └► oci        an OCI registry ─────┼─► client ─► retry ─► one request: guard, redirects, bounds
//!                       ├► credentials (config.json, helpers), token
//!                       ├► manifest, layout            └─► unpack   gzip, tar, the magic
//!                       └► signature (keys, cosign 2 and 3)
//!            shelf: what is known already, by name and by digest, in the cache on disk; tls: who is trusted
//! ```
//!
//! A registry, a web server and the network between are hostile here: sizes, times and redirects are bounded, digests are
//! computed and compared, addresses are looked at before a connection is made. Whether bytes that begin like Wasm are a valid
//! module is for `engine` to say. Errors quote neither passwords nor tokens, nor the query of an address.

pub mod cache;
mod client;
mod clock;
mod credentials;
mod error;
mod fetch;
mod guard;
mod helper;
mod http_error;
pub mod location;
mod name;
mod oci;
mod retry;
mod shelf;
mod signature;
mod tls;
mod unpack;
mod web;

pub use cache::Kind;
pub use clock::{Clock, SystemClock};
pub use credentials::CredentialError;
pub use error::FetchError;
pub use fetch::{Fetched, Origin, Revision, Sources, Wanted};
pub use http_error::{HttpError, Peer};
pub use oci::ImageError;
pub use shelf::{NoShelf, Shelf};
pub use signature::SignatureError;
pub use unpack::UnpackError;
