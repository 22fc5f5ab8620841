//! A trial: a new generation proves itself on a share of the new streams before it gets all of them
//! (`graft.swap.canary`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Slot;
use super::draining::Previous;
use super::progress::Stage;
use crate::config::CanaryConfig;
use crate::host::stream::{Services, Stream};
use crate::lifecycle::generation::Generation;
use crate::lifecycle::loader::Works;
use crate::lifecycle::supply::Revision;
use crate::telemetry::stats::Stat;
use crate::telemetry::{self, Level};

/// A generation on trial.
pub(super) struct Candidate<S: Stream> {
    generation: Arc<Generation<S>>,
    percent: u64,
    /// New streams of the slot since it is on trial, the others included.
    streams: AtomicU64,
}

/// How a trial stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on for so many nanoseconds.
    Open(u64),
    /// The time is over, and it did well.
    Passed,
    /// So many of its streams failed.
    Failed {
        /// Streams that failed.
        failures: u64,
        /// Streams that began.
        streams: u64,
    },
    /// Somebody took it back.
    Withdrawn,
}

/// How often a trial is looked at, in nanoseconds.
pub(super) const LOOK_EVERY: u64 = 100_000_000;

impl<S: Stream> Candidate<S> {
    pub(super) fn new(generation: Arc<Generation<S>>, percent: u8) -> Self {
        Self { generation, percent: u64::from(percent), streams: AtomicU64::new(0) }
    }

    pub(super) fn generation(&self) -> &Arc<Generation<S>> {
        &self.generation
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

/// The last error of a slot whose generation was taken back by hand.
const BY_COMMAND: &str = "rolled back by command";

impl<S: Stream> Slot<S> {
    /// Judges a trial that is under way, and ends it if that is the verdict.
    pub(super) fn look_at_trial(&self, works: &Works<S>) {
        let now = works.services.monotonic_nanoseconds();
        let verdict = {
            let mut progress = self.progress.lock();
            let Some(trial) = &progress.trial else { return };
            let (failures, streams) = (trial.generation.failures(), trial.generation.begun());
            let judged = judge(&trial.rules, trial.began, now, failures, streams);
            let verdict = trial.decision.unwrap_or(judged);
            if matches!(verdict, Verdict::Open(_)) {
                return;
            }
            progress.trial.take().map(|trial| (trial, verdict))
        };
        let (Some((trial, verdict)), Some(stable)) = (verdict, self.stable()) else { return };
        let number = trial.generation.plugin().key;
        let line = |level, what: std::fmt::Arguments<'_>| {
            telemetry::log_plugin(level, &self.config.name, format_args!("generation {number} {what}"));
        };
        let before = match verdict {
            Verdict::Passed | Verdict::Open(_) => {
                let replaced = self.progress.lock().loaded.replace(trial.revision);
                let before = self.publish(trial.generation, None);
                line(Level::Info, format_args!("takes over: its trial is over"));
                return self.retire(before, Some(Previous(replaced)), now);
            }
            Verdict::Failed { failures, streams } => {
                let why = format!("{failures} of its {streams} streams failed");
                line(Level::Error, format_args!("was rolled back: {why} (graft.swap.canary)"));
                self.rolled_back(Some(trial.revision), why, now);
                self.publish(stable, None)
            }
            Verdict::Withdrawn => {
                line(Level::Warn, format_args!("was rolled back by command"));
                self.rolled_back(Some(trial.revision), BY_COMMAND.to_owned(), now);
                self.publish(stable, None)
            }
        };
        self.retire(before, None, now);
    }

    /// Publishes the generation again that was replaced last, if somebody asked for that.
    pub(super) fn go_back(&self, works: &Works<S>) {
        let now = works.services.monotonic_nanoseconds();
        let previous = {
            let mut progress = self.progress.lock();
            let is_wanted = std::mem::take(&mut progress.is_rollback_wanted);
            is_wanted.then(|| progress.draining.take_previous()).flatten()
        };
        let Some((generation, Previous(revision))) = previous else { return };
        let number = generation.plugin().key;
        let refused = std::mem::replace(&mut self.progress.lock().loaded, revision);
        let before = self.publish(generation, None);
        let line = format_args!("generation {number} takes over again: rolled back by command");
        telemetry::log_plugin(Level::Warn, &self.config.name, line);
        self.rolled_back(refused, BY_COMMAND.to_owned(), now);
        self.retire(before, None, now);
    }

    fn rolled_back(&self, revision: Option<Revision>, why: String, now: u64) {
        self.tally.count(Stat::Rollbacks);
        let mut progress = self.progress.lock();
        progress.enter(Stage::Failed, now);
        progress.last_error = Some(why);
        progress.refused = revision;
        progress.retry_at = None;
    }
}

/// Judges a trial that has begun at a moment and has seen some streams.
pub(super) fn judge(rules: &CanaryConfig, began: u64, now: u64, failures: u64, streams: u64) -> Verdict {
    let are_too_many = failures > u64::from(rules.max_failures)
        && failures.saturating_mul(100) > streams.saturating_mul(u64::from(rules.max_failure_percent));
    if are_too_many {
        return Verdict::Failed { failures, streams };
    }
    let lasts = u64::try_from(rules.duration.max(Duration::from_nanos(1)).as_nanos()).unwrap_or(u64::MAX);
    match began.saturating_add(lasts).checked_sub(now) {
        Some(rest) if rest > 0 => Verdict::Open(rest),
        Some(_) | None => Verdict::Passed,
    }
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
        assert_eq!(judge(&RULES, 5, 5, 0, 0), Verdict::Open(60 * SECOND));
        assert_eq!(judge(&RULES, 5, 5 + 59 * SECOND, 0, 0), Verdict::Open(SECOND));
        assert_eq!(judge(&RULES, 5, 5 + 60 * SECOND, 2, 100), Verdict::Passed);
        assert_eq!(judge(&RULES, 5, 5 + 70 * SECOND, 0, 0), Verdict::Passed);
    }

    #[test]
    fn a_few_failures_are_forgiven_whatever_their_share_and_many_if_their_share_is_small() {
        assert_eq!(judge(&RULES, 0, SECOND, 5, 5), Verdict::Open(59 * SECOND));
        assert_eq!(judge(&RULES, 0, SECOND, 6, 6), Verdict::Failed { failures: 6, streams: 6 });
        assert_eq!(judge(&RULES, 0, SECOND, 20, 1000), Verdict::Open(59 * SECOND));
        assert_eq!(judge(&RULES, 0, SECOND, 21, 1000), Verdict::Failed { failures: 21, streams: 1000 });
        assert!(matches!(judge(&RULES, 0, 90 * SECOND, 6, 6), Verdict::Failed { .. }), "also at the end");
    }
}
