//! Ways to Envoy for updates that no stream has at hand.
//!
//! A configuration of Envoy's takes updates on the main thread, and its scheduler brings us there. Which of them can do
//! what depends on the release:
//!
//! | configuration | takes updates | can be scheduled |
//! | --- | --- | --- |
//! | HTTP filter | 1.39 | 1.37 |
//! | service (bootstrap extension) | 1.38 | 1.38 |
//! | network filter | 1.39 | 1.39 (1.37, where it is of no use) |
//! | access logger | 1.37 | never |
//!
//! Presence of callbacks decides. Any one that can be scheduled serves all. At most one event is under way: what is
//! published meanwhile is carried with it. The main thread it must be, because a histogram of Envoy's keeps samples by
//! thread and knows its own threads alone, and because a service keeps values of labels in a pool without a lock.
//! Counters and gauges of access loggers need neither; where nothing can be scheduled, they are told on the spot.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::ids::{Definitions, Ids, Updates};
use super::{Metric, Metrics};
use crate::abi::{
    AccessLogConfigHandle, BootstrapHandle, ConfigScheduler, ConnectionConfigHandle, HttpFilterConfigHandle,
    MetricError, MetricId,
};
use crate::bridge::module;
use crate::host::stream::MetricUpdate;
use crate::host::types::MetricType;

/// A configuration of Envoy's. In the order in which they are asked to carry what several of them could.
#[derive(Debug)]
pub(in crate::bridge) enum Place {
    Filter(HttpFilterConfigHandle),
    Service(BootstrapHandle),
    Connection(ConnectionConfigHandle),
    Logger(AccessLogConfigHandle),
}

/// A configuration with its metrics, from the load of its plugin until Envoy gives it up.
#[derive(Debug)]
pub(in crate::bridge) struct Outlet(Arc<Open>);

#[derive(Debug)]
struct Open {
    place: Place,
    ids: Ids,
    scheduler: Option<ConfigScheduler>,
}

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Outlets {
    list: Mutex<Vec<Arc<Open>>>,
    /// An event is under way.
    is_asked: AtomicBool,
}

impl Place {
    fn takes_updates(&self) -> bool {
        match self {
            Self::Filter(envoy) => envoy.takes_updates(),
            Self::Service(envoy) => envoy.takes_updates(),
            Self::Connection(envoy) => envoy.takes_updates(),
            Self::Logger(_) => true,
        }
    }

    fn scheduler(&self) -> Option<ConfigScheduler> {
        match self {
            Self::Filter(envoy) => envoy.scheduler(),
            Self::Service(envoy) => envoy.scheduler(),
            Self::Connection(envoy) => envoy.scheduler().filter(|_| envoy.takes_updates()),
            Self::Logger(_) => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Filter(_) => 0,
            Self::Service(_) => 1,
            Self::Connection(_) => 2,
            Self::Logger(_) => 3,
        }
    }
}

impl Definitions for Place {
    fn define(&self, kind: MetricType, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
        match self {
            Self::Filter(envoy) => envoy.define(kind, name, labels),
            Self::Service(envoy) => envoy.define(kind, name, labels),
            Self::Connection(envoy) => envoy.define(kind, name, labels),
            Self::Logger(envoy) => envoy.define(kind, name, labels),
        }
    }
}

impl Updates for Place {
    fn tell(
        &self,
        kind: MetricType,
        update: MetricUpdate,
        id: MetricId,
        labels: &[&[u8]],
    ) -> Result<(), MetricError> {
        match self {
            Self::Filter(envoy) => envoy.tell(kind, update, id, labels),
            Self::Service(envoy) => envoy.tell(kind, update, id, labels),
            Self::Connection(envoy) => envoy.tell(kind, update, id, labels),
            Self::Logger(envoy) => envoy.tell(kind, update, id, labels),
        }
    }
}

impl Outlet {
    /// Defines a plugin's metrics while Envoy makes the configuration, and carries what changed before. Main thread.
    pub(in crate::bridge) fn open(metrics: &Metrics, place: Place, defined: &[Arc<Metric>]) -> Self {
        let ids = Ids::define(&place, defined);
        let scheduler = place.scheduler();
        let open = Arc::new(Open { place, ids, scheduler });
        {
            let mut list = metrics.outlets.list.lock();
            let after = list.iter().take_while(|other| other.place.rank() <= open.place.rank()).count();
            list.insert(after, Arc::clone(&open));
        }
        metrics.tell_gauges();
        metrics.deliver();
        Self(open)
    }

    /// What Envoy calls the metrics here.
    pub(in crate::bridge) fn ids(&self) -> &Ids {
        &self.0.ids
    }

    /// The scheduler has brought us to the main thread.
    #[allow(clippy::unused_self)] // One event serves all.
    pub(in crate::bridge) fn on_scheduled(&self) {
        if let Ok(module) = module::module() {
            module.services.metrics.deliver();
        }
    }

    /// Envoy's configuration is gone.
    pub(in crate::bridge) fn close(&self) {
        if let Ok(module) = module::module() {
            module.services.metrics.close(&self.0);
        }
    }
}

impl Drop for Outlet {
    /// One that was refused has no other end.
    fn drop(&mut self) {
        self.close();
    }
}

impl Outlets {
    /// Whether one of them answers yes; the others are not asked then. Nothing is locked while one is asked: Envoy may
    /// give it up meanwhile. Nothing is allocated either.
    fn any(&self, ask: impl Fn(&Open) -> bool) -> bool {
        (0..).map_while(|place: usize| self.list.lock().get(place).cloned()).any(|open| ask(&open))
    }
}

impl Metrics {
    /// Has the main thread carry what waits, if there is an outlet for anything. From any thread; cheap if that is asked
    /// already. Allocates nothing.
    pub fn publish(&self) {
        if self.outlets.is_asked.swap(true, Ordering::AcqRel) {
            return;
        }
        let can_ask = |open: &Open| open.scheduler.as_ref().is_some_and(|scheduler| scheduler.commit(0));
        if self.outlets.any(|open| open.place.takes_updates()) && self.outlets.any(can_ask) {
            return;
        }
        self.outlets.is_asked.store(false, Ordering::Release);
        self.outlets.any(|open| {
            if matches!(open.place, Place::Logger(_)) {
                let takes = |metric: &Metric| metric.kind != MetricType::Histogram && open.ids.knows(metric);
                self.carry_where(takes, |metric, update| open.ids.tell(&open.place, metric, update));
            }
            false
        });
    }

    /// Carries what waits to the outlets that take it. Main thread.
    pub(super) fn deliver(&self) {
        // First: what comes from now on asks anew.
        self.outlets.is_asked.store(false, Ordering::Release);
        if self.listed.lock().is_empty() {
            return;
        }
        let list = self.outlets.list.lock().clone();
        let takers = || list.iter().filter(|open| open.place.takes_updates());
        let tell = |open: &Open, takes: &dyn Fn(&Metric) -> bool| {
            self.carry_where(takes, |metric, update| open.ids.tell(&open.place, metric, update));
        };
        for open in takers() {
            tell(open, &|metric| open.ids.knows(metric));
        }
        for open in takers() {
            tell(open, &|metric| open.ids.takes(metric));
        }
    }

    /// An outlet is gone. Envoy has dropped the event if it was this one's, so another is asked for what waits.
    fn close(&self, open: &Arc<Open>) {
        let gone = {
            let mut list = self.outlets.list.lock();
            let place = list.iter().position(|other| Arc::ptr_eq(other, open));
            place.map(|place| list.remove(place))
        };
        if gone.is_some() {
            self.outlets.is_asked.store(false, Ordering::Release);
            if !self.listed.lock().is_empty() {
                self.publish();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeConfig, FakeEnvoy};
    use crate::telemetry::stats::Stat;

    /// What an update told Envoy: callback, labels, value.
    fn told(envoy: &FakeEnvoy) -> Vec<(&'static str, String, u64)> {
        let updates = envoy.metric_updates();
        updates.into_iter().map(|update| (update.what, update.labels.join(","), update.value)).collect()
    }

    fn counter(metrics: &Metrics, name: &str) -> Arc<Metric> {
        metrics.define(MetricType::Counter, name)
    }

    fn filter(metrics: &Metrics, envoy: &FakeEnvoy, defined: &[Arc<Metric>]) -> (FakeConfig, Outlet) {
        let config = envoy.config();
        let outlet = Outlet::open(metrics, Place::Filter(config.handle()), defined);
        envoy.told_of_calls();
        (config, outlet)
    }

    #[test]
    fn many_updates_are_one_event_and_one_update() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let ticks = counter(&metrics, "ticks");
        let (_config, _outlet) = filter(&metrics, &envoy, &[Arc::clone(&ticks)]);
        for _ in 0..10_000 {
            metrics.wait(&ticks, MetricUpdate::Add(1));
            metrics.publish();
        }
        assert_eq!(envoy.told_of_calls(), ["scheduler 1: 0"]);
        metrics.deliver();
        assert_eq!(told(&envoy), [("increment_counter", String::new(), 10_000)]);
        metrics.deliver();
        assert_eq!(told(&envoy).len(), 1, "nothing is left");
        metrics.wait(&ticks, MetricUpdate::Add(1));
        metrics.publish();
        assert_eq!(envoy.told_of_calls(), ["scheduler 1: 0"], "the next ones are asked for anew");
    }

    #[test]
    fn what_changed_before_a_configuration_is_carried_while_it_is_made() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let (early, late) = (counter(&metrics, "early"), counter(&metrics, "late"));
        metrics.wait(&early, MetricUpdate::Add(2));
        metrics.wait(&late, MetricUpdate::Add(3));
        metrics.publish();
        assert_eq!(envoy.told_of_calls(), [""; 0], "nobody could be asked");
        let (_config, _outlet) = filter(&metrics, &envoy, &[early]);
        let expected = [("increment_counter", String::new(), 2), ("increment_counter", "late".to_owned(), 3)];
        assert_eq!(told(&envoy), expected);
    }

    #[test]
    fn statistics_of_grafts_have_their_labels_in_filters_and_services() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let own = metrics.own(Stat::LogLinesLeftOut, &["noisy"]);
        let (config, outlet) = filter(&metrics, &envoy, &[]);
        assert!(envoy.defined_metrics().iter().any(|name| name == "graft_log_lines_left_out"));
        metrics.wait(&own, MetricUpdate::Add(7));
        metrics.deliver();
        config.close();
        outlet.close();
        drop(metrics.outlets.list.lock().drain(..));
        let service = envoy.config();
        let _outlet = Outlet::open(&metrics, Place::Service(service.handle_of()), &[]);
        metrics.wait(&own, MetricUpdate::Add(8));
        metrics.deliver();
        let expected = [7, 8].map(|value| ("increment_counter", "noisy".to_owned(), value));
        assert_eq!(told(&envoy), expected);
        // Where there are no labels they wait.
        drop(metrics.outlets.list.lock().drain(..));
        let logger = envoy.config();
        let _outlet = Outlet::open(&metrics, Place::Logger(logger.handle_of()), &[]);
        metrics.wait(&own, MetricUpdate::Add(9));
        metrics.publish();
        assert_eq!(told(&envoy).len(), 2);
    }

    /// Envoy 1.38: filters can be scheduled, and take updates from streams alone.
    #[test]
    fn a_filters_metrics_wait_for_a_stream_where_only_streams_update_them() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        envoy.remove_callbacks(|table| table.http_filter_config_increment_counter = None);
        let hits = counter(&metrics, "hits");
        let (_config, outlet) = filter(&metrics, &envoy, &[Arc::clone(&hits)]);
        metrics.wait(&hits, MetricUpdate::Add(1));
        metrics.publish();
        assert_eq!(envoy.told_of_calls(), [""; 0], "an event would be of no use");
        // A service has other names: what a filter has defined is none of its.
        let service = envoy.config();
        let jobs = counter(&metrics, "jobs");
        let _service = Outlet::open(&metrics, Place::Service(service.handle_of()), &[Arc::clone(&jobs)]);
        metrics.wait(&jobs, MetricUpdate::Add(5));
        metrics.publish();
        metrics.deliver();
        assert_eq!(told(&envoy), [("increment_counter", String::new(), 5)]);
        assert!(metrics.is_any_waiting(outlet.ids()));
        envoy.inside_hook(&mut crate::abi::testing::FakeStream::default(), |stream| {
            metrics.carry(&stream, outlet.ids());
        });
        assert_eq!(told(&envoy).last(), Some(&("increment_counter", String::new(), 1)));
    }

    #[test]
    fn a_logger_alone_is_told_on_the_spot_but_for_histograms() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let lines = counter(&metrics, "lines");
        let sizes = metrics.define(MetricType::Histogram, "sizes");
        let config = envoy.config();
        let defined = [Arc::clone(&lines), Arc::clone(&sizes)];
        let _outlet = Outlet::open(&metrics, Place::Logger(config.handle_of()), &defined);
        metrics.wait(&lines, MetricUpdate::Add(4));
        metrics.wait(&sizes, MetricUpdate::Record(100));
        metrics.publish();
        assert_eq!(told(&envoy), [("increment_counter", String::new(), 4)]);
        // On Envoy 1.37 a filter brings the main thread, and the logger takes the updates.
        envoy.remove_callbacks(|table| table.http_filter_config_increment_counter = None);
        let (_config, _filter) = filter(&metrics, &envoy, &[]);
        metrics.wait(&lines, MetricUpdate::Add(6));
        metrics.publish();
        assert_eq!(envoy.told_of_calls().len(), 1);
        metrics.deliver();
        assert_eq!(told(&envoy).len(), 3);
    }

    #[test]
    fn a_network_filter_is_an_outlet_of_its_own() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let level = metrics.define(MetricType::Gauge, "level");
        let config = envoy.config();
        let place = Place::Connection(config.handle_of());
        let _outlet = Outlet::open(&metrics, place, &[Arc::clone(&level)]);
        envoy.told_of_calls();
        metrics.wait(&level, MetricUpdate::Set(40));
        metrics.wait(&level, MetricUpdate::Subtract(10));
        metrics.publish();
        assert_eq!(envoy.told_of_calls(), ["scheduler 1: 0"]);
        metrics.deliver();
        assert_eq!(told(&envoy), [("set_gauge", String::new(), 30)]);
    }

    #[test]
    fn another_is_asked_when_the_one_that_was_asked_goes() {
        let (envoy, metrics) = (FakeEnvoy::install(), Metrics::default());
        let ticks = counter(&metrics, "ticks");
        let (first_config, first) = filter(&metrics, &envoy, &[Arc::clone(&ticks)]);
        let (second_config, second) = filter(&metrics, &envoy, &[Arc::clone(&ticks)]);
        metrics.wait(&ticks, MetricUpdate::Add(1));
        metrics.publish();
        assert_eq!(envoy.told_of_calls(), ["scheduler 1: 0"]);
        first_config.close();
        metrics.close(&first.0);
        assert_eq!(envoy.told_of_calls(), ["scheduler 2: 0"]);
        metrics.close(&first.0);
        assert_eq!(envoy.told_of_calls(), [""; 0], "it is gone once");
        second_config.close();
        metrics.close(&second.0);
        metrics.deliver();
        assert!(envoy.told_of_calls().is_empty() && told(&envoy).is_empty(), "nothing after the end");
        assert!(metrics.outlets.list.lock().is_empty());
        let (_config, _outlet) = filter(&metrics, &envoy, &[ticks]);
        assert_eq!(told(&envoy), [("increment_counter", String::new(), 1)], "and nothing is lost");
    }
}
