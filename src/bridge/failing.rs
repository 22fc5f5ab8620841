//! Streams whose plugin failed: how many, and what the log says of those that could not even begin.
//!
//! One for each configuration of Envoy's. An overload is a line a stream, so there are only so many.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::{Ids, Metric, Updates};
use super::module::{self, Module};
use crate::config::FailurePolicy;
use crate::host::stream::{MetricUpdate, Services as _};
use crate::telemetry::gate::Gate;
use crate::telemetry::stats::Stat;
use crate::telemetry::{self, Level};

/// Lines about streams that could not begin, and in which time.
const LINES: u32 = 10;
const EVERY: Duration = Duration::from_secs(10);

/// See the module's text. Any thread.
#[derive(Debug)]
pub(super) struct Failing {
    plugin: String,
    lines: Gate,
    streams: Arc<Metric>,
}

impl Failing {
    /// Of a plugin under a policy.
    pub(super) fn new(module: &Module, plugin: &str, policy: FailurePolicy) -> Self {
        let policy = match policy {
            FailurePolicy::Open => "open",
            FailurePolicy::Closed | FailurePolicy::Reload => "closed",
        };
        let streams = module.services.stat(Stat::StreamsFailed, &[plugin, policy]);
        Self { plugin: plugin.to_owned(), lines: Gate::new(LINES, EVERY), streams }
    }

    /// The policy decides on a stream.
    pub(super) fn count(&self, envoy: &impl Updates, ids: &Ids) {
        if let Ok(module) = module::module() {
            ids.update(envoy, &module.services.metrics, &self.streams, MetricUpdate::Add(1));
        }
    }

    /// One, `what`, could not begin.
    pub(super) fn log(&self, what: &str, why: &dyn Display) {
        let Ok(module) = module::module() else { return };
        let now = module.services.monotonic_nanoseconds();
        let line = format_args!("graft: plugin {:?}: {what} could not begin: {why}", self.plugin);
        telemetry::log_sparingly(&self.lines, now, Level::Error, line);
    }
}
