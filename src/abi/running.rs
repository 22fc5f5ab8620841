//! The hooks that run on this thread, innermost last.
//!
//! A handle to a stream is only good inside the hook that it was made for, on the thread of that hook, and as long
//! as Envoy has not destroyed the filter meanwhile (to Envoy 1.39 that can happen on our own stack). The borrow
//! checker cannot watch this: while a guest runs, the handle has to live inside its VM, where no lifetime reaches.
//! So each handle carries a [`Pass`], and each use of it asks here whether its hook still runs. One that was kept too
//! long, or carried to another thread, answers as if this Envoy could do nothing; it never touches freed memory.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use super::config_address;

/// Runs that belong to no filter: one that is being made, or that is missing.
pub(super) const NO_FILTER: usize = 0;

/// Names one run of one hook in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pass {
    thread: u64,
    run: u64,
}

impl Pass {
    /// A pass for no hook: threads are numbered from 1.
    pub(super) const INVALID: Self = Self { thread: 0, run: 0 };

    /// Whether the hook of this pass runs on this thread and its filter is not destroyed.
    #[inline]
    pub(super) fn is_valid(self) -> bool {
        RUNNING
            .try_with(|running| {
                let running = running.borrow();
                running.thread == self.thread
                    && running.frames.iter().rev().any(|frame| frame.run == self.run && !frame.is_destroyed)
            })
            .unwrap_or(false)
    }
}

impl Pass {
    /// The filter whose hook this is, while it runs here. None of a filter that is being made.
    pub(super) fn filter(self) -> Option<usize> {
        RUNNING
            .try_with(|running| {
                let running = running.borrow();
                let is_it = |frame: &&Frame| running.thread == self.thread && frame.run == self.run;
                running
                    .frames
                    .iter()
                    .rev()
                    .find(is_it)
                    .map(|frame| frame.filter)
                    .filter(|filter| *filter != NO_FILTER)
            })
            .ok()
            .flatten()
    }
}

/// One hook that runs, for tests that have no hook. Dropping it, also by a panic, ends the run.
#[cfg(test)]
pub(super) struct Run {
    pass: Pass,
}

#[cfg(test)]
impl Run {
    /// Begins a run of a hook of the filter with this address.
    pub(super) fn begin(filter: usize) -> Self {
        let pass = RUNNING.try_with(|running| running.borrow_mut().begin(filter)).unwrap_or(Pass::INVALID);
        Self { pass }
    }

    /// What handles of this run carry.
    pub(super) fn pass(&self) -> Pass {
        self.pass
    }
}

#[cfg(test)]
impl Drop for Run {
    fn drop(&mut self) {
        let run = self.pass.run;
        // A thread that is past its thread-locals has no run left to end.
        let _ended = RUNNING.try_with(|running| running.borrow_mut().end(run));
    }
}

/// Runs a hook of the filter with this address, with the pass for its handles. `None`: the thread is past its
/// thread-locals, where nothing can be asked of Envoy.
pub(super) fn within<R>(filter: usize, hook: impl FnOnce(Pass) -> R) -> Option<R> {
    // Looked up once for the begin and the end of the run: in a shared library each look at a thread-local is a call.
    let ran = RUNNING.try_with(|running| {
        let pass = running.borrow_mut().begin(filter);
        let _end = End { running, run: pass.run };
        hook(pass)
    });
    ran.ok()
}

/// Ends a run when it is dropped, also by a panic.
struct End<'a> {
    running: &'a RefCell<Running>,
    run: u64,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.running.borrow_mut().end(self.run);
    }
}

/// Makes every pass of this filter invalid: Envoy has destroyed it.
pub(super) fn mark_destroyed(filter: usize) {
    // As above: no thread-locals, no pass that could be valid.
    let _marked = RUNNING.try_with(|running| {
        for frame in running.borrow_mut().frames.iter_mut().filter(|frame| frame.filter == filter) {
            frame.is_destroyed = true;
        }
    });
}

struct Frame {
    run: u64,
    filter: usize,
    is_destroyed: bool,
}

struct Running {
    /// 0 before the first hook on this thread.
    thread: u64,
    runs: u64,
    /// Rarely more than one: another hook begins only inside a callback that re-enters.
    frames: Vec<Frame>,
}

impl Running {
    fn begin(&mut self, filter: usize) -> Pass {
        if self.thread == 0 {
            self.thread = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        self.runs = self.runs.wrapping_add(1);
        self.frames.push(Frame { run: self.runs, filter, is_destroyed: false });
        Pass { thread: self.thread, run: self.runs }
    }

    /// Runs end in the reverse order of their begin.
    fn end(&mut self, run: u64) {
        if self.frames.last().is_some_and(|frame| frame.run == run) {
            self.frames.pop();
        } else {
            self.frames.retain(|frame| frame.run != run);
        }
    }
}

impl Drop for Running {
    /// A thread that has run hooks of filters ends. Workers end when Envoy does, after their last stream, and before it goes
    /// on it waits for them.
    fn drop(&mut self) {
        if self.thread != 0 {
            config_address::envoy_ends();
        }
    }
}

static THREADS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    static RUNNING: RefCell<Running> = const { RefCell::new(Running { thread: 0, runs: 0, frames: Vec::new() }) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILTER: usize = 0x1000;
    const OTHER_FILTER: usize = 0x2000;

    #[test]
    fn a_pass_is_valid_while_its_hook_runs_and_not_after() {
        let run = Run::begin(FILTER);
        let pass = run.pass();
        assert!(pass.is_valid());
        drop(run);
        assert!(!pass.is_valid());
    }

    #[test]
    fn a_later_hook_of_the_same_filter_does_not_revive_a_pass() {
        let stale = Run::begin(FILTER).pass();
        let _run = Run::begin(FILTER);
        assert!(!stale.is_valid());
    }

    #[test]
    fn the_outer_hook_goes_on_after_an_inner_one() {
        let outer = Run::begin(FILTER);
        let inner = Run::begin(FILTER);
        assert!(outer.pass().is_valid() && inner.pass().is_valid());
        drop(inner);
        assert!(outer.pass().is_valid());
    }

    #[test]
    fn a_pass_is_worth_nothing_on_another_thread() {
        let run = Run::begin(FILTER);
        let pass = run.pass();
        let elsewhere = std::thread::spawn(move || {
            let _run = Run::begin(FILTER);
            pass.is_valid()
        });
        assert!(!elsewhere.join().unwrap());
        assert!(pass.is_valid());
    }

    #[test]
    fn destroying_a_filter_ends_its_passes_and_no_others() {
        let run = Run::begin(FILTER);
        let other = Run::begin(OTHER_FILTER);
        mark_destroyed(FILTER);
        assert!(!run.pass().is_valid());
        assert!(other.pass().is_valid());
    }

    #[test]
    fn a_panic_ends_the_run() {
        let mut pass = Pass::INVALID;
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let run = Run::begin(FILTER);
            pass = run.pass();
            panic!("on purpose");
        }));
        assert!(caught.is_err());
        assert_ne!(pass, Pass::INVALID);
        assert!(!pass.is_valid());
    }
}
