//! The metrics of one VM: the ids that its guest knows them by, and which change a kind takes.
//!
//! An id carries its kind in the low two bits, as in the built-in host, so that `proxy_increment_metric` on a
//! histogram can be told from one on an unknown metric. Defining a name again gives a new id for the same metric.

use std::sync::Arc;

use parking_lot::Mutex;

use super::stream::MetricUpdate;
use super::types::{MetricType, Status};

const KIND_BITS: u32 = 2;
const KIND_MASK: u32 = (1 << KIND_BITS) - 1;

/// Most metrics that a VM may define, each kind. A guest that defines one a request would otherwise fill memory.
pub const MOST_METRICS: usize = 65_536;

/// Most bytes that the names of a VM's metrics may have in all: far more than anybody reads, and far less than the
/// longest name times the most metrics.
pub const MOST_NAME_BYTES: usize = 16 * 1024 * 1024;

/// The table of one VM. `M` is the proxy's metric. Copies of a VM share one table until they define a metric themselves.
#[derive(Debug)]
pub struct Metrics<M> {
    table: Arc<Table<M>>,
    /// Nothing in copies: each stream would define its metrics once more.
    outside: Option<Outside<M>>,
}

/// The metrics of a VM, for threads that are not inside. Locked only while something is read or added.
pub type Outside<M> = Arc<Mutex<Vec<M>>>;

#[derive(Debug, Clone)]
struct Table<M> {
    name_bytes: usize,
    counters: Vec<M>,
    gauges: Vec<M>,
    histograms: Vec<M>,
}

impl<M> Default for Metrics<M> {
    fn default() -> Self {
        let table = Table { name_bytes: 0, counters: Vec::new(), gauges: Vec::new(), histograms: Vec::new() };
        Self { table: Arc::new(table), outside: Some(Outside::default()) }
    }
}

impl<M: Clone> Metrics<M> {
    /// The same for a copy of the VM.
    #[must_use]
    pub fn for_copy(&self) -> Self {
        Self { table: Arc::clone(&self.table), outside: None }
    }

    /// What is defined, now and later, without going into the VM.
    pub fn outside(&self) -> Option<Outside<M>> {
        self.outside.clone()
    }

    /// Whether one more of a kind, with a name of so many bytes, can be defined.
    pub fn has_room(&self, kind: MetricType, name_length: usize) -> bool {
        self.of(kind).len() < MOST_METRICS
            && self.table.name_bytes.saturating_add(name_length) <= MOST_NAME_BYTES
    }

    /// Enters a metric; answers the id for the guest, or `None` when there is no room.
    pub fn enter(&mut self, kind: MetricType, name_length: usize, metric: M) -> Option<u32> {
        if !self.has_room(kind, name_length) {
            return None;
        }
        if let Some(outside) = &self.outside {
            outside.lock().push(metric.clone());
        }
        let table = Arc::make_mut(&mut self.table);
        table.name_bytes = table.name_bytes.saturating_add(name_length);
        let metrics = match kind {
            MetricType::Counter => &mut table.counters,
            MetricType::Gauge => &mut table.gauges,
            MetricType::Histogram => &mut table.histograms,
        };
        let index = u32::try_from(metrics.len()).ok()?;
        metrics.push(metric);
        Some((index << KIND_BITS) | kind as u32)
    }

    /// Finds a metric by the guest's id.
    ///
    /// # Errors
    /// `Err(None)`: the id's kind is none. `Err(Some(kind))`: no such id of that kind.
    pub fn find(&self, id: u32) -> Result<(MetricType, &M), Option<MetricType>> {
        let kind = MetricType::try_from(id & KIND_MASK).map_err(|_not_a_kind| None)?;
        let index = usize::try_from(id >> KIND_BITS).map_err(|_too_large| Some(kind))?;
        self.of(kind).get(index).map(|metric| (kind, metric)).ok_or(Some(kind))
    }

    /// All metrics with their kinds.
    pub fn iter(&self) -> impl Iterator<Item = &M> {
        self.table.counters.iter().chain(&self.table.gauges).chain(&self.table.histograms)
    }

    fn of(&self, kind: MetricType) -> &[M] {
        match kind {
            MetricType::Counter => &self.table.counters,
            MetricType::Gauge => &self.table.gauges,
            MetricType::Histogram => &self.table.histograms,
        }
    }
}

/// What `proxy_increment_metric` does to a kind.
///
/// # Errors
/// A counter does not shrink or stay; a histogram takes no increments.
pub fn increment(kind: MetricType, offset: i64) -> Result<MetricUpdate, Status> {
    match kind {
        MetricType::Counter if offset <= 0 => Err(Status::BadArgument),
        MetricType::Counter => Ok(MetricUpdate::Add(offset.unsigned_abs())),
        MetricType::Gauge if offset > 0 => Ok(MetricUpdate::Add(offset.unsigned_abs())),
        MetricType::Gauge => Ok(MetricUpdate::Subtract(offset.unsigned_abs())),
        MetricType::Histogram => Err(Status::BadArgument),
    }
}

/// What `proxy_record_metric` does to a kind. On a counter it adds, as in the built-in host.
pub fn record(kind: MetricType, value: u64) -> MetricUpdate {
    match kind {
        MetricType::Counter => MetricUpdate::Add(value),
        MetricType::Gauge => MetricUpdate::Set(value),
        MetricType::Histogram => MetricUpdate::Record(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_kind() {
        let mut metrics = Metrics::default();
        assert_eq!(metrics.enter(MetricType::Counter, 2, "c0"), Some(0));
        assert_eq!(metrics.enter(MetricType::Gauge, 2, "g0"), Some(1));
        assert_eq!(metrics.enter(MetricType::Histogram, 2, "h0"), Some(2));
        assert_eq!(metrics.enter(MetricType::Counter, 2, "c1"), Some(4));
        assert_eq!(metrics.find(4), Ok((MetricType::Counter, &"c1")));
        assert_eq!(metrics.find(5), Err(Some(MetricType::Gauge)));
        assert_eq!(metrics.find(3), Err(None));
        assert_eq!(metrics.find(u32::MAX), Err(None));
        assert_eq!(metrics.iter().count(), 4);
    }

    #[test]
    fn a_table_that_is_full_takes_no_more() {
        let mut metrics = Metrics::default();
        for _ in 0..MOST_METRICS {
            assert!(metrics.enter(MetricType::Gauge, 1, ()).is_some());
        }
        assert_eq!(metrics.enter(MetricType::Gauge, 1, ()), None);
        assert!(!metrics.has_room(MetricType::Gauge, 1));
        assert!(metrics.has_room(MetricType::Counter, 1));
    }

    #[test]
    fn long_names_leave_less_room() {
        let mut metrics = Metrics::default();
        assert!(metrics.enter(MetricType::Gauge, MOST_NAME_BYTES, ()).is_some());
        assert!(!metrics.has_room(MetricType::Counter, 1));
        assert_eq!(metrics.enter(MetricType::Counter, 1, ()), None);
        assert!(metrics.has_room(MetricType::Counter, 0));
    }

    #[test]
    fn each_kind_takes_its_own_changes() {
        assert_eq!(increment(MetricType::Counter, 0), Err(Status::BadArgument));
        assert_eq!(increment(MetricType::Counter, 3), Ok(MetricUpdate::Add(3)));
        assert_eq!(increment(MetricType::Gauge, i64::MIN), Ok(MetricUpdate::Subtract(1 << 63)));
        assert_eq!(increment(MetricType::Histogram, 1), Err(Status::BadArgument));
        assert_eq!(record(MetricType::Counter, 7), MetricUpdate::Add(7));
        assert_eq!(record(MetricType::Gauge, 7), MetricUpdate::Set(7));
        assert_eq!(record(MetricType::Histogram, 7), MetricUpdate::Record(7));
    }
}
