//! The one panic barrier.
//!
//! A panic that leaves an `extern "C"` function ends Envoy with all its streams. So every hook runs inside
//! [`guard`] (or [`attempt`], which tells whether there was a panic): the panic is written to Envoy's log, once, at
//! level critical, and the hook gives its closed answer.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::thread;

use super::process;
use super::types::Level;

thread_local! {
    /// How many barriers are on this thread's stack.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the panic hook saw and no barrier has logged yet.
    static REPORT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `run`; after a panic the answer is `closed`. `hook` is the name for the log.
pub(crate) fn guard<R>(hook: &str, closed: R, run: impl FnOnce() -> R) -> R {
    attempt(hook, run).unwrap_or(closed)
}

/// Runs `run`; `None` after a panic, which is then logged.
pub(crate) fn attempt<R>(hook: &str, run: impl FnOnce() -> R) -> Option<R> {
    // What the panic left half done stays in the filter, and a filter that has panicked is not entered again.
    let mut run = Some(run);
    let mut catch = || run.take().map(|run| panic::catch_unwind(AssertUnwindSafe(run)));
    // The depth is looked up once: in a shared library each look at a thread-local is a call. A thread that is past its
    // thread-locals still gets its barrier, only without the name in the log.
    let answer = DEPTH.try_with(|depth| {
        depth.set(depth.get().saturating_add(1));
        // Inside, as the log is open to whoever is.
        let answer = catch().and_then(|outcome| settle(hook, outcome));
        depth.set(depth.get().saturating_sub(1));
        answer
    });
    answer.unwrap_or_else(|_gone| catch().and_then(|outcome| settle(hook, outcome)))
}

/// The same below a [`guard`], which has counted the barrier already.
pub(crate) fn attempt_within<R>(hook: &str, run: impl FnOnce() -> R) -> Option<R> {
    settle(hook, panic::catch_unwind(AssertUnwindSafe(run)))
}

/// Whether this thread is inside a hook, and so one of Envoy's.
pub(super) fn is_inside_a_hook() -> bool {
    DEPTH.try_with(Cell::get).unwrap_or(0) > 0
}

fn settle<R>(hook: &str, outcome: thread::Result<R>) -> Option<R> {
    match outcome {
        Ok(answer) => Some(answer),
        Err(payload) => {
            let message = take_report().unwrap_or_else(|| message_of(payload.as_ref()).to_owned());
            process::log(Level::Critical, format!("graft: panic in {hook}: {message}").as_bytes());
            // A payload's own destructor could panic again, and nothing would catch that.
            std::mem::forget(payload);
            None
        }
    }
}

/// Takes the place of the standard library's panic hook, which would write to Envoy's standard error by itself.
/// Below a barrier the report waits for it, because it knows the name of the hook; on our own threads it is logged
/// here. The library carries a standard library of its own, so this concerns nobody else in the process.
pub(crate) fn report_panics_to_log() {
    panic::set_hook(Box::new(|panic| {
        let report = report_of(panic);
        if DEPTH.try_with(Cell::get).unwrap_or(0) == 0 {
            process::log(Level::Critical, format!("graft: panic: {report}").as_bytes());
        } else {
            // Without its thread-locals a thread runs no hook.
            let _kept = REPORT.try_with(|kept| kept.replace(Some(report)));
        }
    }));
}

fn take_report() -> Option<String> {
    REPORT.try_with(RefCell::take).ok().flatten()
}

fn report_of(panic: &PanicHookInfo<'_>) -> String {
    let message = message_of(panic.payload());
    match panic.location() {
        Some(location) => format!("{message} (at {location})"),
        None => message.to_owned(),
    }
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    if let Some(message) = payload.downcast_ref::<&str>() {
        message
    } else if let Some(message) = payload.downcast_ref::<String>() {
        message
    } else {
        "a payload that is no text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::FakeEnvoy;

    #[test]
    fn without_a_panic_the_answer_passes_through() {
        assert_eq!(guard("hook", 1, || 2), 2);
    }

    #[test]
    fn a_panic_gives_the_closed_answer_and_one_critical_line() {
        let envoy = FakeEnvoy::install();
        let answer = guard("on_something", "closed", || panic!("number {}", 7));
        assert_eq!(answer, "closed");
        let lines = envoy.log_lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        let (level, line) = &lines[0];
        assert_eq!(*level, Level::Critical);
        assert!(line.starts_with("graft: panic in on_something: number 7"), "{line}");
    }

    #[test]
    fn a_payload_that_is_no_text_and_panics_when_it_is_dropped_does_no_harm() {
        struct Spiteful;
        impl Drop for Spiteful {
            fn drop(&mut self) {
                panic!("dropped");
            }
        }
        let envoy = FakeEnvoy::install();
        let answer = guard("hook", 0, || std::panic::panic_any(Spiteful));
        assert_eq!(answer, 0);
        assert_eq!(envoy.log_lines().len(), 1);
    }

    #[test]
    fn a_barrier_inside_a_barrier_catches_for_itself() {
        let envoy = FakeEnvoy::install();
        let answer = guard("outer", 0, || guard("inner", 1, || panic!("inside")) + 10);
        assert_eq!(answer, 11);
        assert!(envoy.log_lines()[0].1.contains("panic in inner"));
    }
}
