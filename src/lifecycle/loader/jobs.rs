//! What the loader has to do, and what its threads are at.

use std::sync::{Arc, Weak};

use crate::config::PluginConfig;
use crate::host::stream::Stream;
use crate::lifecycle::slot::Slot;

/// How soon a slot is looked at again that somebody else holds yet, in nanoseconds.
const LOOK_EVERY: u64 = 250_000_000;

/// See the module's text.
pub(super) struct Jobs<S: Stream> {
    list: Vec<Job<S>>,
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

/// What one thread does next.
pub(super) enum Task<S: Stream> {
    /// A slot does what is due.
    Advance(Arc<Slot<S>>),
    /// A slot's code is compiled once more.
    Optimize(Arc<Slot<S>>),
    /// Code is fetched and compiled for the cache.
    Keep(Arc<PluginConfig>),
}

impl<S: Stream> Jobs<S> {
    pub(super) fn new(most_asking: usize) -> Self {
        Self {
            list: Vec::new(),
            to_optimize: Vec::new(),
            is_optimizing: false,
            to_keep: Vec::new(),
            keeping: Vec::new(),
            leaving: Vec::new(),
            under_way: Vec::new(),
            most_asking,
        }
    }

    /// What is asked for already is done once, as soon as anybody wants it.
    pub(super) fn add(&mut self, slot: &Arc<Slot<S>>, due: u64) {
        let is_asking = slot.asks_a_server(due);
        let slot = Arc::downgrade(slot);
        match self.list.iter_mut().find(|job| job.slot.ptr_eq(&slot)) {
            Some(job) => (job.due, job.is_asking) = (job.due.min(due), job.is_asking || is_asking),
            None => self.list.push(Job { slot, due, is_asking }),
        }
    }

    pub(super) fn add_to_keep(&mut self, config: &PluginConfig) {
        if !self.to_keep.iter().chain(&self.keeping).any(|other| **other == *config) {
            self.to_keep.push(Arc::new(config.clone()));
        }
    }

    /// A slot is to end when nobody holds it any more.
    pub(super) fn add_to_leave(&mut self, slot: &Arc<Slot<S>>) {
        if !self.leaving.iter().any(|other| Arc::ptr_eq(other, slot)) {
            self.leaving.push(Arc::clone(slot));
        }
        self.add(slot, 0);
    }

    /// Whether nothing is left for another thread, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty() && self.to_keep.is_empty() && self.to_optimize.is_empty()
    }

    /// The job that has been due for longest, unless another thread is at its slot.
    pub(super) fn take(&mut self, now: u64) -> Option<Task<S>> {
        if let Some(task) = self.take_due(now) {
            return Some(task);
        }
        if let Some(config) = self.to_keep.pop() {
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

    fn take_due(&mut self, now: u64) -> Option<Task<S>> {
        loop {
            let due = self.list.iter().enumerate().filter(|(_, job)| job.due <= now && self.is_free(job));
            let (place, _) = due.min_by_key(|(_, job)| job.due)?;
            let Job { slot, is_asking, .. } = self.list.swap_remove(place);
            // One whose slot has gone is forgotten here.
            if let Some(task) = slot.upgrade().map(Task::Advance) {
                self.under_way.push(UnderWay { slot, is_asking });
                return Some(task);
            }
        }
    }

    /// Whether a thread may take it: none is at its slot, nor are too many waiting for servers.
    fn is_free(&self, job: &Job<S>) -> bool {
        let asking = || self.under_way.iter().filter(|other| other.is_asking).count();
        let is_under_way = self.under_way.iter().any(|other| other.slot.ptr_eq(&job.slot));
        !is_under_way && (!job.is_asking || asking() < self.most_asking)
    }

    /// A thread has done what it took. `next`: when its slot wants to be advanced again. Answers a slot that is to be dropped
    /// when the jobs are not locked any more.
    pub(super) fn done(&mut self, task: &Task<S>, now: u64, next: Option<u64>) -> Option<Arc<Slot<S>>> {
        match task {
            Task::Advance(slot) => {
                let weak = Arc::downgrade(slot);
                self.under_way.retain(|other| !other.slot.ptr_eq(&weak));
                if slot.is_to_be_optimized() && !self.to_optimize.iter().any(|other| other.ptr_eq(&weak)) {
                    self.to_optimize.push(weak);
                }
                let left = self.leave(slot);
                let look = (left.is_none() && self.is_leaving(slot)).then(|| now.saturating_add(LOOK_EVERY));
                if let Some(due) = [next, look].into_iter().flatten().min() {
                    self.add(slot, due);
                }
                return left;
            }
            Task::Optimize(slot) => {
                self.is_optimizing = false;
                // What was replaced drains.
                self.add(slot, 0);
            }
            Task::Keep(config) => self.keeping.retain(|other| !Arc::ptr_eq(other, config)),
        }
        None
    }

    /// Lets a slot go that nobody holds but the task that has advanced it, or that is used again.
    fn leave(&mut self, slot: &Arc<Slot<S>>) -> Option<Arc<Slot<S>>> {
        let place = self.leaving.iter().position(|other| Arc::ptr_eq(other, slot))?;
        // One count is the task's, and one that of the list.
        let is_alone = Arc::strong_count(slot) <= 2;
        (is_alone || slot.is_used()).then(|| self.leaving.swap_remove(place))
    }

    fn is_leaving(&self, slot: &Arc<Slot<S>>) -> bool {
        self.leaving.iter().any(|other| Arc::ptr_eq(other, slot))
    }

    /// When a thread can take the next.
    pub(super) fn next_due(&self) -> Option<u64> {
        if !self.to_keep.is_empty() || !(self.is_optimizing || self.to_optimize.is_empty()) {
            return Some(0);
        }
        self.list.iter().filter(|job| self.is_free(job)).map(|job| job.due).min()
    }
}
