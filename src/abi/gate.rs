//! Gates: what threads of ours may do to an object of Envoy's while it lives, and what the object's end waits for.
//!
//! Threads of ours go through a gate for as long as a callback of Envoy's takes; who ends the object closes the gate, which
//! turns newcomers away at once and waits for those inside. A lock for readers and a writer would not do: readers that may
//! come in again must not wait behind a writer, and without that many of them keep a writer out for ever.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// See the module's text. Any thread.
#[derive(Debug)]
pub(super) struct Gate {
    /// Twice the number of those inside, and one more while it is closed.
    state: AtomicUsize,
}

const CLOSED: usize = 1;
const ONE: usize = 2;

/// How often who closes a gate lets others run before it sleeps in between. Inside is a callback of some microseconds,
/// unless its thread was interrupted.
const PATIENCE: u32 = 100;
const NAP: Duration = Duration::from_micros(100);

impl Gate {
    pub(super) const fn new() -> Self {
        Self { state: AtomicUsize::new(0) }
    }

    /// Runs a body while the gate is open, and keeps it from being closed until then. A body may go through again.
    pub(super) fn through<R>(&self, body: impl FnOnce() -> R) -> Option<R> {
        let enter = |state: usize| (state & CLOSED == 0).then(|| state.wrapping_add(ONE));
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).ok()?;
        // Leaves after a panic, too.
        let _inside = Inside(self);
        Some(body())
    }

    /// Lets nobody in any more, and waits until nobody is inside. Not to be called from inside.
    pub(super) fn close(&self) {
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        let mut looks = 0_u32;
        while self.state.load(Ordering::Acquire) >= ONE {
            looks = looks.saturating_add(1);
            if looks < PATIENCE {
                thread::yield_now();
            } else {
                thread::sleep(NAP);
            }
        }
    }

    pub(super) fn open(&self) {
        if self.is_closed() {
            self.state.fetch_and(!CLOSED, Ordering::AcqRel);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) & CLOSED != 0
    }
}

struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state.fetch_sub(ONE, Ordering::Release);
    }
}

thread_local! {
    /// The gates of this thread's filters that have a scheduler, by their address: all hooks of a filter run on one thread.
    static OF_FILTERS: RefCell<HashMap<usize, Arc<Gate>>> = RefCell::default();
}

/// The gate of a filter, one for all of its schedulers. `None` on a thread that is past its thread-locals.
pub(super) fn of_filter(filter: usize) -> Option<Arc<Gate>> {
    let gate = || Arc::new(Gate::new());
    OF_FILTERS.try_with(|gates| Arc::clone(gates.borrow_mut().entry(filter).or_insert_with(gate))).ok()
}

/// Envoy destroys a filter: its schedulers are of no use any more.
pub(super) fn close_of_filter(filter: usize) {
    let gate = OF_FILTERS.try_with(|gates| {
        let mut gates = gates.borrow_mut();
        if gates.is_empty() { None } else { gates.remove(&filter) }
    });
    if let Ok(Some(gate)) = gate {
        gate.close();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn who_is_inside_is_waited_for_and_may_come_in_again() {
        let gate = Gate::new();
        let entered = AtomicBool::new(false);
        let leaves = AtomicBool::new(false);
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                gate.through(|| {
                    assert_eq!(gate.through(|| 1), Some(1));
                    entered.store(true, Ordering::Release);
                    while !gate.is_closed() {
                        thread::yield_now();
                    }
                    assert_eq!(gate.through(|| 1), None, "but not when it closes, and it is told so at once");
                    leaves.store(true, Ordering::Release);
                })
            });
            while !entered.load(Ordering::Acquire) {
                thread::yield_now();
            }
            gate.close();
            assert!(leaves.load(Ordering::Acquire));
            assert!(inside.join().unwrap().is_some());
        });
        assert_eq!(gate.through(|| 2), None);
        gate.open();
        assert_eq!(gate.through(|| 3), Some(3));
    }

    #[test]
    fn who_goes_in_and_out_without_a_pause_keeps_nobody_from_closing_it() {
        let gate = Gate::new();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| while gate.through(thread::yield_now).is_some() {});
            }
            thread::sleep(Duration::from_millis(20));
            gate.close();
        });
    }

    #[test]
    fn a_panic_leaves() {
        let gate = Gate::new();
        let caught = std::panic::catch_unwind(|| gate.through(|| panic!("on purpose")));
        assert!(caught.is_err());
        gate.close();
    }

    #[test]
    fn a_filter_has_one_gate_until_it_is_destroyed() {
        let first = of_filter(0x10).unwrap();
        assert!(Arc::ptr_eq(&first, &of_filter(0x10).unwrap()));
        let other = of_filter(0x20).unwrap();
        close_of_filter(0x10);
        assert!(first.is_closed() && !other.is_closed());
        assert!(!of_filter(0x10).unwrap().is_closed(), "a filter at the same address is another one");
        close_of_filter(0x10);
        close_of_filter(0x20);
        close_of_filter(0x30);
    }
}
