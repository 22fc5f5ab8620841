//! Time as a parameter, so that back-off is tested without sleeping.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

/// A clock that never goes back, and a bed.
pub trait Clock: Send + Sync {
    /// The time since some moment.
    fn now(&self) -> Duration;

    /// Waits.
    fn sleep(&self, time: Duration);

    /// A wait that is a little other for each process, so that a fleet does not come back all at once.
    fn spread(&self, wait: Duration) -> Duration {
        wait
    }
}

/// The clock of the system.
#[derive(Debug)]
pub struct SystemClock(Instant);

impl SystemClock {
    /// A clock that begins now.
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// Three quarters of the wait, and up to half of it more.
    fn spread(&self, wait: Duration) -> Duration {
        // Its keys are random, which is all that is wanted here.
        let random = RandomState::new().build_hasher().finish() & 0xffff;
        let part = u32::try_from(random).unwrap_or(0);
        let half = wait.checked_div(2).unwrap_or(wait);
        let more = half.saturating_mul(part).checked_div(0xffff).unwrap_or_default();
        half.saturating_add(half.checked_div(2).unwrap_or_default()).saturating_add(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_wait_stays_near() {
        let clock = SystemClock::new();
        for _ in 0..100 {
            let wait = clock.spread(Duration::from_secs(4));
            assert!((Duration::from_secs(3)..=Duration::from_secs(5)).contains(&wait), "{wait:?}");
        }
    }
}
