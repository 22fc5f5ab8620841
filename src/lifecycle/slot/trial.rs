//! A trial: a new generation proves itself on a share of the new streams before it gets all of them
//! (`graft.swap.canary`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::CanaryConfig;
use crate::host::stream::Stream;
use crate::lifecycle::generation::Generation;

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
