//! What the stories are told with.
//!
//! ```text
//!   Client ──► Envoy (a stock release, a child process) ──► Upstream
//!                │  Bootstrap ◄── Listener ◄── Plugin            │
//!                └─ Admin: ports, statistics                     └─ what it saw, what it answers
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
pub mod log;
pub mod message;
pub mod pace;
pub mod stats;
pub mod upstream;

use std::time::{Duration, Instant};

pub use callout_upstream::CalloutUpstream;
pub use client::{Client, End, Request, Response};
pub use config::{Bootstrap, Host, Listener, Plugin, Route};
pub use envoy::{Envoy, Version};
pub use grpc_upstream::GrpcUpstream;
pub use upstream::{Answer, Upstream};

/// How long a story waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer; fails the test with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, ask).unwrap_or_else(|| panic!("waited {PATIENCE:?} in vain: {what}"))
}

/// Asks again and again until there is an answer or the time is over.
pub fn within<T>(time: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    loop {
        if let Some(answer) = ask() {
            return Some(answer);
        }
        if start.elapsed() >= time {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

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
