//! Editions that were replaced: each goes when the last stream of its generations has ended, or when its time is over. The
//! last one may be kept for longer (`graft.swap.keep_previous`), so that one can go back to it.
//!
//! The time of an edition whose generation other slots publish begins when the last of them does no more. Until then it is
//! here so that the generation is dropped here, by the loader, rather than by whoever has it last. So with one that was
//! replaced by its [optimised twin](super::tiers): nobody has changed anything, so its streams have no time before those of
//! the twin have.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Users;
use super::edition::Edition;
use crate::host::stream::Stream;
use crate::lifecycle::generation::Generation;
use crate::lifecycle::supply::Revision;
use crate::telemetry::{self, Level};

/// How soon an edition is looked at again whose streams may end at any time, in nanoseconds.
const LOOK_EVERY: u64 = 250_000_000;

/// The same for one whose generation others publish.
const LOOK_SELDOM: u64 = 5_000_000_000;

/// See the module's text.
pub(super) struct Draining<S: Stream> {
    editions: Vec<Old<S>>,
}

struct Old<S: Stream> {
    edition: Arc<Edition<S>>,
    since: u64,
    /// It served until it was replaced, and nothing has been since.
    previous: Option<Previous>,
    /// It was replaced by this, which is the same, optimised.
    twin: Weak<Generation<S>>,
}

/// Of an edition that one may want to go back to.
pub(super) struct Previous {
    /// What it was loaded from.
    pub(super) revision: Option<Revision>,
    /// Those of the slot that it was taken over from.
    pub(super) heir_of: Option<Users>,
}

impl Previous {
    /// Another configuration's that is in use is no predecessor, so nobody goes back to it.
    fn is_own(&self) -> bool {
        !self.heir_of.as_ref().is_some_and(Users::are_there)
    }
}

/// What has to be done for old editions.
pub(super) struct Look<S: Stream> {
    /// Their time is over, and their streams are not.
    pub(super) overdue: Vec<Arc<Edition<S>>>,
    /// Nobody holds them any more: to be dropped, when their guests say goodbye.
    pub(super) gone: Vec<Arc<Edition<S>>>,
    /// When to look again.
    pub(super) next: Option<u64>,
    /// Looked at, and perhaps held by nobody else meanwhile: to be dropped as those that are gone.
    pub(super) twins: Vec<Arc<Generation<S>>>,
}

impl<S: Stream> Draining<S> {
    pub(super) fn new() -> Self {
        Self { editions: Vec::new() }
    }

    /// An edition was replaced. `previous`: it is the one that served.
    pub(super) fn add(&mut self, edition: Arc<Edition<S>>, previous: Option<Previous>, now: u64) {
        if previous.is_some() {
            self.editions.iter_mut().for_each(|old| old.previous = None);
        }
        self.editions.push(Old { edition, since: now, previous, twin: Weak::new() });
    }

    /// What has just been replaced was so by its twin.
    pub(super) fn note_twin(&mut self, quick: &Arc<Generation<S>>, twin: &Arc<Generation<S>>) {
        for old in self.editions.iter_mut().filter(|old| old.edition.is_of(quick)) {
            old.twin = Arc::downgrade(twin);
        }
    }

    /// Whether there is one to go back to.
    pub(super) fn has_previous(&self) -> bool {
        self.editions.iter().any(Old::may_come_back)
    }

    /// The one to go back to.
    pub(super) fn take_previous(&mut self) -> Option<(Arc<Edition<S>>, Option<Revision>)> {
        let old = self.editions.extract_if(.., |old| old.may_come_back()).next()?;
        Some((old.edition, old.previous?.revision))
    }

    /// A generation is published again: its edition of before, if it is here.
    pub(super) fn take(&mut self, generation: &Arc<Generation<S>>) -> Option<Arc<Edition<S>>> {
        let old = self.editions.extract_if(.., |old| old.edition.is_of(generation)).next()?;
        Some(old.edition)
    }

    /// Those that nobody else publishes.
    pub(super) fn list(&self) -> impl Iterator<Item = &Arc<Edition<S>>> {
        self.editions.iter().map(|old| &old.edition).filter(|edition| !edition.generation().is_on_duty())
    }

    /// What has to be done now. It is for the caller, without a lock.
    pub(super) fn look(&mut self, deadline: Duration, kept: Duration, now: u64) -> Look<S> {
        let times =
            Times { deadline: telemetry::nanoseconds(deadline), kept: telemetry::nanoseconds(kept), now };
        let twins = self.wait_for_twins(now);
        let overdue = self.editions.iter().filter_map(|old| old.takes_too_long(&times)).collect();
        let gone = self.editions.extract_if(.., |old| old.is_gone(&times)).map(|old| old.edition).collect();
        let next = self.editions.iter().map(|old| old.next_look(&times)).min();
        Look { overdue, gone, next, twins }
    }

    /// What is served by its twin has all its time before it. Answers the twins.
    fn wait_for_twins(&mut self, now: u64) -> Vec<Arc<Generation<S>>> {
        let with_twin = |old: &mut Old<S>| {
            let twin = old.twin.upgrade()?;
            if twin.is_on_duty() {
                old.since = now;
            }
            Some(twin)
        };
        self.editions.iter_mut().filter_map(with_twin).collect()
    }
}

/// Moments and times in nanoseconds.
struct Times {
    deadline: u64,
    kept: u64,
    now: u64,
}

impl<S: Stream> Old<S> {
    fn may_come_back(&self) -> bool {
        !self.edition.generation().has_ended() && self.previous.as_ref().is_some_and(Previous::is_own)
    }

    /// Since when no slot has published it, nor its twin.
    fn since(&self) -> u64 {
        self.since.max(self.edition.generation().off_duty_since())
    }

    fn kept_until(&self, times: &Times) -> Option<u64> {
        let until = self.since().saturating_add(times.kept);
        (self.previous.is_some() && times.now < until).then_some(until)
    }

    /// When its streams are ended: not while one may go back to it, for that would end the generation.
    fn ends_at(&self, times: &Times) -> Option<u64> {
        let kept_until = self.kept_until(times).filter(|_| self.may_come_back()).unwrap_or(0);
        (times.deadline > 0).then(|| self.since().saturating_add(times.deadline).max(kept_until))
    }

    fn takes_too_long(&self, times: &Times) -> Option<Arc<Edition<S>>> {
        let is_over = self.ends_at(times).is_some_and(|ends_at| ends_at <= times.now);
        // Again and again: one of its routes may have been on another slot's duty the last time.
        let is_due = is_over && !self.edition.generation().is_on_duty() && self.edition.overdue() > 0;
        is_due.then(|| Arc::clone(&self.edition))
    }

    /// Whoever else holds it (a stream that begins right now) will give it back, and then it is dropped here rather than on a
    /// worker. The generation goes with the last edition, which may drain in another slot.
    fn is_gone(&self, times: &Times) -> bool {
        let generation = self.edition.generation();
        self.kept_until(times).is_none()
            && !generation.is_on_duty()
            && self.edition.forsaken() == 0
            && Arc::strong_count(&self.edition) == 1
    }

    fn next_look(&self, times: &Times) -> u64 {
        if self.edition.generation().is_on_duty() {
            return times.now.saturating_add(LOOK_SELDOM);
        }
        let Some(kept_until) = self.kept_until(times) else { return times.now.saturating_add(LOOK_EVERY) };
        match self.ends_at(times) {
            // Past it and without streams: none can come.
            Some(ends_at) if ends_at > times.now => kept_until.min(ends_at),
            Some(_) | None => kept_until,
        }
    }
}

/// The deadline has passed: streams that are still there get the failure policy.
pub(super) fn end_streams<S: Stream>(edition: &Edition<S>) {
    let plugin = edition.generation().plugin();
    let line = format_args!(
        "generation {} was replaced and still has {} streams after graft.swap.drain_deadline; the failure policy \
         decides on them",
        plugin.key,
        edition.forsaken()
    );
    telemetry::log_plugin(Level::Warn, &plugin.name, line);
    edition.end_streams();
}
