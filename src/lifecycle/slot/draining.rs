//! Generations that were replaced: each goes when its last stream has ended, or when its time is over. The last one may be
//! kept for longer (`graft.swap.keep_previous`), so that one can go back to it.

use std::sync::Arc;
use std::time::Duration;

use crate::host::stream::Stream;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::supply::Revision;
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
    /// It served until it was replaced, and nothing has been since.
    previous: Option<Previous>,
}

/// Of a generation that one may want to go back to: what it was loaded from.
#[derive(Debug)]
pub(super) struct Previous(pub(super) Option<Revision>);

/// What has to be done for old generations.
pub(super) struct Look<S: Stream> {
    /// Their time is over, and their streams are not.
    pub(super) overdue: Vec<Arc<Generation<S>>>,
    /// Nobody holds them any more: to be dropped, when their guests say goodbye.
    pub(super) gone: Vec<Arc<Generation<S>>>,
    /// When to look again.
    pub(super) next: Option<u64>,
}

impl<S: Stream> Draining<S> {
    pub(super) fn new() -> Self {
        Self { generations: Vec::new() }
    }

    /// A generation was replaced. `previous`: the one that served.
    pub(super) fn add(&mut self, generation: Arc<Generation<S>>, previous: Option<Previous>, now: u64) {
        if previous.is_some() {
            self.generations.iter_mut().for_each(|old| old.previous = None);
        }
        if !self.generations.iter().any(|old| Arc::ptr_eq(&old.generation, &generation)) {
            self.generations.push(Old { generation, since: now, is_overdue: false, previous });
        }
    }

    /// Whether there is one to go back to.
    pub(super) fn has_previous(&self) -> bool {
        self.generations.iter().any(|old| old.previous.is_some() && !old.is_overdue)
    }

    /// The one to go back to.
    pub(super) fn take_previous(&mut self) -> Option<(Arc<Generation<S>>, Previous)> {
        let is_it = |old: &mut Old<S>| old.previous.is_some() && !old.is_overdue;
        let old = self.generations.extract_if(.., is_it).next()?;
        Some((old.generation, old.previous?))
    }

    /// One of them is published again.
    pub(super) fn remove(&mut self, generation: &Arc<Generation<S>>) {
        self.generations.retain(|old| !Arc::ptr_eq(&old.generation, generation));
    }

    /// How many there are, and their streams.
    pub(super) fn list(&self) -> impl Iterator<Item = (&Arc<Generation<S>>, u64)> {
        self.generations.iter().map(|old| (&old.generation, old.since))
    }

    /// What has to be done now. It is for the caller, without a lock.
    pub(super) fn look(&mut self, deadline: Duration, kept: Duration, now: u64) -> Look<S> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (deadline, kept) = (nanoseconds(deadline), nanoseconds(kept));
        let mut overdue = Vec::new();
        for old in &mut self.generations {
            let is_over = deadline > 0 && now.saturating_sub(old.since) >= deadline;
            if is_over && !old.is_overdue && old.generation.streams() > 0 {
                old.is_overdue = true;
                overdue.push(Arc::clone(&old.generation));
            }
        }
        // Whoever else holds one (a slot that it came from, whose streams are still there) will give it back, and then it
        // is dropped here rather than on a worker.
        let is_kept = |old: &Old<S>| old.previous.is_some() && now.saturating_sub(old.since) < kept;
        let is_gone = |old: &mut Old<S>| {
            !is_kept(old) && old.generation.streams() == 0 && Arc::strong_count(&old.generation) == 1
        };
        let gone = self.generations.extract_if(.., is_gone).map(|old| old.generation).collect();
        let next = (!self.generations.is_empty()).then(|| now.saturating_add(LOOK_EVERY));
        Look { overdue, gone, next }
    }
}

/// The deadline has passed: streams that are still there get the failure policy.
pub(super) fn end_streams<S: Stream>(generation: &Generation<S>) {
    let plugin = generation.plugin();
    let line = format_args!(
        "generation {} was replaced and still has {} streams after graft.swap.drain_deadline; the failure policy \
         decides on them",
        plugin.key,
        generation.streams()
    );
    telemetry::log_plugin(Level::Warn, &plugin.name, line);
    generation.end_streams();
}
