//! What the stories are told with.
//!
//! ```text
//!   Client, Load ──► Envoy (a stock release, a child process) ──► Upstream, SteadyUpstream
//!                      │  Bootstrap ◄── Listener ◄── Plugin            │
//!                      └─ Admin: ports, statistics                     └─ what it saw, what it answers
//! ```
//!
//! Nothing sleeps: whatever takes time is awaited with [`eventually`], and chunks of a body are kept apart
//! by watching Envoy's own byte counters ([`pace::Pace`]).

pub mod admin;
pub mod callout_upstream;
pub mod client;
pub mod config;
pub mod envoy;
pub mod files;
pub mod grpc_upstream;
pub mod guests;
pub mod http1;
pub mod http2;
pub mod interrupted;
pub mod load;
pub mod log;
pub mod message;
pub mod origin;
pub mod pace;
pub mod report;
pub mod stats;
pub mod steady_upstream;
pub mod tcp;
pub mod upstream;
pub mod watch;
pub mod xds;

pub use callout_upstream::CalloutUpstream;
pub use client::{Client, End, Request, Response};
pub use config::{Bootstrap, Host, Listener, Plugin, Route};
pub use envoy::{Envoy, Version};
pub use grpc_upstream::GrpcUpstream;
pub use upstream::{Answer, Seen, Upstream};

pub use crate::support::patience::{PATIENCE, eventually, within};

/// Headers or trailers, in the order in which they stood on the wire, names in lower case.
pub type Headers = Vec<(String, String)>;

/// The first value of a header.
pub fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// Owned headers out of literals.
pub fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
