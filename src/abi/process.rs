//! What Envoy says about its process, and its log.
//!
//! Everything here may be called on any thread and at any time after `on_program_init`, except where it says
//! otherwise. In a process that is no Envoy, nothing is logged.

use super::buffer::lend;
use super::log_gate::{Entered, LogGate};
use super::table::callbacks;
pub use super::types::Level;

/// What log lines name as their source: the last place of ours, as other modules' lines name Envoy's.
const SOURCE: &[u8] = concat!("graft/", file!()).as_bytes();

static LOG: LogGate = LogGate::new();

/// Envoy makes a configuration; it [stays](Entered::stays), or is refused. In a hook.
pub(super) fn config_comes() -> Option<Entered<'static>> {
    // Unit tests have an Envoy for each thread, and this process has one.
    if cfg!(test) {
        return None;
    }
    let entered = LOG.enter();
    LOG.take_kept().for_each(|(level, message)| write(level, &message));
    Some(entered)
}

/// Envoy gives one up. To be dropped after its last word.
pub(super) fn config_goes() -> Option<Entered<'static>> {
    (!cfg!(test)).then(|| LOG.entered())
}

/// Writes a line to Envoy's logger `dynamic_modules`, if `level` is on. The bytes need not be UTF-8. Outside of hooks nothing
/// is written when Envoy has given up all of our configurations, for it may be ending; what matters is kept then for the next.
pub fn log(level: Level, message: &[u8]) {
    if LOG.with(|| write(level, message)).is_none() {
        LOG.keep(level, message);
    }
}

fn write(level: Level, message: &[u8]) {
    // Since 1.40 a line names its source, and one that names none is printed as coming from nowhere, `[:]`.
    if let Some(log) = callbacks().log_v2 {
        // SAFETY: F2, F9.
        unsafe { log(level.number(), lend(message), lend(SOURCE), line!()) }
        return;
    }
    let Some(log) = callbacks().log else { return };
    // SAFETY: F2, F9.
    unsafe { log(level.number(), lend(message)) }
}

/// Whether a line of this level would be written. Cheap: ask before formatting.
pub fn is_log_enabled(level: Level) -> bool {
    let Some(is_enabled) = callbacks().log_enabled else { return false };
    // SAFETY: F2.
    LOG.with(|| unsafe { is_enabled(level.number()) }).unwrap_or_else(|| LogGate::is_kept(level))
}

/// The lowest level that is written; [`Level::Off`] if none is. Before Envoy 1.39 it is found by asking for each.
pub fn log_level() -> Level {
    if let Some(level) = callbacks().get_log_level {
        // SAFETY: F2.
        let number = LOG.with(|| unsafe { level() });
        if let Some(Ok(level)) = number.map(Level::try_from) {
            return level;
        }
    }
    let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical];
    levels.into_iter().find(|level| is_log_enabled(*level)).unwrap_or(Level::Off)
}

/// A release of Envoy, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// 1.37.
    V1_37,
    /// 1.38.
    V1_38,
    /// 1.39.
    V1_39,
    /// 1.40 or newer.
    V1_40,
}

/// The release of Envoy that this is, known by the callbacks that came with it. For what cannot be seen otherwise:
/// an attribute that an Envoy does not have costs an error in its log each time it is asked for.
pub fn release() -> Release {
    let host = callbacks();
    if host.log_v2.is_some() {
        Release::V1_40
    } else if host.get_log_level.is_some() {
        Release::V1_39
    } else if host.get_concurrency.is_some() {
        Release::V1_38
    } else {
        Release::V1_37
    }
}

/// How many workers Envoy has. `None` before Envoy 1.38. Main thread only.
pub fn concurrency() -> Option<u32> {
    let concurrency = callbacks().get_concurrency?;
    // SAFETY: F2.
    Some(unsafe { concurrency() })
}

/// Whether Envoy only checks its configuration and will serve nothing. False before Envoy 1.38, which cannot say.
/// Main thread only.
pub fn is_validation_mode() -> bool {
    let Some(is_validation_mode) = callbacks().is_validation_mode else { return false };
    // SAFETY: F2.
    unsafe { is_validation_mode() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::FakeEnvoy;

    #[test]
    fn a_process_that_is_no_envoy_logs_nothing_and_knows_nothing() {
        log(Level::Critical, b"nobody reads this");
        assert!(!is_log_enabled(Level::Critical));
        assert_eq!(log_level(), Level::Off);
        assert_eq!(concurrency(), None);
        assert!(!is_validation_mode());
    }

    #[test]
    fn a_line_arrives_with_its_level() {
        let envoy = FakeEnvoy::install();
        log(Level::Warn, b"careful");
        assert_eq!(envoy.log_lines(), [(Level::Warn, "careful".to_owned())]);
    }

    #[test]
    fn the_level_is_asked_where_envoy_answers_and_probed_where_not() {
        let envoy = FakeEnvoy::install();
        envoy.set_log_level(Level::Warn);
        assert_eq!(log_level(), Level::Warn);
        envoy.remove_callbacks(|table| table.get_log_level = None);
        assert_eq!(log_level(), Level::Warn);
        envoy.set_log_level(Level::Off);
        assert_eq!(log_level(), Level::Off);
    }

    #[test]
    fn an_envoy_that_cannot_say_is_taken_to_serve() {
        let envoy = FakeEnvoy::install();
        assert_eq!(concurrency(), Some(2));
        envoy.remove_callbacks(|table| {
            table.get_concurrency = None;
            table.is_validation_mode = None;
        });
        assert_eq!(concurrency(), None);
        assert!(!is_validation_mode());
    }
}
