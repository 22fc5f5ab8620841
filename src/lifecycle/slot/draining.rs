//! Generations that were replaced: each goes when its last stream has ended, or when its time is over.

use std::sync::Arc;
use std::time::Duration;

use crate::host::stream::Stream;
use crate::lifecycle::generation::Generation;
use crate::telemetry::{self, Level};

/// How soon a generation with streams is looked at again, in nanoseconds.
const LOOK_EVERY: u64 = 250_000_000;

/// See the module's text.
pub(super) struct Draining<S: Stream> {
    generations: Vec<Old<S>>,
}

struct Old<S: Stream> {
    generation: Arc<Generation<S>>,
    since: u64,
    is_overdue: bool,
}

impl<S: Stream> Draining<S> {
    pub(super) fn new() -> Self {
        Self { generations: Vec::new() }
    }

    /// A generation was replaced.
    pub(super) fn add(&mut self, generation: Arc<Generation<S>>, now: u64) {
        if !self.generations.iter().any(|old| Arc::ptr_eq(&old.generation, &generation)) {
            self.generations.push(Old { generation, since: now, is_overdue: false });
        }
    }

    /// One of them is published again.
    pub(super) fn remove(&mut self, generation: &Arc<Generation<S>>) {
        self.generations.retain(|old| !Arc::ptr_eq(&old.generation, generation));
    }

    /// How many there are, and their streams.
    pub(super) fn list(&self) -> impl Iterator<Item = (&Arc<Generation<S>>, u64)> {
        self.generations.iter().map(|old| (&old.generation, old.since))
    }

    /// Takes out those that are over. They are dropped by the caller, without a lock: their guests say goodbye then.
    /// Answers also when to look again.
    pub(super) fn look(&mut self, deadline: Duration, now: u64) -> (Vec<Arc<Generation<S>>>, Option<u64>) {
        let deadline = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        for old in &mut self.generations {
            let is_over = deadline > 0 && now.saturating_sub(old.since) >= deadline;
            if is_over && !old.is_overdue && old.generation.streams() > 0 {
                old.is_overdue = true;
                old.end_streams();
            }
        }
        // Whoever else holds one (a slot that it came from, whose streams are still there) will give it back, and then it
        // is dropped here rather than on a worker.
        let is_gone =
            |old: &mut Old<S>| old.generation.streams() == 0 && Arc::strong_count(&old.generation) == 1;
        let gone = self.generations.extract_if(.., is_gone).map(|old| old.generation).collect();
        let next = (!self.generations.is_empty()).then(|| now.saturating_add(LOOK_EVERY));
        (gone, next)
    }
}

impl<S: Stream> Old<S> {
    /// The deadline has passed: streams that are still there get the failure policy.
    fn end_streams(&self) {
        let plugin = self.generation.plugin();
        let (number, streams) = (plugin.key, self.generation.streams());
        self.generation.end_streams();
        let line = format_args!(
            "generation {number} was replaced and still has {streams} streams after graft.swap.drain_deadline; the \
             failure policy decides on them"
        );
        telemetry::log_plugin(Level::Warn, &plugin.name, line);
    }
}
