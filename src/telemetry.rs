//! What Graft tells its operators: the levels and the shape of a log line; how often a line may come ([`gate`]); what is
//! counted ([`stats`]).
//!
//! Any layer may log, and only the bridge knows Envoy; so the bridge installs a [`Sink`] when the module is
//! loaded, and a line that is logged without one (a unit test, a benchmark) goes nowhere. A line is formatted
//! only if its level is on.

pub mod gate;
pub mod stats;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use self::gate::{Gate, Passage};

/// Severity of a log line. The numbers are those of Envoy and of Proxy-Wasm (`proxy_log`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// Every step; for the developers of Graft.
    Trace = 0,
    /// What a plugin author wants to see while developing.
    Debug = 1,
    /// Life of plugins: loaded, configured, swapped.
    Info = 2,
    /// Something an operator should look at; traffic is served.
    Warn = 3,
    /// A plugin or a configuration failed.
    Error = 4,
    /// Graft itself failed.
    Critical = 5,
}

/// A number that is no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a log level, expected 0 (trace) to 5 (critical)")]
pub struct UnknownLevel(pub u32);

impl TryFrom<u32> for Level {
    type Error = UnknownLevel;

    fn try_from(number: u32) -> Result<Self, UnknownLevel> {
        Ok(match number {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            other => return Err(UnknownLevel(other)),
        })
    }
}

/// Where lines go. Called on any thread.
pub struct Sink {
    /// Whether lines of a level are wanted now.
    pub is_enabled: fn(Level) -> bool,
    /// Writes one line, without a newline.
    pub write: fn(Level, &str),
}

static SINK: OnceLock<Sink> = OnceLock::new();

/// Installs the sink. The first call wins: a process has one Envoy.
pub fn install(sink: Sink) {
    let _already_installed = SINK.set(sink);
}

/// Logs one line, formatted only if its level is on.
pub fn log(level: Level, line: fmt::Arguments<'_>) {
    if let Some(sink) = SINK.get().filter(|sink| (sink.is_enabled)(level)) {
        match line.as_str() {
            Some(line) => (sink.write)(level, line),
            None => (sink.write)(level, &line.to_string()),
        }
    }
}

/// Logs a line of a kind that comes once for each of many: so often as the gate allows, at this time, with the number
/// of those that were left out before. A line whose level is off does not count.
pub fn log_sparingly(gate: &Gate, now: u64, level: Level, line: fmt::Arguments<'_>) {
    if !SINK.get().is_some_and(|sink| (sink.is_enabled)(level)) {
        return;
    }
    match gate.pass(now, 1) {
        Passage::Open => log(level, line),
        Passage::OpenAfter(more) => log(level, format_args!("{line} ({})", LeftOut(more))),
        Passage::Closes | Passage::Closed => {}
    }
}

/// A time as moments are counted everywhere: in nanoseconds. One that is longer than five hundred years is as long as can
/// be.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How many lines like this one were left out before it, in words.
#[derive(Clone, Copy, Debug)]
pub struct LeftOut(pub u64);

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} more like this were left out before", self.0)
    }
}

/// Logs what a plugin did or suffered: `graft: plugin "name": …`, the shape of every line of ours about one.
pub fn log_plugin(level: Level, plugin: &str, line: fmt::Arguments<'_>) {
    log(level, format_args!("graft: plugin {plugin:?}: {line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_proxy_wasm() {
        for number in 0..6 {
            assert_eq!(Level::try_from(number).unwrap() as u32, number);
        }
        assert_eq!(
            Level::try_from(6).unwrap_err().to_string(),
            "6 is not a log level, expected 0 (trace) to 5 (critical)"
        );
    }
}
