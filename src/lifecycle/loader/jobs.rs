//! What the loader has to do, and what its threads are at.

use std::sync::{Arc, Weak};

use crate::config::PluginConfig;
use crate::host::stream::Stream;
use crate::lifecycle::slot::Slot;

/// How soon a slot is looked at again that somebody else holds yet, in nanoseconds.
const LOOK_EVERY: u64 = 250_000_000;

/// See the module's text.
pub(super) struct Jobs<S: Stream> {
    /// Slots that are to be looked at: what waits for nobody.
    looks: Queue<S>,
    /// Slots that are to load, or to ask their source.
    loads: Queue<S>,
    /// Slots whose code is to be compiled once more. One at a time, since that takes every core; and after all that is
    /// due, since nobody waits for it.
    to_optimize: Vec<Weak<Slot<S>>>,
    is_optimizing: bool,
    /// Code that nobody will run before a configuration comes again.
    to_keep: Vec<Arc<PluginConfig>>,
    /// Such code that a thread is at.
    keeping: Vec<Arc<PluginConfig>>,
    /// Slots that Envoy has given up. Held here until nobody else holds them, so that they end on a thread of the loader.
    leaving: Vec<Arc<Slot<S>>>,
}

/// What one thread does next.
pub(super) enum Task<S: Stream> {
    /// A slot does what waits for nobody.
    Look(Arc<Slot<S>>),
    /// A slot loads, or asks its source.
    Load(Arc<Slot<S>>),
    /// A slot's code is compiled once more.
    Optimize(Arc<Slot<S>>),
    /// Code is fetched and compiled for the cache.
    Keep(Arc<PluginConfig>),
}

impl<S: Stream> Jobs<S> {
    /// Jobs of which so many at a time may ask servers.
    pub(super) fn new(most_asking: usize) -> Self {
        Self {
            // Looks ask nobody.
            looks: Queue::new(0),
            loads: Queue::new(most_asking),
            to_optimize: Vec::new(),
            is_optimizing: false,
            to_keep: Vec::new(),
            keeping: Vec::new(),
            leaving: Vec::new(),
        }
    }

    /// Something may be due for a slot at a moment.
    pub(super) fn add(&mut self, slot: &Arc<Slot<S>>, due: u64) {
        self.add_look(slot, due);
        self.add_load(slot, due);
    }

    fn add_look(&mut self, slot: &Arc<Slot<S>>, due: u64) {
        self.looks.add(slot, due, false);
    }

    /// Slots are to be looked at now.
    pub(super) fn add_looks(&mut self, slots: Vec<Weak<Slot<S>>>) {
        for slot in slots {
            self.looks.add_weak(slot, 0, false);
        }
    }

    fn add_load(&mut self, slot: &Arc<Slot<S>>, due: u64) {
        self.loads.add(slot, due, slot.asks_a_server(due));
    }

    pub(super) fn add_to_keep(&mut self, config: &PluginConfig) {
        if !self.to_keep.iter().chain(&self.keeping).any(|other| **other == *config) {
            self.to_keep.push(Arc::new(config.clone()));
        }
    }

    /// A slot is to end when nobody holds it any more.
    pub(super) fn add_to_leave(&mut self, slot: &Arc<Slot<S>>) {
        if !self.is_leaving(slot) {
            self.leaving.push(Arc::clone(slot));
        }
        self.add_look(slot, 0);
    }

    /// Whether nothing is left for another thread, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.looks.list.is_empty()
            && self.loads.list.is_empty()
            && self.to_keep.is_empty()
            && self.to_optimize.is_empty()
    }

    /// The job that has been due for longest, unless another thread is at it: what waits for nobody comes first, what nobody
    /// waits for last.
    pub(super) fn take(&mut self, now: u64) -> Option<Task<S>> {
        if let Some(slot) = self.looks.take(now, 0) {
            return Some(Task::Look(slot));
        }
        // Whoever fetches for the cache asks servers, too.
        if let Some(slot) = self.loads.take(now, self.keeping.len()) {
            return Some(Task::Load(slot));
        }
        if let Some(config) = self.may_keep().then(|| self.to_keep.pop()).flatten() {
            self.keeping.push(Arc::clone(&config));
            return Some(Task::Keep(config));
        }
        while !self.is_optimizing {
            let Some(slot) = self.to_optimize.pop()?.upgrade() else { continue };
            self.is_optimizing = true;
            return Some(Task::Optimize(slot));
        }
        None
    }

    /// A thread has done what it took. `next`: when its slot wants the same again. Answers a slot that is to be dropped when
    /// the jobs are not locked any more.
    pub(super) fn done(&mut self, task: &Task<S>, now: u64, next: Option<u64>) -> Option<Arc<Slot<S>>> {
        match task {
            Task::Look(slot) => {
                self.looks.done(slot);
                let left = self.leave(slot);
                let again = (left.is_none() && self.is_leaving(slot)).then(|| now.saturating_add(LOOK_EVERY));
                if let Some(due) = [next, again].into_iter().flatten().min() {
                    self.add_look(slot, due);
                }
                self.optimize(slot);
                return left;
            }
            Task::Load(slot) => {
                self.loads.done(slot);
                if let Some(due) = next {
                    self.add_load(slot, due);
                }
                // What was replaced drains, what was made is on trial.
                self.add_look(slot, 0);
                self.optimize(slot);
            }
            Task::Optimize(slot) => {
                self.is_optimizing = false;
                self.add_look(slot, 0);
            }
            Task::Keep(config) => self.keeping.retain(|other| !Arc::ptr_eq(other, config)),
        }
        None
    }

    /// When a thread can take the next.
    pub(super) fn next_due(&self) -> Option<u64> {
        let keeps = self.may_keep() && !self.to_keep.is_empty();
        if keeps || !(self.is_optimizing || self.to_optimize.is_empty()) {
            return Some(0);
        }
        let due = [self.looks.next_due(0), self.loads.next_due(self.keeping.len())];
        due.into_iter().flatten().min()
    }

    /// Whether one more may ask servers, for the cache.
    fn may_keep(&self) -> bool {
        self.loads.asking().saturating_add(self.keeping.len()) < self.loads.most_asking
    }

    fn optimize(&mut self, slot: &Arc<Slot<S>>) {
        let weak = Arc::downgrade(slot);
        if slot.is_to_be_optimized() && !self.to_optimize.iter().any(|other| other.ptr_eq(&weak)) {
            self.to_optimize.push(weak);
        }
    }

    /// Lets a slot go that nobody holds but the task that has looked at it, or that is used again.
    fn leave(&mut self, slot: &Arc<Slot<S>>) -> Option<Arc<Slot<S>>> {
        let place = self.leaving.iter().position(|other| Arc::ptr_eq(other, slot))?;
        // One count is the task's, and one that of the list.
        let is_alone = Arc::strong_count(slot) <= 2;
        (is_alone || slot.is_used()).then(|| self.leaving.swap_remove(place))
    }

    fn is_leaving(&self, slot: &Arc<Slot<S>>) -> bool {
        self.leaving.iter().any(|other| Arc::ptr_eq(other, slot))
    }
}

/// Slots that something is due for at a moment, each with at most one thread at it.
struct Queue<S: Stream> {
    list: Vec<Job<S>>,
    under_way: Vec<UnderWay<S>>,
    /// How many of those may ask servers.
    most_asking: usize,
}

struct Job<S: Stream> {
    slot: Weak<Slot<S>>,
    /// When, on the clock that never goes back.
    due: u64,
    /// A server will be asked.
    is_asking: bool,
}

/// A slot that a thread is at.
struct UnderWay<S: Stream> {
    slot: Weak<Slot<S>>,
    is_asking: bool,
}

impl<S: Stream> Queue<S> {
    fn new(most_asking: usize) -> Self {
        Self { list: Vec::new(), under_way: Vec::new(), most_asking }
    }

    /// What is asked for already is done once, as soon as anybody wants it.
    fn add(&mut self, slot: &Arc<Slot<S>>, due: u64, is_asking: bool) {
        self.add_weak(Arc::downgrade(slot), due, is_asking);
    }

    fn add_weak(&mut self, slot: Weak<Slot<S>>, due: u64, is_asking: bool) {
        self.list.retain(|job| job.slot.strong_count() > 0);
        match self.list.iter_mut().find(|job| job.slot.ptr_eq(&slot)) {
            Some(job) => (job.due, job.is_asking) = (job.due.min(due), job.is_asking || is_asking),
            None => self.list.push(Job { slot, due, is_asking }),
        }
    }

    /// The slot that has been due for longest and is free. `others`: threads that ask servers for something else.
    fn take(&mut self, now: u64, others: usize) -> Option<Arc<Slot<S>>> {
        loop {
            let is_next = |job: &Job<S>| job.due <= now && self.is_free(job, others);
            let due = self.list.iter().enumerate().filter(|(_, job)| is_next(job));
            let (place, _) = due.min_by_key(|(_, job)| job.due)?;
            let Job { slot, is_asking, .. } = self.list.swap_remove(place);
            // One whose slot has gone is forgotten here.
            if let Some(taken) = slot.upgrade() {
                self.under_way.push(UnderWay { slot, is_asking });
                return Some(taken);
            }
        }
    }

    fn done(&mut self, slot: &Arc<Slot<S>>) {
        self.under_way.retain(|other| other.slot.as_ptr() != Arc::as_ptr(slot));
    }

    /// Whether a thread may take it: none is at its slot, nor are too many waiting for servers.
    fn is_free(&self, job: &Job<S>, others: usize) -> bool {
        let is_under_way = self.under_way.iter().any(|other| other.slot.ptr_eq(&job.slot));
        !is_under_way && (!job.is_asking || self.asking().saturating_add(others) < self.most_asking)
    }

    fn asking(&self) -> usize {
        self.under_way.iter().filter(|other| other.is_asking).count()
    }

    fn next_due(&self, others: usize) -> Option<u64> {
        self.list.iter().filter(|job| self.is_free(job, others)).map(|job| job.due).min()
    }
}
