//! Metrics in Envoy's stats: those of plugins, and Graft's own.
//!
//! Three things stand between Proxy-Wasm and Envoy. Envoy takes definitions only while a configuration is made, so a
//! metric that a plugin defines later (in a stream, say) is kept in one of three *late* metrics with a label,
//! `wasm_counter{metric="name"}` and so on. Envoy has no call to read a value, so each metric has a shadow. And what
//! changes where no stream is at hand (a tick, a service, a thread of ours) has to find a way:
//!
//! ```text
//!   a stream's hook ──────────────────────────────────────────► Envoy         at once
//!   anywhere else ──► waits in the Metric ──┬── main thread ──► an Outlet     soon: publish() has scheduled it
//!                                           └── next stream ──► Envoy         where there is no outlet for it
//! ```
//!
//! An [`Outlet`] is a configuration that takes updates without a stream ([`outlets`]); [`ids`] says what Envoy calls a
//! metric there. Graft's own are the table of [`crate::telemetry::stats`]; each has labels.
//!
//! A [`Metric`] is process-wide: the same name and kind are the same metric, in all VMs and filter configurations, as
//! in Envoy's stats.

mod ids;
mod outlets;
mod totals;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

pub use ids::Ids;
pub(super) use ids::Updates;
pub(super) use outlets::{Outlet, Place};
pub(super) use totals::Totals;

use self::outlets::Outlets;
use self::totals::Told;
use crate::abi::MetricError;
use crate::host::stream::MetricUpdate;
use crate::host::types::MetricType;
use crate::telemetry::stats::Stat;

/// One metric of this process.
#[derive(Debug)]
pub struct Metric {
    /// Place in the tables of [`Ids`].
    index: usize,
    kind: MetricType,
    name: Box<[u8]>,
    /// A statistic of Graft's own, with the values of its labels.
    own: Option<Own>,
    /// What a read answers: sum of a counter, value of a gauge.
    value: AtomicU64,
    /// A configuration has the metric under its own name; so only there updates may be carried to it.
    is_defined: AtomicBool,
    waiting: Waiting,
}

/// Which statistic of Graft's a metric is, and the values of its labels.
type Own = (Stat, Box<[Box<[u8]>]>);

/// Updates that nobody has carried to Envoy yet.
#[derive(Debug, Default)]
struct Waiting {
    /// The metric is among [`Metrics::listed`], or about to be. Changed under the lock of the updates.
    is_listed: AtomicBool,
    updates: Mutex<Vec<MetricUpdate>>,
}

/// Most metrics of plugins in a process. Envoy never forgets one, so a plugin that makes up names must not go on for
/// ever: those beyond share one name.
const MOST_METRICS: usize = 100_000;
const BEYOND: &[u8] = b"graft_too_many_metrics";

/// Most updates that one metric keeps waiting; a root context that counts for hours without traffic must not fill
/// memory. Counters and gauges are added up, so only histograms lose samples.
const MOST_WAITING: usize = 1024;

/// What a metric is known by: kind and name; of Graft's own, the values of the labels for a name.
type Key = (MetricType, Option<Stat>, Box<[u8]>);

/// All metrics of this process.
#[derive(Debug, Default)]
pub struct Metrics {
    by_name: Mutex<HashMap<Key, Arc<Metric>>>,
    told: Told,
    /// Metrics with updates that wait, each once.
    listed: Mutex<Vec<Arc<Metric>>>,
    /// Counts updates that had to wait, so that each configuration looks for its own once after each.
    waits: AtomicU64,
    outlets: Outlets,
}

impl Metrics {
    /// The metric of a name and a kind.
    pub fn define(&self, kind: MetricType, name: &str) -> Arc<Metric> {
        let mut by_name = self.by_name.lock();
        let mut key = (kind, None, Box::from(name.as_bytes()));
        if by_name.len() >= MOST_METRICS && !by_name.contains_key(&key) {
            key.2 = BEYOND.into();
        }
        enter(&mut by_name, key, |name| (name.into(), None))
    }

    /// A statistic of Graft's own, with the values of its labels.
    pub fn own(&self, stat: Stat, labels: &[&str]) -> Arc<Metric> {
        let key = (ids::kind_of(stat), Some(stat), labels.join("\0").into_bytes().into());
        let values = || labels.iter().map(|value| Box::from(value.as_bytes())).collect();
        let mut by_name = self.by_name.lock();
        let before = by_name.len();
        let metric = enter(&mut by_name, key, |_| (stat.name().as_bytes().into(), Some((stat, values()))));
        if by_name.len() > before {
            self.told.add(&metric);
        }
        metric
    }

    /// Notes an update where no stream is at hand. [`publish`](Self::publish) has it carried.
    pub fn wait(&self, metric: &Arc<Metric>, update: MetricUpdate) {
        metric.shadow(update);
        self.keep(metric, update);
        self.waits.fetch_add(1, Ordering::Release);
    }

    /// A configuration comes: the gauges of Graft's own are told anew, for it may be the only one that has them.
    fn tell_gauges(&self) {
        let gauges: Vec<Arc<Metric>> = {
            let by_name = self.by_name.lock();
            let is_one = |metric: &&Arc<Metric>| {
                metric.own.is_some() && metric.kind == MetricType::Gauge && metric.value() != 0
            };
            by_name.values().filter(is_one).cloned().collect()
        };
        for metric in gauges {
            self.keep(&metric, MetricUpdate::Set(metric.value()));
            self.waits.fetch_add(1, Ordering::Release);
        }
    }

    fn keep(&self, metric: &Arc<Metric>, update: MetricUpdate) {
        if metric.waiting.add(update) {
            self.listed.lock().push(Arc::clone(metric));
        }
    }

    /// Whether updates may be waiting that a configuration has not looked at. Cheap; asked once a stream.
    pub fn is_any_waiting(&self, ids: &Ids) -> bool {
        self.waits.load(Ordering::Acquire) != ids.seen.load(Ordering::Relaxed)
    }

    /// Carries what waits to Envoy, with what a stream or a logger has at hand.
    pub(super) fn carry(&self, envoy: &impl Updates, ids: &Ids) {
        ids.seen.store(self.waits.load(Ordering::Acquire), Ordering::Relaxed);
        self.carry_where(|metric| ids.takes(metric), |metric, update| ids.tell(envoy, metric, update));
    }

    /// Carries the updates of those metrics that somebody takes. What is gone meanwhile leaves them waiting; what Envoy
    /// refuses is lost there, and the shadow has it.
    fn carry_where(
        &self,
        takes: impl Fn(&Metric) -> bool,
        tell: impl Fn(&Metric, MetricUpdate) -> Result<(), MetricError>,
    ) {
        let ours: Vec<Arc<Metric>> = self.listed.lock().extract_if(.., |metric| takes(metric)).collect();
        for metric in ours {
            for update in metric.waiting.take() {
                if tell(&metric, metric.told(update)) == Err(MetricError::Unavailable) {
                    self.keep(&metric, update);
                }
            }
        }
    }
}

fn enter(
    by_name: &mut HashMap<Key, Arc<Metric>>,
    key: Key,
    named: impl FnOnce(&[u8]) -> (Box<[u8]>, Option<Own>),
) -> Arc<Metric> {
    let (index, kind) = (by_name.len(), key.0);
    let (name, own) = match by_name.get(&key) {
        Some(metric) => return Arc::clone(metric),
        None => named(&key.2),
    };
    let metric = Arc::new(Metric {
        index,
        kind,
        name,
        own,
        value: AtomicU64::new(0),
        is_defined: AtomicBool::new(false),
        waiting: Waiting::default(),
    });
    by_name.insert(key, Arc::clone(&metric));
    metric
}

impl Metric {
    /// The value that a plugin reads.
    pub fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// What Envoy is told of an update. Graft's own gauges are told as they are now: Envoy forgets a statistic with the last
    /// configuration that had it, and another one may go on with ours.
    fn told(&self, update: MetricUpdate) -> MetricUpdate {
        if self.own.is_some() && self.kind == MetricType::Gauge {
            MetricUpdate::Set(self.value())
        } else {
            update
        }
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
    /// Notes an update. What sums up is summed up: only samples of a histogram are kept one by one. True: nothing was
    /// waiting before, so the metric has to be listed.
    fn add(&self, update: MetricUpdate) -> bool {
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
        !self.is_listed.swap(true, Ordering::Relaxed)
    }

    fn take(&self) -> Vec<MetricUpdate> {
        let mut updates = self.updates.lock();
        self.is_listed.store(false, Ordering::Relaxed);
        std::mem::take(&mut *updates)
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
    fn a_statistic_of_grafts_is_one_metric_for_each_value_of_its_labels() {
        let metrics = Metrics::default();
        let one = metrics.own(Stat::LogLinesLeftOut, &["one"]);
        assert!(Arc::ptr_eq(&one, &metrics.own(Stat::LogLinesLeftOut, &["one"])));
        assert!(!Arc::ptr_eq(&one, &metrics.own(Stat::LogLinesLeftOut, &["two"])));
        let plugins = metrics.define(MetricType::Counter, "one");
        assert!(!Arc::ptr_eq(&one, &plugins), "whatever a plugin calls its own");
    }

    #[test]
    fn gauges_of_grafts_are_told_as_they_are() {
        let metrics = Metrics::default();
        let own = metrics.own(Stat::VmsActive, &["one"]);
        let gone = metrics.own(Stat::VmsActive, &["gone"]);
        for (metric, update) in
            [(&own, MetricUpdate::Add(3)), (&gone, MetricUpdate::Add(1)), (&gone, MetricUpdate::Subtract(1))]
        {
            metrics.wait(metric, update);
        }
        metrics.wait(&metrics.define(MetricType::Gauge, "a plugin's"), MetricUpdate::Add(9));
        let told = parking_lot::Mutex::new(Vec::new());
        let tell = || {
            metrics.carry_where(
                |metric| metric.own.is_some(),
                |metric, update| {
                    told.lock().push((metric.index, update));
                    Ok(())
                },
            );
            std::mem::take(&mut *told.lock())
        };
        let mut first = tell();
        first.sort_by_key(|(index, _)| *index);
        assert_eq!(first, [(own.index, MetricUpdate::Set(3)), (gone.index, MetricUpdate::Set(0))]);
        assert_eq!(tell(), []);
        metrics.tell_gauges();
        assert_eq!(tell(), [(own.index, MetricUpdate::Set(3))], "to a configuration that comes");
    }

    #[test]
    fn updates_without_a_stream_wait_added_up() {
        let metrics = Metrics::default();
        let counter = metrics.define(MetricType::Counter, "c");
        metrics.wait(&counter, MetricUpdate::Add(2));
        metrics.wait(&counter, MetricUpdate::Add(3));
        assert!(metrics.is_any_waiting(&Ids::default()));
        assert_eq!(counter.value(), 5);
        assert_eq!(metrics.listed.lock().len(), 1, "listed once");
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
