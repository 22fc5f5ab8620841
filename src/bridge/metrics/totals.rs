//! What Graft has counted of a plugin, for its page on the admin endpoint.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Metric, Metrics};
use crate::telemetry::stats::Stat;

/// What is told, and under which name.
const TOLD: [(&str, Stat); 6] = [
    ("loads", Stat::Loads),
    ("load_failures", Stat::LoadFailures),
    ("rollbacks", Stat::Rollbacks),
    ("traps", Stat::Traps),
    ("deadline_hits", Stat::DeadlineHits),
    ("streams_failed", Stat::StreamsFailed),
];

/// Sums over the labels other than the plugin's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals([u64; TOLD.len()]);

impl Totals {
    /// Each with its name.
    pub fn list(&self) -> [(&'static str, u64); TOLD.len()] {
        let mut list = TOLD.map(|(name, _)| (name, 0));
        for (entry, count) in list.iter_mut().zip(self.0) {
            entry.1 = count;
        }
        list
    }
}

/// The metrics that are told, by the name of their plugin. Found without a look at all others: there may be many, and
/// workers ask for theirs by the lock of those.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<ByPlugin>);

type ByPlugin = HashMap<Box<[u8]>, Vec<Arc<Metric>>>;

impl Told {
    /// A statistic of Graft's own has come.
    pub(super) fn add(&self, metric: &Arc<Metric>) {
        if let Some((_stat, labels)) = metric.own.as_ref().filter(|(stat, _)| place_of(*stat).is_some())
            && let Some(plugin) = labels.first()
        {
            self.0.lock().entry(plugin.clone()).or_default().push(Arc::clone(metric));
        }
    }
}

/// Where a statistic is told.
fn place_of(stat: Stat) -> Option<usize> {
    TOLD.iter().position(|(_, told)| *told == stat)
}

impl Metrics {
    /// What was counted under the name of a plugin.
    pub fn totals(&self, plugin: &str) -> Totals {
        let mut totals = Totals::default();
        let told = self.told.0.lock();
        for metric in told.get(plugin.as_bytes()).into_iter().flatten() {
            let place = metric.own.as_ref().and_then(|(stat, _labels)| place_of(*stat));
            if let Some(total) = place.and_then(|place| totals.0.get_mut(place)) {
                *total = total.wrapping_add(metric.value());
            }
        }
        totals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::stream::MetricUpdate;

    #[test]
    fn each_cause_counts_and_each_plugin_by_itself() {
        let metrics = Metrics::default();
        for (stat, labels, count) in [
            (Stat::Traps, &["auth", "deadline"][..], 2),
            (Stat::Traps, &["auth", "unreachable"], 3),
            (Stat::Traps, &["other", "deadline"], 100),
            (Stat::Loads, &["auth"], 1),
            (Stat::VmsActive, &["auth"], 7),
        ] {
            metrics.wait(&metrics.own(stat, labels), MetricUpdate::Add(count));
        }
        let expected = [
            ("loads", 1),
            ("load_failures", 0),
            ("rollbacks", 0),
            ("traps", 5),
            ("deadline_hits", 0),
            ("streams_failed", 0),
        ];
        assert_eq!(metrics.totals("auth").list(), expected);
        assert_eq!(metrics.totals("nobody"), Totals::default());
    }
}
