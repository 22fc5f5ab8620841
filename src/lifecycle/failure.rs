//! Crash loops: how soon a VM that failed is replaced.
//!
//! A VM that served streams before it failed is replaced at once: whatever request crashed it, the others must not
//! suffer. VMs that fail one after the other without having served anything are a loop, and starting them costs the
//! worker more than it gives: after a few the next one waits, each time twice as long.

use std::time::Duration;

use parking_lot::Mutex;

use crate::telemetry::nanoseconds;

/// What became of a home's last VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// It had done work for streams before it failed.
    Served,
    /// It failed before any work was done.
    Fruitless,
    /// It did not even start, which can take as long as `start_deadline`.
    Unstarted,
}

impl Past {
    /// Replacements in a row that do not wait. Requests that crash can come in a row by chance, or from somebody who
    /// knows one; those of others must be served between them.
    fn free_replacements(self) -> u32 {
        match self {
            Self::Served | Self::Fruitless => 16,
            Self::Unstarted => 3,
        }
    }
}

/// The waits of a pool: `reload_config.backoff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// The first wait.
    pub base: Duration,
    /// The longest.
    pub longest: Duration,
}

impl BackOff {
    /// The wait after so many others: each is twice as long as the last.
    pub fn wait(&self, doublings: u32) -> Duration {
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.longest)
    }
}

/// Counts fruitless replacements of one home VM. Time comes in as nanoseconds of a clock that never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    in_a_row: u32,
    last: u64,
    /// When a stream that was turned away could have come.
    open_until: u64,
}

impl Breaker {
    /// A VM failed and a stream wants another.
    ///
    /// # Errors
    /// How long it has to wait yet.
    pub fn replace(&mut self, back_off: BackOff, past: Past, now: u64) -> Result<(), Duration> {
        if past == Past::Served {
            self.in_a_row = 0;
        }
        let doublings = self.in_a_row.checked_sub(past.free_replacements());
        let wait = doublings.map_or(Duration::ZERO, |doublings| back_off.wait(doublings));
        let waited = Duration::from_nanos(now.saturating_sub(self.last));
        if waited < wait {
            let rest = wait.saturating_sub(waited);
            self.open_until = now.saturating_add(nanoseconds(rest));
            return Err(rest);
        }
        self.open_until = 0;
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = now;
        Ok(())
    }

    /// Whether whoever wants a VM is turned away, and somebody was.
    pub fn is_open(&self, now: u64) -> bool {
        now < self.open_until
    }
}

/// Tries of something that nobody waits for, one after the other until one goes well: those that do not come less and less
/// often. Any thread.
#[derive(Debug, Default)]
pub struct Tries {
    /// `None`: the last one went well.
    breaker: Mutex<Option<Breaker>>,
}

impl Tries {
    /// Whether the next may begin now.
    ///
    /// # Errors
    /// How long it has to wait yet.
    pub fn may_begin(&self, back_off: BackOff, now: u64) -> Result<(), Duration> {
        let mut breaker = self.breaker.lock();
        breaker.as_mut().map_or(Ok(()), |breaker| breaker.replace(back_off, Past::Unstarted, now))
    }

    /// One went well, or did not.
    pub fn note(&self, went_well: bool) {
        let mut breaker = self.breaker.lock();
        *breaker = (!went_well).then(|| breaker.unwrap_or_default());
    }

    /// Whether those that did not go well keep the next from being made.
    pub fn is_backing_off(&self, now: u64) -> bool {
        self.breaker.lock().is_some_and(|breaker| breaker.is_open(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK_OFF: BackOff = BackOff { base: Duration::from_secs(1), longest: Duration::from_secs(10) };
    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_vm_that_served_is_replaced_at_once_however_often_it_fails() {
        let mut breaker = Breaker::default();
        for now in 0..1000 {
            assert_eq!(breaker.replace(BACK_OFF, Past::Served, now), Ok(()));
        }
    }

    #[test]
    fn a_loop_waits_twice_as_long_each_time_up_to_the_longest() {
        let mut breaker = Breaker::default();
        for _ in 0..Past::Fruitless.free_replacements() {
            assert_eq!(breaker.replace(BACK_OFF, Past::Fruitless, 0), Ok(()));
        }
        let mut now = 0;
        for wait in [1, 2, 4, 8, 10, 10] {
            assert_eq!(breaker.replace(BACK_OFF, Past::Fruitless, now), Err(Duration::from_secs(wait)));
            let almost = now + wait * SECOND - 1;
            assert_eq!(breaker.replace(BACK_OFF, Past::Fruitless, almost), Err(Duration::from_nanos(1)));
            now += wait * SECOND;
            assert_eq!(breaker.replace(BACK_OFF, Past::Fruitless, now), Ok(()));
        }
    }

    #[test]
    fn one_stream_that_ends_well_ends_the_loop() {
        let mut breaker = Breaker { in_a_row: 50, last: 5, open_until: 0 };
        assert!(breaker.replace(BACK_OFF, Past::Fruitless, 5).is_err());
        assert!(breaker.is_open(5) && !breaker.is_open(5 + 10 * SECOND), "as long as the wait is");
        assert_eq!(breaker.replace(BACK_OFF, Past::Served, 5), Ok(()));
        assert!(!breaker.is_open(5));
        assert_eq!(breaker.replace(BACK_OFF, Past::Fruitless, 5), Ok(()));
    }
}
