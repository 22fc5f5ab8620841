//! Whether threads of ours may write to Envoy's log.
//!
//! They live as long as the process, and Envoy does not: it takes its loggers down while it ends, when they may be fetching a
//! plugin and have something to say. Configurations are given up before that, so with the last of them, taken or refused, the
//! log is closed to them; with the next, if Envoy goes on, it is open again.
//!
//! Envoy's own threads end before its loggers do, and all that they do of ours is inside a hook. They go past the gate:
//! it counts who writes, and all workers would change that count, several times a request.
//!
//! An Envoy that has refused our last configuration may go on all the same, while we fetch what it wanted for the next time.
//! So what goes wrong meanwhile is kept, and said when the next one comes.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::gate::Gate;
use super::guard;
use super::types::Level;

/// Most lines that are kept; older ones make room.
const MOST_KEPT: usize = 16;

/// See the module's text. Any thread.
#[derive(Debug)]
pub(super) struct LogGate {
    gate: Gate,
    configurations: Mutex<usize>,
    kept: Mutex<VecDeque<Line>>,
}

/// What is said, and how loud.
type Line = (Level, Box<[u8]>);

/// A configuration that the log is open for, until this is dropped.
#[derive(Debug)]
pub(super) struct Entered<'a>(&'a LogGate);

impl LogGate {
    pub(super) const fn new() -> Self {
        Self { gate: Gate::new(), configurations: Mutex::new(0), kept: Mutex::new(VecDeque::new()) }
    }

    /// Envoy makes a configuration, which may be refused: what threads of ours have to say of that is said, too.
    pub(super) fn enter(&self) -> Entered<'_> {
        let mut configurations = self.configurations.lock();
        *configurations = configurations.saturating_add(1);
        self.gate.open();
        Entered(self)
    }

    /// Envoy gives one up that [stayed](Entered::stays).
    pub(super) fn entered(&self) -> Entered<'_> {
        Entered(self)
    }

    /// Writes something while the log is open. Whoever writes may be asked to write once more.
    pub(super) fn with<R>(&self, write: impl FnOnce() -> R) -> Option<R> {
        if guard::is_inside_a_hook() { Some(write()) } else { self.gate.through(write) }
    }

    /// Whether lines are worth keeping that come while the log is closed.
    pub(super) fn is_kept(level: Level) -> bool {
        level >= Level::Warn
    }

    /// Keeps a line that came while the log was closed, if it is worth that.
    pub(super) fn keep(&self, level: Level, message: &[u8]) {
        if Self::is_kept(level) {
            let mut kept = self.kept.lock();
            kept.truncate(MOST_KEPT.saturating_sub(1));
            kept.push_front((level, message.into()));
        }
    }

    /// Gives what was kept, the oldest first.
    pub(super) fn take_kept(&self) -> impl Iterator<Item = Line> + use<> {
        std::mem::take(&mut *self.kept.lock()).into_iter().rev()
    }
}

impl Entered<'_> {
    /// The configuration is not refused.
    pub(super) fn stays(self) {
        std::mem::forget(self);
    }
}

impl Drop for Entered<'_> {
    /// Waits for lines that are being written, if it was the last.
    fn drop(&mut self) {
        let mut configurations = self.0.configurations.lock();
        *configurations = configurations.saturating_sub(1);
        if *configurations == 0 {
            self.0.gate.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_closed_with_the_last_configuration_and_open_with_the_next() {
        let gate = LogGate::new();
        assert_eq!(gate.with(|| 1), Some(1), "before the first");
        gate.enter().stays();
        gate.enter().stays();
        drop(gate.entered());
        assert_eq!(gate.with(|| 2), Some(2));
        drop(gate.entered());
        assert_eq!(gate.with(|| 3), None);
        gate.enter().stays();
        assert_eq!(gate.with(|| 4), Some(4));
    }

    #[test]
    fn one_that_is_refused_closes_the_log_unless_another_is_there() {
        let gate = LogGate::new();
        let coming = gate.enter();
        assert_eq!(gate.with(|| 1), Some(1));
        drop(coming);
        assert_eq!(gate.with(|| 2), None);
        gate.enter().stays();
        drop(gate.enter());
        assert_eq!(gate.with(|| 3), Some(3));
    }

    #[test]
    fn a_panic_at_the_end_of_the_last_closes_it() {
        let gate = LogGate::new();
        gate.enter().stays();
        let ends = || {
            let _goes = gate.entered();
            panic!("on purpose");
        };
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(ends)).is_err());
        assert_eq!(gate.with(|| 1), None);
    }

    #[test]
    fn what_went_wrong_while_it_was_closed_is_kept_and_not_more_than_a_few_lines() {
        let gate = LogGate::new();
        gate.keep(Level::Info, b"compiled");
        for number in 0..=MOST_KEPT {
            gate.keep(Level::Error, number.to_string().as_bytes());
        }
        let kept: Vec<_> =
            gate.take_kept().map(|(_, line)| String::from_utf8(line.to_vec()).unwrap()).collect();
        let expected: Vec<_> = (1..=MOST_KEPT).map(|number| number.to_string()).collect();
        assert_eq!(kept, expected);
        assert_eq!(gate.take_kept().count(), 0);
    }

    #[test]
    fn who_is_inside_a_hook_goes_past_it() {
        let gate = LogGate::new();
        drop(gate.enter());
        assert_eq!(gate.with(|| 1), None);
        assert_eq!(guard::guard("hook", None, || gate.with(|| 2)), Some(2));
        gate.enter().stays();
        // The gate does not wait for them either, or this would wait for itself.
        guard::guard("hook", (), || gate.with(|| drop(gate.entered())).unwrap_or_default());
        assert_eq!(gate.with(|| 3), None);
    }
}
