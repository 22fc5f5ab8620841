//! A trial: a new generation proves itself on a share of the new streams before it gets all of them
//! (`graft.swap.canary`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::draining::Previous;
use super::edition::{Counts, Edition};
use super::progress::{Progress, Refused, Stage};
use super::{Slot, Users};
use crate::config::CanaryConfig;
use crate::host::stream::{Services, Stream};
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::Revision;
use crate::telemetry::stats::Stat;
use crate::telemetry::{self, Level};

/// A generation on trial, as streams see it.
pub(super) struct Candidate<S: Stream> {
    edition: Arc<Edition<S>>,
    percent: u64,
    /// New streams of the slot since it is on trial, the others included.
    streams: AtomicU64,
}

/// A generation on trial.
pub(super) struct Trial<S: Stream> {
    pub(super) edition: Arc<Edition<S>>,
    pub(super) revision: Revision,
    pub(super) rules: CanaryConfig,
    pub(super) began: u64,
    /// Those of the slot whose generation serves, if that is not its own.
    pub(super) heir_of: Option<Users>,
    /// Somebody decided by hand.
    pub(super) decision: Option<Verdict>,
}

/// How a trial ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The time is over, and it did well.
    Passed,
    /// What serves is another configuration's, which goes on beside this one: there is nothing to be compared with.
    First,
    /// So many of its streams failed.
    Failed {
        /// Streams that failed.
        failures: u64,
        /// Streams that began.
        streams: u64,
    },
    /// Somebody took it back.
    Withdrawn,
    /// The source has again what serves.
    Overtaken,
}

/// How often a trial is looked at, in nanoseconds.
pub(super) const LOOK_EVERY: u64 = 100_000_000;

/// How soon Envoy gives up a configuration that it has replaced, in nanoseconds. Its workers have to be told; a listener
/// that drains takes longer, and is taken for another.
const GIVEN_UP_WITHIN: u64 = 5_000_000_000;

impl<S: Stream> Candidate<S> {
    pub(super) fn edition(&self) -> &Arc<Edition<S>> {
        &self.edition
    }

    pub(super) fn percent(&self) -> u64 {
        self.percent
    }

    /// Whether the stream that begins now is one of its share. Spread evenly: ten percent are every tenth stream.
    pub(super) fn takes_the_next(&self) -> bool {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let before = number.wrapping_mul(self.percent) / 100;
        number.wrapping_add(1).wrapping_mul(self.percent) / 100 != before
    }
}

impl<S: Stream> Trial<S> {
    pub(super) fn new(
        edition: Arc<Edition<S>>,
        revision: Revision,
        (rules, heir_of): (CanaryConfig, Option<Users>),
        now: u64,
    ) -> Self {
        Self { edition, revision, rules, began: now, heir_of, decision: None }
    }

    pub(super) fn candidate(&self) -> Candidate<S> {
        let (edition, percent) = (Arc::clone(&self.edition), u64::from(self.rules.percent));
        Candidate { edition, percent, streams: AtomicU64::new(0) }
    }

    /// When to look at it again.
    pub(super) fn next_look(&self, now: u64) -> u64 {
        if self.decision.is_some() { now } else { now.saturating_add(LOOK_EVERY) }
    }

    /// How it ends beside what serves, if it does now.
    fn verdict(&mut self, stable: &Edition<S>, now: u64) -> Option<Verdict> {
        if self.decision.is_some() {
            return self.decision;
        }
        if self.heir_of.as_ref().is_some_and(Users::are_there) {
            let is_another = now.saturating_sub(self.began) >= GIVEN_UP_WITHIN;
            return is_another.then_some(Verdict::First);
        }
        self.heir_of = None;
        // What its generation did elsewhere, or in a trial before, is not held against it.
        let Counts { begun, failures } = self.edition.counts_beside(stable);
        judge(&self.rules, self.began, now, failures, begun)
    }
}

/// The last error of a slot whose generation was taken back by hand.
const BY_COMMAND: &str = "rolled back by command";

impl<S: Stream> Slot<S> {
    /// Judges a trial that is under way, and ends it if that is the verdict.
    pub(super) fn look_at_trial(&self, works: &Works<S>) {
        let now = works.services.monotonic_nanoseconds();
        let mut progress = self.progress.lock();
        let Some(stable) = self.stable_edition() else { return };
        let verdict = progress.trial.as_mut().and_then(|trial| trial.verdict(&stable, now));
        let Some(verdict) = verdict else { return };
        let Some(trial) = progress.trial.take() else { return };
        let number = trial.edition.generation().plugin().key;
        let before = match verdict {
            Verdict::Passed | Verdict::First => {
                progress.rolled_back.clear();
                let revision = progress.loaded.replace(trial.revision);
                let previous = Previous { revision, heir_of: trial.heir_of };
                self.publish(&mut progress, trial.edition, None, Some(previous), now)
            }
            Verdict::Failed { failures, streams } => {
                progress.roll_back(Some(trial.revision), failed(failures, streams), now);
                self.publish(&mut progress, stable, None, None, now)
            }
            Verdict::Withdrawn => {
                progress.heir_of = trial.heir_of;
                progress.roll_back(Some(trial.revision), BY_COMMAND.to_owned(), now);
                self.publish(&mut progress, stable, None, None, now)
            }
            Verdict::Overtaken => self.publish(&mut progress, stable, None, None, now),
        };
        drop(progress);
        let line = |level, what: std::fmt::Arguments<'_>| {
            telemetry::log_plugin(level, &self.config.name, format_args!("generation {number} {what}"));
        };
        match verdict {
            Verdict::Passed => line(Level::Info, format_args!("takes over: its trial is over")),
            Verdict::First => {
                let why =
                    "what served in its place is another configuration of that name, which is still in use";
                line(Level::Info, format_args!("takes over without a trial: {why}"));
            }
            Verdict::Failed { failures, streams } => {
                let why = failed(failures, streams);
                line(Level::Error, format_args!("was rolled back: {why} (graft.swap.canary)"));
            }
            Verdict::Withdrawn => line(Level::Warn, format_args!("was rolled back by command")),
            Verdict::Overtaken => {
                line(Level::Warn, format_args!("was rolled back: the source has again what serves"));
            }
        }
        if !matches!(verdict, Verdict::Passed | Verdict::First) {
            self.tally.count(Stat::Rollbacks);
        }
        self.published(before);
    }

    /// Publishes the generation again that was replaced last, if somebody asked for that.
    pub(super) fn go_back(&self, works: &Works<S>) {
        let now = works.services.monotonic_nanoseconds();
        let mut progress = self.progress.lock();
        let Some(unwanted) = progress.rollback_from.take() else { return };
        if self.stable().is_none_or(|stable| stable.plugin().key != unwanted) {
            drop(progress);
            let line = format_args!(
                "generation {unwanted} is not rolled back: another one has taken over since the command came"
            );
            return telemetry::log_plugin(Level::Warn, &self.config.name, line);
        }
        let previous = progress.draining.take_previous();
        let renewed = previous.as_ref().and_then(|(edition, _)| edition.renewed());
        let (Some(renewed), Some((old, revision))) = (renewed, &previous) else {
            // Its guests may say goodbye, and not under the lock.
            drop(progress);
            return drop(previous);
        };
        let (old, revision) = (Arc::clone(old), revision.clone());
        let number = renewed.generation().plugin().key;
        let refused = std::mem::replace(&mut progress.loaded, revision);
        progress.roll_back(refused, BY_COMMAND.to_owned(), now);
        let before = self.publish(&mut progress, Arc::new(renewed), None, None, now);
        drop(progress);
        drop(old);
        let line = format_args!("generation {number} takes over again: rolled back by command");
        telemetry::log_plugin(Level::Warn, &self.config.name, line);
        self.tally.count(Stat::Rollbacks);
        self.published(before);
    }
}

impl<S: Stream> Progress<S> {
    fn roll_back(&mut self, revision: Option<Revision>, why: String, now: u64) {
        self.enter(Stage::Failed, now);
        self.last_error = Some(why.clone());
        // By hand one may go back further than by a trial: what was taken back before stays so.
        if let Some(revision) = revision {
            self.rolled_back.retain(|refused| refused.revision != revision);
            self.rolled_back.push(Refused { revision, why });
        }
        (self.refused, self.retry_at) = (None, None);
    }
}

fn failed(failures: u64, streams: u64) -> String {
    format!("{failures} of its {streams} streams failed")
}

/// Judges a trial that has begun at a moment and has seen some streams. `None`: it goes on.
fn judge(rules: &CanaryConfig, began: u64, now: u64, failures: u64, streams: u64) -> Option<Verdict> {
    let are_too_many = failures > u64::from(rules.max_failures)
        && failures.saturating_mul(100) > streams.saturating_mul(u64::from(rules.max_failure_percent));
    if are_too_many {
        return Some(Verdict::Failed { failures, streams });
    }
    let lasts = telemetry::nanoseconds(rules.duration.max(Duration::from_nanos(1)));
    (began.saturating_add(lasts) <= now).then_some(Verdict::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: CanaryConfig = CanaryConfig {
        percent: 10,
        duration: Duration::from_mins(1),
        max_failures: 5,
        max_failure_percent: 2,
    };
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_trial_passes_when_its_time_is_over() {
        assert_eq!(judge(&RULES, 5, 5, 0, 0), None);
        assert_eq!(judge(&RULES, 5, 5 + 59 * SECOND, 0, 0), None);
        assert_eq!(judge(&RULES, 5, 5 + 60 * SECOND, 2, 100), Some(Verdict::Passed));
        assert_eq!(judge(&RULES, 5, 5 + 70 * SECOND, 0, 0), Some(Verdict::Passed));
    }

    #[test]
    fn a_few_failures_are_forgiven_whatever_their_share_and_many_if_their_share_is_small() {
        assert_eq!(judge(&RULES, 0, SECOND, 5, 5), None);
        assert_eq!(judge(&RULES, 0, SECOND, 6, 6), Some(Verdict::Failed { failures: 6, streams: 6 }));
        assert_eq!(judge(&RULES, 0, SECOND, 20, 1000), None);
        assert_eq!(judge(&RULES, 0, SECOND, 21, 1000), Some(Verdict::Failed { failures: 21, streams: 1000 }));
        assert!(
            matches!(judge(&RULES, 0, 90 * SECOND, 6, 6), Some(Verdict::Failed { .. })),
            "also at the end"
        );
    }
}
