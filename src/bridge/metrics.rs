//! Metrics of plugins in Envoy's stats.
//!
//! Three things stand between Proxy-Wasm and Envoy. Envoy takes definitions only while a filter configuration is
//! made, so a metric that a plugin defines later (in a stream, say) is kept in one of three *late* metrics with a
//! label, `wasm_counter{metric="name"}` and so on. Envoy has no call to read a value, so each metric has a shadow.
//! And up to Envoy 1.38 values can be changed only from within a stream, so what a root context does before waits
//! in the metric until a stream comes by.
//!
//! A [`Metric`] is process-wide: the same name and kind are the same metric, in all VMs and filter configurations, as
//! in Envoy's stats.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::abi::{
    AccessLogConfigHandle, ConnectionConfigHandle, ConnectionHandle, HttpFilterConfigHandle,
    HttpFilterHandle, MetricError, MetricId,
};
use crate::host::stream::MetricUpdate;
use crate::host::types::MetricType;

/// Name of the label of late metrics.
const LATE_LABEL: &[u8] = b"metric";

/// One metric of this process.
#[derive(Debug)]
pub struct Metric {
    /// Place in the tables of [`Ids`].
    index: usize,
    kind: MetricType,
    name: Box<[u8]>,
    /// What a read answers: sum of a counter, value of a gauge.
    value: AtomicU64,
    /// A filter configuration has the metric under its own name; so only there updates may be carried to it.
    is_defined: AtomicBool,
    waiting: Waiting,
}

/// Updates that no stream has carried to Envoy yet.
#[derive(Debug, Default)]
struct Waiting {
    is_any: AtomicBool,
    updates: Mutex<Vec<MetricUpdate>>,
}

/// Most metrics of a process. Envoy never forgets one, so a plugin that makes up names must not go on for ever: those
/// beyond share one name.
const MOST_METRICS: usize = 100_000;
const BEYOND: &[u8] = b"graft_too_many_metrics";

/// Most updates that one metric keeps waiting; a root context that counts for hours without traffic must not fill
/// memory. Counters and gauges are added up, so only histograms lose samples.
const MOST_WAITING: usize = 1024;

/// What a metric is known by: kind and name.
type Key = (MetricType, Box<[u8]>);

/// All metrics of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    by_name: Mutex<HashMap<Key, Arc<Metric>>>,
    /// Counts updates that had to wait, so that each configuration looks for its own once after each.
    waits: AtomicU64,
}

impl Metrics {
    /// The metric of a name and a kind.
    pub fn define(&self, kind: MetricType, name: &str) -> Arc<Metric> {
        let mut by_name = self.by_name.lock();
        let index = by_name.len();
        let mut name: Box<[u8]> = name.as_bytes().into();
        if index >= MOST_METRICS && !by_name.contains_key(&(kind, name.clone())) {
            name = BEYOND.into();
        }
        let metric = by_name.entry((kind, name.clone())).or_insert_with(|| {
            Arc::new(Metric {
                index,
                kind,
                name,
                value: AtomicU64::new(0),
                is_defined: AtomicBool::new(false),
                waiting: Waiting::default(),
            })
        });
        Arc::clone(metric)
    }

    /// Notes an update where no stream is at hand.
    pub fn wait(&self, metric: &Metric, update: MetricUpdate) {
        metric.shadow(update);
        metric.waiting.add(update);
        self.waits.fetch_add(1, Ordering::Release);
    }

    /// Whether updates may be waiting that a configuration has not looked at. Cheap; asked once a stream.
    pub fn is_any_waiting(&self, ids: &Ids) -> bool {
        self.waits.load(Ordering::Acquire) != ids.seen.load(Ordering::Relaxed)
    }

    /// Carries what waits to Envoy, with a stream's handle.
    pub fn carry(&self, envoy: &HttpFilterHandle, ids: &Ids) {
        ids.seen.store(self.waits.load(Ordering::Acquire), Ordering::Relaxed);
        let waiting: Vec<Arc<Metric>> = {
            let by_name = self.by_name.lock();
            by_name.values().filter(|metric| metric.waiting.is_any.load(Ordering::Acquire)).cloned().collect()
        };
        for metric in waiting {
            if metric.is_defined.load(Ordering::Relaxed) && !ids.knows(&metric) {
                // A stream of the configuration that has it takes these.
                continue;
            }
            for update in metric.waiting.take() {
                ids.update(envoy, &metric, update);
            }
        }
    }

    /// Carries what waits for the metrics that an access logger or a network filter knows.
    pub(super) fn carry_plain(&self, envoy: &impl PlainUpdates, ids: &Ids) {
        ids.seen.store(self.waits.load(Ordering::Acquire), Ordering::Relaxed);
        let waiting: Vec<Arc<Metric>> = {
            let by_name = self.by_name.lock();
            let waits =
                |metric: &&Arc<Metric>| metric.waiting.is_any.load(Ordering::Acquire) && ids.knows(metric);
            by_name.values().filter(waits).cloned().collect()
        };
        for metric in waiting {
            for update in metric.waiting.take() {
                ids.tell_plain(envoy, &metric, update);
            }
        }
    }

    /// The same through a filter configuration, from Envoy 1.39 on. What Envoy does not take goes on waiting.
    pub fn carry_by_config(&self, envoy: &HttpFilterConfigHandle, ids: &Ids) {
        let all: Vec<Arc<Metric>> = self.by_name.lock().values().cloned().collect();
        for metric in all.into_iter().filter(|metric| ids.knows(metric)) {
            for update in metric.waiting.take() {
                if ids.update_by_config(envoy, &metric, update).is_err() {
                    metric.waiting.add(update);
                }
            }
        }
    }
}

impl Metric {
    /// The value that a plugin reads.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Follows an update in the shadow. A gauge below zero wraps, as in Envoy.
    pub fn shadow(&self, update: MetricUpdate) {
        match update {
            MetricUpdate::Add(value) => drop(self.value.fetch_add(value, Ordering::Relaxed)),
            MetricUpdate::Subtract(value) => drop(self.value.fetch_sub(value, Ordering::Relaxed)),
            MetricUpdate::Set(value) => self.value.store(value, Ordering::Relaxed),
            MetricUpdate::Record(_) => {}
        }
    }
}

impl Waiting {
    /// Notes an update. What sums up is summed up: only samples of a histogram are kept one by one.
    fn add(&self, update: MetricUpdate) {
        use MetricUpdate::{Add, Record, Set, Subtract};
        let mut updates = self.updates.lock();
        let merged = match (updates.last().copied(), update) {
            (Some(Add(sum)), Add(value)) => Some(Add(sum.saturating_add(value))),
            (Some(Subtract(sum)), Subtract(value)) => Some(Subtract(sum.saturating_add(value))),
            (Some(Add(more)), Subtract(less)) | (Some(Subtract(less)), Add(more)) => {
                Some(if more >= less { Add(more.abs_diff(less)) } else { Subtract(less.abs_diff(more)) })
            }
            (Some(Set(old)), Add(value)) => Some(Set(old.wrapping_add(value))),
            (Some(Set(old)), Subtract(value)) => Some(Set(old.wrapping_sub(value))),
            (Some(_), Set(value)) => Some(Set(value)),
            (None | Some(Record(_)), _) | (_, Record(_)) => None,
        };
        if merged.is_some() {
            updates.pop();
        }
        if updates.len() < MOST_WAITING {
            updates.push(merged.unwrap_or(update));
        }
        self.is_any.store(true, Ordering::Release);
    }

    fn take(&self) -> Vec<MetricUpdate> {
        if !self.is_any.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *self.updates.lock())
    }
}

/// What Envoy calls our metrics in one filter configuration. Fixed when the configuration has been made.
#[derive(Debug, Default)]
pub struct Ids {
    /// By [`Metric::index`]; a metric beyond the end, or `None`, is late.
    known: Vec<Option<MetricId>>,
    late_counter: Option<MetricId>,
    late_gauge: Option<MetricId>,
    late_histogram: Option<MetricId>,
    /// Up to where this configuration has looked for updates that wait.
    seen: AtomicU64,
}

/// Tells Envoy of an update. A stream's handle and a configuration's have the same five callbacks, by the same names.
macro_rules! tell {
    ($envoy:ident, $metric:ident, $update:ident, $id:ident $(, $labels:ident)?) => {
        match ($metric.kind, $update) {
            (MetricType::Gauge, MetricUpdate::Add(value)) => $envoy.increment_gauge($id, $($labels,)? value),
            (MetricType::Gauge, MetricUpdate::Subtract(value)) => $envoy.decrement_gauge($id, $($labels,)? value),
            (MetricType::Gauge, MetricUpdate::Set(value) | MetricUpdate::Record(value)) => {
                $envoy.set_gauge($id, $($labels,)? value)
            }
            (MetricType::Histogram, MetricUpdate::Record(value)) => {
                $envoy.record_histogram($id, $($labels,)? value)
            }
            (MetricType::Counter, MetricUpdate::Add(value)) => $envoy.increment_counter($id, $($labels,)? value),
            (MetricType::Counter | MetricType::Histogram, _) => Ok(()),
        }
    };
}

/// A configuration whose metrics have no labels.
pub(super) trait PlainDefinitions {
    fn define(&self, kind: MetricType, name: &[u8]) -> Result<MetricId, MetricError>;
}

/// What takes updates of such metrics.
pub(super) trait PlainUpdates {
    fn increment_counter(&self, id: MetricId, value: u64) -> Result<(), MetricError>;
    fn increment_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError>;
    fn decrement_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError>;
    fn set_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError>;
    fn record_histogram(&self, id: MetricId, value: u64) -> Result<(), MetricError>;
}

macro_rules! defines {
    ($($handle:ty),*) => {$(
        impl PlainDefinitions for $handle {
            fn define(&self, kind: MetricType, name: &[u8]) -> Result<MetricId, MetricError> {
                match kind {
                    MetricType::Counter => self.define_counter(name),
                    MetricType::Gauge => self.define_gauge(name),
                    MetricType::Histogram => self.define_histogram(name),
                }
            }
        }
    )*};
}

macro_rules! updates {
    ($($handle:ty),*) => {$(
        impl PlainUpdates for $handle {
            fn increment_counter(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
                self.increment_counter(id, value)
            }

            fn increment_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
                self.increment_gauge(id, value)
            }

            fn decrement_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
                self.decrement_gauge(id, value)
            }

            fn set_gauge(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
                self.set_gauge(id, value)
            }

            fn record_histogram(&self, id: MetricId, value: u64) -> Result<(), MetricError> {
                self.record_histogram(id, value)
            }
        }
    )*};
}

defines!(AccessLogConfigHandle, ConnectionConfigHandle);
updates!(AccessLogConfigHandle, ConnectionHandle);

impl Ids {
    /// Defines metrics, and the three for late ones.
    pub fn define(envoy: &HttpFilterConfigHandle, metrics: &[Arc<Metric>]) -> Self {
        let mut ids = Self {
            known: Vec::new(),
            late_counter: envoy.define_counter(b"wasm_counter", &[LATE_LABEL]).ok(),
            late_gauge: envoy.define_gauge(b"wasm_gauge", &[LATE_LABEL]).ok(),
            late_histogram: envoy.define_histogram(b"wasm_histogram", &[LATE_LABEL]).ok(),
            seen: AtomicU64::new(0),
        };
        ids.define_all(metrics, |metric| match metric.kind {
            MetricType::Counter => envoy.define_counter(&metric.name, &[]),
            MetricType::Gauge => envoy.define_gauge(&metric.name, &[]),
            MetricType::Histogram => envoy.define_histogram(&metric.name, &[]),
        });
        ids
    }

    /// Defines metrics where Envoy has none with labels: what is defined later is none of this configuration's.
    pub(super) fn define_plain(envoy: &impl PlainDefinitions, metrics: &[Arc<Metric>]) -> Self {
        let mut ids = Self::default();
        ids.define_all(metrics, |metric| envoy.define(metric.kind, &metric.name));
        ids
    }

    fn define_all(
        &mut self,
        metrics: &[Arc<Metric>],
        define: impl Fn(&Metric) -> Result<MetricId, MetricError>,
    ) {
        for metric in metrics {
            if self.known.len() <= metric.index {
                self.known.resize(metric.index.saturating_add(1), None);
            }
            let Some(place @ None) = self.known.get_mut(metric.index) else { continue };
            *place = define(metric).ok();
            metric.is_defined.fetch_or(place.is_some(), Ordering::Relaxed);
        }
    }

    /// Whether a metric has its own name here.
    fn knows(&self, metric: &Metric) -> bool {
        self.known.get(metric.index).is_some_and(Option::is_some)
    }

    /// Changes a metric in Envoy's stats from within a stream. A change that Envoy refuses is lost there; the shadow
    /// has it.
    pub fn update(&self, envoy: &HttpFilterHandle, metric: &Metric, update: MetricUpdate) {
        let label = [&*metric.name];
        let Some((id, labels)) = self.find(metric, &label) else { return };
        let _refused = tell!(envoy, metric, update, id, labels);
    }

    /// The same where metrics have no labels. One that is not known there waits for a filter that knows it.
    pub(super) fn update_plain(
        &self,
        envoy: &impl PlainUpdates,
        waiting: &Metrics,
        metric: &Metric,
        update: MetricUpdate,
    ) {
        if !self.knows(metric) {
            return waiting.wait(metric, update);
        }
        metric.shadow(update);
        self.tell_plain(envoy, metric, update);
    }

    fn tell_plain(&self, envoy: &impl PlainUpdates, metric: &Metric, update: MetricUpdate) {
        let Some(Some(id)) = self.known.get(metric.index).copied() else { return };
        let _refused = tell!(envoy, metric, update, id);
    }

    /// The same through the filter configuration.
    ///
    /// # Errors
    /// This Envoy has no such callback (before 1.39), or refuses.
    fn update_by_config(
        &self,
        envoy: &HttpFilterConfigHandle,
        metric: &Metric,
        update: MetricUpdate,
    ) -> Result<(), MetricError> {
        let label = [&*metric.name];
        let Some((id, labels)) = self.find(metric, &label) else { return Err(MetricError::NotFound) };
        tell!(envoy, metric, update, id, labels)
    }

    /// Envoy's id of a metric, with the label value if it is late.
    fn find<'a>(&self, metric: &Metric, label: &'a [&'a [u8]]) -> Option<(MetricId, &'a [&'a [u8]])> {
        if let Some(Some(id)) = self.known.get(metric.index) {
            return Some((*id, &[]));
        }
        let id = match metric.kind {
            MetricType::Counter => self.late_counter,
            MetricType::Gauge => self.late_gauge,
            MetricType::Histogram => self.late_histogram,
        };
        id.map(|id| (id, label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_and_kind_are_the_same_metric() {
        let metrics = Metrics::default();
        let one = metrics.define(MetricType::Counter, "requests");
        let two = metrics.define(MetricType::Counter, "requests");
        let gauge = metrics.define(MetricType::Gauge, "requests");
        assert!(Arc::ptr_eq(&one, &two));
        assert!(!Arc::ptr_eq(&one, &gauge));
        assert_ne!(one.index, gauge.index);
    }

    #[test]
    fn updates_without_a_stream_wait_added_up() {
        let metrics = Metrics::default();
        let counter = metrics.define(MetricType::Counter, "c");
        metrics.wait(&counter, MetricUpdate::Add(2));
        metrics.wait(&counter, MetricUpdate::Add(3));
        assert!(metrics.is_any_waiting(&Ids::default()));
        assert_eq!(counter.value(), 5);
        assert_eq!(counter.waiting.take(), [MetricUpdate::Add(5)]);
        assert!(counter.waiting.take().is_empty());
    }

    #[test]
    fn samples_that_wait_are_bounded() {
        let metrics = Metrics::default();
        let histogram = metrics.define(MetricType::Histogram, "h");
        for value in 0..5000 {
            metrics.wait(&histogram, MetricUpdate::Record(value));
        }
        assert_eq!(histogram.waiting.take().len(), MOST_WAITING);
    }
}
