//! A fault of ours on a thread of ours ends what the thread is at, and not the thread: others have work for it.

use std::panic::{self, AssertUnwindSafe};

/// When what has panicked is tried again, in nanoseconds.
pub(super) const AFTER_A_PANIC: u64 = 60_000_000_000;

/// Does something. `None`: it panicked, of which the hook has told.
pub(super) fn attempt<R>(work: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(work)).ok()
}
