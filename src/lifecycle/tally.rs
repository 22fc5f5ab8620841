//! What a pool tells of itself in the proxy's statistics (`docs/METRICS.md`).
//!
//! What happens seldom is counted on the spot: a VM is started, a stream waits. What there is now (VMs, their memory,
//! streams) nobody counts: the keeper looks, about once a second while something goes on, and tells what has changed. A
//! stream costs a look at a flag, and a hold on its worker's [`Shard`].
//!
//! Several pools and generations may be one plugin's. So each tells by how much its own [`Level`] has changed, and the
//! statistic is the sum; who goes takes back what it has told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

use crate::host::stream::{MetricUpdate, Services, Stream};
use crate::telemetry::stats::Stat;

type Metric<S> = <<S as Stream>::Services as Services>::Metric;

/// Of a pool, under the name of the plugin that made it. Any thread.
pub struct Tally<S: Stream> {
    services: Arc<S::Services>,
    plugin: Box<str>,
    metrics: [OnceLock<Metric<S>>; Stat::ALL.len()],
    levels: Mutex<Vec<Level<S>>>,
    generations: Mutex<Vec<Weak<Streams<S>>>>,
    /// The keeper has been asked to look.
    is_asked: AtomicBool,
}

/// What a gauge says of one pool or generation.
struct Level<S: Stream> {
    stat: Stat,
    metric: Metric<S>,
    told: u64,
}

impl<S: Stream> Level<S> {
    fn new(services: &S::Services, stat: Stat, labels: &[&str]) -> Self {
        Self { stat, metric: services.stat(stat, labels), told: 0 }
    }

    /// Answers whether it has changed.
    fn tell(&mut self, services: &S::Services, now: u64) -> bool {
        let change = now.abs_diff(self.told);
        if change > 0 {
            let has_grown = now > self.told;
            let update = if has_grown { MetricUpdate::Add(change) } else { MetricUpdate::Subtract(change) };
            services.update_metric(&self.metric, update);
            self.told = now;
        }
        change > 0
    }
}

impl<S: Stream> Tally<S> {
    /// Of a pool that nothing has happened in.
    pub fn new(services: &Arc<S::Services>, plugin: &str) -> Self {
        Self {
            services: Arc::clone(services),
            plugin: plugin.into(),
            metrics: [const { OnceLock::new() }; Stat::ALL.len()],
            levels: Mutex::default(),
            generations: Mutex::default(),
            is_asked: AtomicBool::new(false),
        }
    }

    /// The plugin that made the pool.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Something has happened.
    pub fn count(&self, stat: Stat) {
        self.add(stat, 1);
    }

    /// It has happened so often.
    pub fn add(&self, stat: Stat, times: u64) {
        if times > 0 {
            self.update(stat, MetricUpdate::Add(times));
        }
    }

    /// Something took so many nanoseconds; `unit` of them are one of the histogram's.
    pub fn record(&self, stat: Stat, nanoseconds: u64, unit: u64) {
        self.update(stat, MetricUpdate::Record(nanoseconds.checked_div(unit).unwrap_or(0)));
    }

    /// A stream has waited for a VM, so many nanoseconds. `has_timed_out`: it got none, and the failure policy decides.
    pub fn waited(&self, nanoseconds: u64, has_timed_out: bool) {
        self.count(Stat::Waits);
        self.add(Stat::WaitTimeouts, u64::from(has_timed_out));
        self.record(Stat::WaitMs, nanoseconds, 1_000_000);
    }

    fn update(&self, stat: Stat, update: MetricUpdate) {
        if let Some(metric) = self.metrics.get(stat as usize) {
            let metric = metric.get_or_init(|| self.services.stat(stat, &[&self.plugin]));
            self.services.update_metric(metric, update);
        }
    }

    /// Something goes on; answers whether the keeper has to be asked to look. Cheap if it has been asked.
    pub fn ask(&self) -> bool {
        !self.is_asked.load(Ordering::Relaxed) && !self.is_asked.swap(true, Ordering::AcqRel)
    }

    /// The keeper looks now: what happens from here on asks anew.
    pub fn begin_look(&self) {
        self.is_asked.store(false, Ordering::Release);
    }

    /// What there is now, and how many streams there are. Answers whether anything has changed, or streams are there.
    pub fn tell(&self, levels: &[(Stat, u64)]) -> bool {
        let mut told = self.levels.lock();
        let mut has_changed = false;
        for (stat, now) in levels {
            let place = told.iter().position(|level| level.stat == *stat).unwrap_or_else(|| {
                told.push(Level::new(&*self.services, *stat, &[&self.plugin]));
                told.len().saturating_sub(1)
            });
            has_changed |= told.get_mut(place).is_some_and(|level| level.tell(&self.services, *now));
        }
        drop(told);
        let mut generations = self.generations.lock();
        generations.retain(|generation| generation.strong_count() > 0);
        let generations: Vec<_> = generations.iter().filter_map(Weak::upgrade).collect();
        generations.iter().fold(has_changed, |goes_on, generation| generation.tell() || goes_on)
    }

    /// A generation begins, whose streams have a VM of so many bytes each, if they have one of their own.
    pub fn generation(
        &self,
        plugin: &str,
        number: u64,
        workers: usize,
        copy_bytes: usize,
    ) -> Arc<Streams<S>> {
        let level = |stat, labels: &[&str]| Level::new(&*self.services, stat, labels);
        let streams = Arc::new(Streams {
            services: Arc::clone(&self.services),
            shards: (0..workers.max(1)).map(|_| OnceLock::new()).collect(),
            copy_bytes: u64::try_from(copy_bytes).unwrap_or(u64::MAX),
            levels: Mutex::new(StreamLevels {
                loaded: level(Stat::GenerationsActive, &[plugin]),
                streams: level(Stat::StreamsActive, &[plugin, &number.to_string()]),
                memory: level(Stat::MemoryBytes, &[plugin]),
            }),
        });
        self.generations.lock().push(Arc::downgrade(&streams));
        streams
    }
}

impl<S: Stream> Drop for Tally<S> {
    fn drop(&mut self) {
        for level in self.levels.get_mut() {
            level.tell(&self.services, 0);
        }
        self.services.publish_metrics();
    }
}

/// What a slot counts, under the name of its plugin. Any thread.
pub struct SlotTally<S: Stream> {
    services: Arc<S::Services>,
    plugin: Box<str>,
}

impl<S: Stream> SlotTally<S> {
    pub(super) fn new(services: &Arc<S::Services>, plugin: &str) -> Self {
        Self { services: Arc::clone(services), plugin: plugin.into() }
    }

    /// A generation was loaded, in so many nanoseconds.
    pub(super) fn loaded(&self, nanoseconds: u64) {
        self.count(Stat::Loads);
        self.update(Stat::LoadMs, MetricUpdate::Record(nanoseconds / 1_000_000));
    }

    /// One could not be loaded.
    pub(super) fn failed(&self) {
        self.count(Stat::LoadFailures);
    }

    pub(super) fn count(&self, stat: Stat) {
        self.update(stat, MetricUpdate::Add(1));
        self.services.publish_metrics();
    }

    /// The clock that never goes back.
    pub(super) fn now(&self) -> u64 {
        self.services.monotonic_nanoseconds()
    }

    /// A stream has waited for the first generation. `has_timed_out`: in vain, and the failure policy decides.
    pub fn waited(&self, has_timed_out: bool) {
        self.count(if has_timed_out { Stat::LoadWaitTimeouts } else { Stat::LoadWaits });
    }

    fn update(&self, stat: Stat, update: MetricUpdate) {
        self.services.update_metric(&self.services.stat(stat, &[&self.plugin]), update);
    }
}

/// The streams of a generation. How many there are is how many hold a shard.
pub struct Streams<S: Stream> {
    services: Arc<S::Services>,
    /// Made with a worker's first stream.
    shards: Box<[OnceLock<Arc<Shard>>]>,
    copy_bytes: u64,
    levels: Mutex<StreamLevels<S>>,
}

struct StreamLevels<S: Stream> {
    loaded: Level<S>,
    streams: Level<S>,
    memory: Level<S>,
}

/// What the streams of a worker hold. By itself in its cache lines, for no worker shall disturb another.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Shard {
    begun: AtomicU64,
    failures: AtomicU64,
    is_over: AtomicBool,
}

impl Shard {
    /// Whether streams of the generation may go on no longer.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// A stream failed.
    pub fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl<S: Stream> Streams<S> {
    /// A stream begins on a worker, and is there until this is dropped.
    pub fn enter(&self, worker: usize) -> Option<Arc<Shard>> {
        let shard = self.shards.get(worker.checked_rem(self.shards.len()).unwrap_or(0))?;
        let shard = Arc::clone(shard.get_or_init(Arc::default));
        shard.begun.fetch_add(1, Ordering::Relaxed);
        Some(shard)
    }

    /// How many have begun.
    pub fn begun(&self) -> u64 {
        self.sum(|shard| shard.begun.load(Ordering::Relaxed))
    }

    /// How many of them failed.
    pub fn failures(&self) -> u64 {
        self.sum(|shard| shard.failures.load(Ordering::Relaxed))
    }

    /// They may go on no longer.
    pub fn end(&self) {
        for shard in self.shards.iter().filter_map(OnceLock::get) {
            shard.is_over.store(true, Ordering::Relaxed);
        }
    }

    fn sum(&self, count: impl Fn(&Shard) -> u64) -> u64 {
        self.shards.iter().filter_map(OnceLock::get).map(|shard| count(shard)).sum()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        let held = |shard: &Arc<Shard>| Arc::strong_count(shard).saturating_sub(1);
        u64::try_from(self.shards.iter().filter_map(OnceLock::get).map(held).sum::<usize>())
            .unwrap_or(u64::MAX)
    }

    fn tell(&self) -> bool {
        let now = self.count();
        let mut levels = self.levels.lock();
        let has_changed = levels.loaded.tell(&self.services, 1) | levels.streams.tell(&self.services, now);
        levels.memory.tell(&self.services, now.saturating_mul(self.copy_bytes)) || has_changed || now > 0
    }
}

impl<S: Stream> Drop for Streams<S> {
    fn drop(&mut self) {
        let levels = self.levels.get_mut();
        for level in [&mut levels.loaded, &mut levels.streams, &mut levels.memory] {
            level.tell(&self.services, 0);
        }
        self.services.publish_metrics();
    }
}

impl<S: Stream> std::fmt::Debug for Tally<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tally").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}

impl<S: Stream> std::fmt::Debug for Streams<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Streams").field("count", &self.count()).finish_non_exhaustive()
    }
}
