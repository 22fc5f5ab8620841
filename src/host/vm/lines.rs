//! Log lines of guests: their shape, and how many there may be.

use std::time::Duration;

use super::State;
use crate::host::contexts::Context;
use crate::host::stream::{MetricUpdate, Services, Stream};
use crate::telemetry::gate::{Gate, Passage};
use crate::telemetry::stats::Stat;
use crate::telemetry::{LeftOut, Level};

/// Longest message of a guest's log line, in bytes; the rest is cut off. As much as one write of WASI prints.
const LONGEST_LINE: usize = 64 * 1024;

/// Over how many seconds the limit is an average: so many times the lines of a second may come at once, such as when a
/// plugin lists its rules while it starts.
const SECONDS: u32 = 10;

/// Bytes that count as a line.
const LINE: usize = 1024;

/// How many lines the guests of a VM key may log (`graft.limits.log_lines_per_second`).
#[derive(Debug)]
pub struct LogLimit {
    lines_per_second: u32,
    gate: Gate,
}

impl LogLimit {
    /// So many lines a second; 0: any number.
    pub fn new(lines_per_second: u32) -> Self {
        let gate = Gate::new(lines_per_second.saturating_mul(SECONDS), Duration::from_secs(SECONDS.into()));
        Self { lines_per_second, gate }
    }
}

impl<S: Stream> State<S> {
    /// Logs a guest's line in the shape of the built-in host: `wasm log[ name][ root id][ vm id]: message`.
    pub(in crate::host) fn log(&mut self, context: Context, level: Level, message: &[u8]) {
        let message = message.get(..LONGEST_LINE).unwrap_or(message);
        if !self.may_log(context, level, message.len()) {
            return;
        }
        let prefix: &str = match context {
            Context::Vm => "",
            Context::Root(root) => self.contexts.root(root).map_or("", |root| &root.log_prefix),
            Context::Stream(index) => self.contexts.stream(index).map_or("", |stream| {
                let root = self.contexts.root(stream.root);
                root.map_or(
                    "",
                    |root| if stream.is_of_root { &*root.log_prefix } else { &*root.stream_log_prefix },
                )
            }),
        };
        self.scratch.clear();
        self.scratch.extend_from_slice(b"wasm log");
        self.scratch.extend_from_slice(prefix.as_bytes());
        self.scratch.extend_from_slice(b": ");
        self.scratch.extend_from_slice(message);
        self.services.log(level, &self.scratch);
    }

    /// Logs a line of the host's that a guest has caused, as it is.
    pub(in crate::host) fn note(&mut self, context: Context, level: Level, line: &str) {
        if self.may_log(context, level, line.len()) {
            self.services.log(level, line.as_bytes());
        }
    }

    /// Whether a line is wanted, and one of those that there may be. Says what is left out: that lines are, and later
    /// how many were.
    fn may_log(&mut self, context: Context, level: Level, length: usize) -> bool {
        if !self.services.is_log_enabled(level) {
            return false;
        }
        let limit = &self.settings.log_limit;
        if limit.gate.is_unlimited() {
            return true;
        }
        let weight = u32::try_from(length.div_ceil(LINE)).unwrap_or(u32::MAX).max(1);
        let passage = limit.gate.pass(self.services.monotonic_nanoseconds(), weight);
        let most = limit.lines_per_second;
        match passage {
            Passage::Open => true,
            Passage::Closed => false,
            Passage::Closes => {
                let what = format!(
                    "log lines beyond {most} a second (graft.limits.log_lines_per_second) are left out until these \
                     {SECONDS} seconds are over"
                );
                self.tell_of_limit(context, &what);
                false
            }
            Passage::OpenAfter(lines) => {
                let what = format!(
                    "{lines} log lines were left out, those beyond {most} a second \
                     (graft.limits.log_lines_per_second)"
                );
                self.tell_of_limit(context, &what);
                let name = self.plugin_name(context);
                let counter = self.services.stat(Stat::LogLinesLeftOut, &[name]);
                self.services.update_metric(&counter, MetricUpdate::Add(lines));
                self.has_changed_metrics = true;
                true
            }
        }
    }

    fn tell_of_limit(&self, context: Context, what: &str) {
        if self.services.is_log_enabled(Level::Warn) {
            let line = format!("graft: plugin {:?}: {what}", self.plugin_name(context));
            self.services.log(Level::Warn, line.as_bytes());
        }
    }

    /// The plugin that a context belongs to; empty while code starts.
    fn plugin_name(&self, context: Context) -> &str {
        let root = self.root_of(context).and_then(|root| self.contexts.root(root));
        root.map_or("", |root| &root.plugin.name)
    }

    /// A guest wants a call that this proxy cannot make. It may want it in each request, so the line comes now and then.
    pub(in crate::host) fn tell_unable(&mut self, context: Context, line: &str) {
        if !self.services.is_log_enabled(Level::Warn) {
            return;
        }
        match self.unable_lines.pass(self.services.monotonic_nanoseconds(), 1) {
            Passage::Open => self.log(context, Level::Warn, line.as_bytes()),
            Passage::OpenAfter(more) => {
                let line = format!("{line} ({})", LeftOut(more));
                self.log(context, Level::Warn, line.as_bytes());
            }
            Passage::Closes | Passage::Closed => {}
        }
    }
}
