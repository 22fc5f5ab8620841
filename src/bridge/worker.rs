//! Which worker a thread is.
//!
//! Envoy tells a filter its worker's number only since 1.38, and not every thread that we see is a worker; so
//! threads are numbered here, in the order in which their first stream comes. A number never changes, which is all
//! that a home VM needs.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static INDEX: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The number of the current thread, from 0.
pub(super) fn index() -> usize {
    INDEX.get().unwrap_or_else(|| {
        let index = NEXT.fetch_add(1, Ordering::Relaxed);
        INDEX.set(Some(index));
        index
    })
}

/// Whether any worker has had a stream yet.
pub(super) fn is_any_busy() -> bool {
    NEXT.load(Ordering::Relaxed) > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_a_number_of_its_own_and_keeps_it() {
        let mine = index();
        assert_eq!(index(), mine);
        let other = std::thread::spawn(|| (index(), index())).join().unwrap();
        assert_eq!(other.0, other.1);
        assert_ne!(other.0, mine);
    }
}
