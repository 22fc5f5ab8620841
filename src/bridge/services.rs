//! The process, as the host sees it: Envoy's log, the clocks, metrics.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::callouts::ProcessCalls;
use super::lookups::Agenda;
use super::metrics::{Metric, Metrics};
use crate::abi::{has_config_calls, process};
use crate::host::calls::Command;
use crate::host::stream::{MetricUpdate, Services};
use crate::host::types::MetricType;
use crate::lifecycle::resolver::Resolver;
use crate::telemetry::stats::Stat;
use crate::telemetry::{self, Level, Sink};

/// One per process. Log lines go to Envoy's logger `dynamic_modules`.
#[derive(Debug)]
pub struct EnvoyServices {
    started: Instant,
    /// All metrics of plugins.
    pub metrics: Metrics,
    /// Callouts that no stream has in hand.
    pub calls: ProcessCalls,
    /// Names that are resolved.
    resolver: Resolver<Agenda>,
}

impl EnvoyServices {
    /// The services of this process, whose monotonic clock starts now.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            metrics: Metrics::default(),
            calls: ProcessCalls::default(),
            resolver: Resolver::new(Agenda),
        }
    }
}

impl Default for EnvoyServices {
    fn default() -> Self {
        Self::new()
    }
}

impl Services for EnvoyServices {
    type Metric = Arc<Metric>;

    fn is_log_enabled(&self, level: Level) -> bool {
        process::is_log_enabled(to_envoy(level))
    }

    fn log_level(&self) -> Option<Level> {
        from_envoy(process::log_level())
    }

    fn log(&self, level: Level, line: &[u8]) {
        process::log(to_envoy(level), line);
    }

    fn realtime_nanoseconds(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        telemetry::nanoseconds(since)
    }

    fn monotonic_nanoseconds(&self) -> u64 {
        telemetry::nanoseconds(self.started.elapsed())
    }

    fn define_metric(&self, kind: MetricType, name: &str) -> Arc<Metric> {
        self.metrics.define(kind, name)
    }

    fn update_metric(&self, metric: &Arc<Metric>, update: MetricUpdate) {
        self.metrics.wait(metric, update);
    }

    fn publish_metrics(&self) {
        self.metrics.publish();
    }

    fn stat(&self, stat: Stat, labels: &[&str]) -> Arc<Metric> {
        self.metrics.own(stat, labels)
    }

    fn can_call(&self) -> bool {
        has_config_calls()
    }

    fn submit(&self, vm: u64, commands: Vec<Command>) {
        let mut of_envoy = Vec::with_capacity(commands.len());
        for command in commands {
            match command {
                Command::Resolve(lookup) => self.resolver.resolve(vm, lookup),
                Command::Adopt(..) | Command::Start(_) | Command::Send(..) | Command::Cancel(_) => {
                    of_envoy.push(command);
                }
            }
        }
        if !of_envoy.is_empty() {
            self.calls.submit(vm, of_envoy);
        }
    }

    fn read_metric(&self, metric: &Arc<Metric>) -> u64 {
        metric.value()
    }
}

/// Where Graft's own lines go.
pub(super) fn sink() -> Sink {
    Sink {
        is_enabled: |level| process::is_log_enabled(to_envoy(level)),
        write: |level, line| process::log(to_envoy(level), line.as_bytes()),
    }
}

fn to_envoy(level: Level) -> process::Level {
    match level {
        Level::Trace => process::Level::Trace,
        Level::Debug => process::Level::Debug,
        Level::Info => process::Level::Info,
        Level::Warn => process::Level::Warn,
        Level::Error => process::Level::Error,
        Level::Critical => process::Level::Critical,
    }
}

fn from_envoy(level: process::Level) -> Option<Level> {
    match level {
        process::Level::Trace => Some(Level::Trace),
        process::Level::Debug => Some(Level::Debug),
        process::Level::Info => Some(Level::Info),
        process::Level::Warn => Some(Level::Warn),
        process::Level::Error => Some(Level::Error),
        process::Level::Critical => Some(Level::Critical),
        process::Level::Off => None,
    }
}
