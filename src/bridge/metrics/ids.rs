//! What Envoy calls our metrics in one configuration, and how it is told of updates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::{SmallVec, smallvec};

use super::{Metric, Metrics};
use crate::abi::{
    AccessLogConfigHandle, BootstrapHandle, ConnectionConfigHandle, ConnectionHandle, HttpFilterConfigHandle,
    HttpFilterHandle, MetricError, MetricId,
};
use crate::host::stream::MetricUpdate;
use crate::host::types::MetricType;
use crate::telemetry::stats::{Kind, Stat};

/// Name of the label of late metrics.
const LATE_LABEL: &[u8] = b"metric";

/// Values of labels, borrowed from a metric.
type Labels<'a> = SmallVec<[&'a [u8]; 2]>;

/// The ids of one configuration. Fixed when it has been made.
#[derive(Debug, Default)]
pub struct Ids {
    /// By [`Metric::index`]; a metric beyond the end, or `None`, is late.
    known: Vec<Option<MetricId>>,
    late_counter: Option<MetricId>,
    late_gauge: Option<MetricId>,
    late_histogram: Option<MetricId>,
    /// Graft's own, by number.
    own: [Option<MetricId>; Stat::ALL.len()],
    /// Up to where this configuration has looked for updates that wait.
    pub(super) seen: AtomicU64,
}

/// A configuration of Envoy's that is being made.
pub(super) trait Definitions {
    /// Defines a metric. Labels are refused where Envoy has none.
    fn define(&self, kind: MetricType, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError>;
}

/// What takes updates: a stream, or a configuration.
pub(in crate::bridge) trait Updates {
    /// Tells Envoy of one. The labels are as many as were defined.
    fn tell(
        &self,
        kind: MetricType,
        update: MetricUpdate,
        id: MetricId,
        labels: &[&[u8]],
    ) -> Result<(), MetricError>;
}

/// The handles that define, those with labels first.
macro_rules! definitions {
    ($($handle:ty),*; plain $($plain:ty),*) => {
        $(impl Definitions for $handle {
            fn define(&self, kind: MetricType, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
                match kind {
                    MetricType::Counter => self.define_counter(name, labels),
                    MetricType::Gauge => self.define_gauge(name, labels),
                    MetricType::Histogram => self.define_histogram(name, labels),
                }
            }
        })*
        $(impl Definitions for $plain {
            fn define(&self, kind: MetricType, name: &[u8], labels: &[&[u8]]) -> Result<MetricId, MetricError> {
                if !labels.is_empty() {
                    return Err(MetricError::InvalidLabels);
                }
                match kind {
                    MetricType::Counter => self.define_counter(name),
                    MetricType::Gauge => self.define_gauge(name),
                    MetricType::Histogram => self.define_histogram(name),
                }
            }
        })*
    };
}

/// A handle that takes updates. All have the same five methods, with labels or without.
macro_rules! updates {
    ($handle:ty $(, $labels:ident)?) => {
        impl Updates for $handle {
            fn tell(
                &self,
                kind: MetricType,
                update: MetricUpdate,
                id: MetricId,
                _labels: &[&[u8]],
            ) -> Result<(), MetricError> {
                $(let $labels = _labels;)?
                match (kind, update) {
                    (MetricType::Gauge, MetricUpdate::Add(value)) => self.increment_gauge(id, $($labels,)? value),
                    (MetricType::Gauge, MetricUpdate::Subtract(value)) => {
                        self.decrement_gauge(id, $($labels,)? value)
                    }
                    (MetricType::Gauge, MetricUpdate::Set(value) | MetricUpdate::Record(value)) => {
                        self.set_gauge(id, $($labels,)? value)
                    }
                    (MetricType::Histogram, MetricUpdate::Record(value)) => {
                        self.record_histogram(id, $($labels,)? value)
                    }
                    (MetricType::Counter, MetricUpdate::Add(value)) => {
                        self.increment_counter(id, $($labels,)? value)
                    }
                    (MetricType::Counter | MetricType::Histogram, _) => Ok(()),
                }
            }
        }
    };
}

definitions!(
    HttpFilterConfigHandle, BootstrapHandle;
    plain AccessLogConfigHandle, ConnectionConfigHandle
);
updates!(HttpFilterHandle, labels);
updates!(HttpFilterConfigHandle, labels);
updates!(BootstrapHandle, labels);
updates!(ConnectionHandle);
updates!(ConnectionConfigHandle);
updates!(AccessLogConfigHandle);

impl Ids {
    /// Defines metrics; and where Envoy has labels, the three for late ones and Graft's own.
    pub(super) fn define(envoy: &impl Definitions, metrics: &[Arc<Metric>]) -> Self {
        let late = |kind, name: &[u8]| envoy.define(kind, name, &[LATE_LABEL]).ok();
        let mut ids = Self {
            known: Vec::new(),
            late_counter: late(MetricType::Counter, b"wasm_counter"),
            late_gauge: late(MetricType::Gauge, b"wasm_gauge"),
            late_histogram: late(MetricType::Histogram, b"wasm_histogram"),
            own: Stat::ALL.map(|stat| {
                let labels: Labels<'_> = stat.labels().iter().map(|label| label.as_bytes()).collect();
                envoy.define(kind_of(stat), stat.name().as_bytes(), &labels).ok()
            }),
            seen: AtomicU64::new(0),
        };
        for metric in metrics {
            if ids.known.len() <= metric.index {
                ids.known.resize(metric.index.saturating_add(1), None);
            }
            let Some(place @ None) = ids.known.get_mut(metric.index) else { continue };
            *place = envoy.define(metric.kind, &metric.name, &[]).ok();
            metric.is_defined.fetch_or(place.is_some(), Ordering::Relaxed);
        }
        ids
    }

    /// Whether a metric has its own name here.
    pub(super) fn knows(&self, metric: &Metric) -> bool {
        match metric.own {
            Some((stat, _)) => self.own(stat).is_some(),
            None => self.known.get(metric.index).is_some_and(Option::is_some),
        }
    }

    /// Whether updates that wait may be carried here: under the metric's own name, or if it has that nowhere, under the
    /// label of late ones.
    pub(super) fn takes(&self, metric: &Metric) -> bool {
        let is_elsewhere = || metric.own.is_some() || metric.is_defined.load(Ordering::Relaxed);
        self.knows(metric) || (!is_elsewhere() && self.late(metric.kind).is_some())
    }

    /// Changes a metric in Envoy's stats from within a hook. A metric that is not known here waits for one that knows
    /// it (false); a change that Envoy refuses is lost there. The shadow has both.
    pub(in crate::bridge) fn update(
        &self,
        envoy: &impl Updates,
        metrics: &Metrics,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        let Some((id, labels)) = self.find(metric) else {
            metrics.wait(metric, update);
            return false;
        };
        metric.shadow(update);
        let _refused = envoy.tell(metric.kind, metric.told(update), id, &labels);
        true
    }

    /// The same for a stream that may not be at hand: then the change waits (false).
    pub(in crate::bridge) fn update_or_wait(
        &self,
        envoy: Option<&impl Updates>,
        metrics: &Metrics,
        metric: &Arc<Metric>,
        update: MetricUpdate,
    ) -> bool {
        let Some(envoy) = envoy else {
            metrics.wait(metric, update);
            return false;
        };
        self.update(envoy, metrics, metric, update)
    }

    /// Tells Envoy alone.
    pub(super) fn tell(
        &self,
        envoy: &impl Updates,
        metric: &Metric,
        update: MetricUpdate,
    ) -> Result<(), MetricError> {
        let (id, labels) = self.find(metric).ok_or(MetricError::NotFound)?;
        envoy.tell(metric.kind, update, id, &labels)
    }

    /// Envoy's id of a metric, with the values of its labels.
    fn find<'a>(&self, metric: &'a Metric) -> Option<(MetricId, Labels<'a>)> {
        if let Some(Some(id)) = self.known.get(metric.index) {
            return Some((*id, Labels::new()));
        }
        match &metric.own {
            Some((stat, values)) => Some((self.own(*stat)?, values.iter().map(|value| &**value).collect())),
            None => Some((self.late(metric.kind)?, smallvec![&*metric.name])),
        }
    }

    fn own(&self, stat: Stat) -> Option<MetricId> {
        self.own.get(stat as usize).copied().flatten()
    }

    fn late(&self, kind: MetricType) -> Option<MetricId> {
        match kind {
            MetricType::Counter => self.late_counter,
            MetricType::Gauge => self.late_gauge,
            MetricType::Histogram => self.late_histogram,
        }
    }
}

/// How a statistic of Graft's counts, in the host's word.
pub(super) fn kind_of(stat: Stat) -> MetricType {
    match stat.kind() {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    }
}
