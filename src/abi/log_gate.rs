//! Whether Envoy's log may be written to.
//!
//! Threads of ours live as long as the process, and Envoy does not: it takes its loggers down while it ends, when they may be
//! fetching a plugin and have something to say. Configurations are given up before that, so with the last of them the log is
//! closed; with the next, if Envoy goes on, it is open again.

use parking_lot::Mutex;

use super::gate::Gate;

/// See the module's text. Any thread.
#[derive(Debug)]
pub(super) struct LogGate {
    gate: Gate,
    configurations: Mutex<usize>,
}

impl LogGate {
    pub(super) const fn new() -> Self {
        Self { gate: Gate::new(), configurations: Mutex::new(0) }
    }

    /// Envoy makes a configuration, which may be refused: that is said, too.
    pub(super) fn open(&self) {
        let _nobody_closes = self.configurations.lock();
        self.gate.open();
    }

    /// A configuration is there.
    pub(super) fn enter(&self) {
        let mut configurations = self.configurations.lock();
        *configurations = configurations.saturating_add(1);
        self.gate.open();
    }

    /// Envoy gave one up. Waits for lines that are being written, if it was the last.
    pub(super) fn leave(&self) {
        let mut configurations = self.configurations.lock();
        *configurations = configurations.saturating_sub(1);
        if *configurations == 0 {
            self.gate.close();
        }
    }

    /// Writes something while the log is open. Whoever writes may be asked to write once more.
    pub(super) fn with<R>(&self, write: impl FnOnce() -> R) -> Option<R> {
        self.gate.through(write)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_closed_with_the_last_configuration_and_open_with_the_next() {
        let gate = LogGate::new();
        assert_eq!(gate.with(|| 1), Some(1), "before the first: it may be refused");
        gate.enter();
        gate.enter();
        gate.leave();
        assert_eq!(gate.with(|| 2), Some(2));
        gate.leave();
        assert_eq!(gate.with(|| 3), None);
        gate.open();
        assert_eq!(gate.with(|| 4), Some(4));
    }
}
