//! How often a line may be written: so many in an interval, and the others are counted.
//!
//! What happens once a request, a callout or an iteration of a guest's loop must not fill a disk. A [`Gate`] is one
//! word that threads change without a lock: in which interval it is, and how many lines that has had. Whoever is let
//! through first in a later interval learns how many were left out, and says so. Only a line that is about to be
//! written asks, so a level that is off costs nothing here. Time is a parameter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// See the module's text. Times are nanoseconds of a clock that never goes back.
#[derive(Debug)]
pub struct Gate {
    /// Most lines in an interval; 0: any number.
    lines: u32,
    interval: u64,
    /// The number of the interval in the upper half, its lines in the lower: one more than there may be when a line
    /// has been left out.
    state: AtomicU64,
    left_out: AtomicU64,
}

/// The lower half of a gate's state.
const LOWER: u64 = 0xffff_ffff;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is written.
    Open,
    /// It is written, and that so many before it were not.
    OpenAfter(u64),
    /// It is left out, the first one of this interval.
    Closes,
    /// It is left out like the one before.
    Closed,
}

impl Gate {
    /// Lets so many lines through in each interval, of whole milliseconds. 0 lets all through.
    pub const fn new(lines: u32, interval: Duration) -> Self {
        let nanoseconds = interval.as_secs().saturating_mul(1_000_000_000);
        let nanoseconds = nanoseconds.saturating_add(interval.subsec_nanos() as u64);
        Self {
            // Room for the one that is left out.
            lines: if lines == u32::MAX { u32::MAX.saturating_sub(1) } else { lines },
            interval: nanoseconds,
            state: AtomicU64::new(0),
            left_out: AtomicU64::new(0),
        }
    }

    /// Whether it lets everything through.
    pub fn is_unlimited(&self) -> bool {
        self.lines == 0
    }

    /// Whether a line may be written now that counts as so many.
    pub fn pass(&self, now: u64, weight: u32) -> Passage {
        if self.is_unlimited() {
            return Passage::Open;
        }
        let most = u64::from(self.lines);
        let interval = now.checked_div(self.interval).unwrap_or(0) & LOWER;
        // A thread whose clock was read before another's belongs to the interval that the other has begun.
        let is_later = |state: u64| interval > state >> 32;
        let before = self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |state| {
            let (head, lines) =
                if is_later(state) { (interval << 32, 0) } else { (state & !LOWER, state & LOWER) };
            let after = if lines < most {
                lines.saturating_add(u64::from(weight)).min(most)
            } else {
                most.saturating_add(1)
            };
            (lines <= most).then_some(head | after)
        });
        let before = before.unwrap_or_else(|closed| closed);
        if is_later(before) {
            return match self.left_out.swap(0, Ordering::Relaxed) {
                0 => Passage::Open,
                some => Passage::OpenAfter(some),
            };
        }
        if before & LOWER < most {
            return Passage::Open;
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        if before & LOWER == most { Passage::Closes } else { Passage::Closed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn passages(gate: &Gate, now: u64, count: usize) -> Vec<Passage> {
        (0..count).map(|_| gate.pass(now, 1)).collect()
    }

    #[test]
    fn so_many_pass_and_the_next_interval_tells_how_many_did_not() {
        use Passage::{Closed, Closes, Open, OpenAfter};
        let gate = Gate::new(2, Duration::from_secs(1));
        assert_eq!(passages(&gate, 5 * SECOND, 5), [Open, Open, Closes, Closed, Closed]);
        assert_eq!(passages(&gate, 6 * SECOND - 1, 1), [Closed]);
        assert_eq!(passages(&gate, 6 * SECOND, 3), [OpenAfter(4), Open, Closes]);
        assert_eq!(passages(&gate, 9 * SECOND, 2), [OpenAfter(1), Open]);
        assert_eq!(passages(&gate, 10 * SECOND, 1), [Open]);
    }

    #[test]
    fn the_clock_may_begin_at_nought_and_seem_to_go_back() {
        use Passage::{Closes, Open, OpenAfter};
        let gate = Gate::new(1, Duration::from_secs(1));
        assert_eq!(passages(&gate, 0, 2), [Open, Closes]);
        assert_eq!(passages(&gate, 2 * SECOND, 1), [OpenAfter(1)]);
        assert_eq!(passages(&gate, SECOND, 1), [Closes], "read before, used after");
    }

    #[test]
    fn a_heavy_line_counts_as_several() {
        use Passage::{Closes, Open};
        let gate = Gate::new(10, Duration::from_secs(1));
        assert_eq!(gate.pass(SECOND, 9), Open);
        assert_eq!(gate.pass(SECOND, u32::MAX), Open, "it began below the limit");
        assert_eq!(gate.pass(SECOND, 1), Closes);
        let gate = Gate::new(u32::MAX, Duration::from_secs(1));
        assert_eq!(gate.pass(SECOND, u32::MAX), Open);
        assert_eq!(gate.pass(SECOND, 1), Closes);
        assert_eq!(gate.pass(SECOND, 1), Passage::Closed);
    }

    #[test]
    fn nought_is_no_limit() {
        let gate = Gate::new(0, Duration::from_secs(1));
        assert_eq!(passages(&gate, 0, 1000), vec![Passage::Open; 1000]);
    }

    #[test]
    fn threads_share_one_count() {
        let gate = Gate::new(100, Duration::from_secs(1));
        let passed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let passages = passages(&gate, SECOND, 1000);
                        passages.into_iter().filter(|passage| *passage == Passage::Open).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 100);
        assert_eq!(gate.pass(2 * SECOND, 1), Passage::OpenAfter(3900));
    }
}
