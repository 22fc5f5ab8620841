//! What Graft has counted of a plugin, for its page on the admin endpoint.

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

impl Metrics {
    /// What was counted under the name of a plugin.
    pub fn totals(&self, plugin: &str) -> Totals {
        let by_name = self.by_name.lock();
        let sum_of = |stat| {
            let values = by_name.values().filter(|metric| metric.is_of(stat, plugin));
            values.map(|metric| metric.value()).fold(0, u64::wrapping_add)
        };
        Totals(TOLD.map(|(_, stat)| sum_of(stat)))
    }
}

impl Metric {
    /// Whether it is this statistic of this plugin.
    fn is_of(&self, stat: Stat, plugin: &str) -> bool {
        self.own.as_ref().is_some_and(|(own, labels)| {
            *own == stat && labels.first().is_some_and(|label| **label == *plugin.as_bytes())
        })
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
