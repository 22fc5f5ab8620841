//! Keeps the chunks of a body apart.
//!
//! Two chunks that reach Envoy together become one callback of a plugin. Whoever sends a body in parts
//! waits, between two parts, until Envoy's own counter of received bytes shows that it read the part
//! before. So the number of callbacks is exact, and no time is guessed.

use std::time::Duration;

use super::admin::Admin;
use super::within;

/// An Envoy that stopped reading (its buffers are full, the stream is over) is not waited for longer.
const ENOUGH: Duration = Duration::from_millis(500);

/// A counter of bytes that an Envoy received.
#[derive(Clone, Debug)]
pub struct Pace {
    admin: Admin,
    counter: String,
}

impl Pace {
    /// Of what clients send to a listener.
    pub fn of_listener(admin: Admin, listener: &str) -> Self {
        Self { admin, counter: format!("http.{listener}.downstream_cx_rx_bytes_total") }
    }

    /// Of what an upstream sends.
    pub fn of_cluster(admin: Admin, cluster: &str) -> Self {
        Self { admin, counter: format!("cluster.{cluster}.upstream_cx_rx_bytes_total") }
    }

    /// The bytes received so far.
    pub fn position(&self) -> u64 {
        self.admin.stat(&self.counter).unwrap_or(0)
    }

    /// Returns when Envoy has received all bytes up to `position`.
    pub fn wait_for(&self, position: u64) {
        within(ENOUGH, || (self.position() >= position).then_some(()));
    }
}
