//! A stream's scheduler: how one stream asks for a hook of another.
//!
//! A handle is good only inside a hook of its own stream. When something happens to a stream elsewhere (another
//! stream of the same plugin resumes it), its scheduler brings `on_scheduled` to it, on its own worker.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, RwLock};

use super::super::table::callbacks;
use super::HttpFilterHandle;

/// May outlive its stream: an event for a stream that is gone is dropped.
#[derive(Debug)]
pub struct Scheduler {
    /// Envoy's scheduler, as an address: `Send` without a promise of ours.
    scheduler: usize,
    /// Up to Envoy 1.38.
    gate: Option<Arc<Gate>>,
}

/// Whether the stream lives. Up to Envoy 1.38 an event that is committed on another thread can race with the end of its
/// stream; so it is committed under this lock, which the stream's end waits for.
#[derive(Debug)]
struct Gate {
    is_open: RwLock<bool>,
}

/// The gates of streams that have a scheduler, by their filter's address. Empty since Envoy 1.39.
static GATES: Mutex<Option<HashMap<usize, Weak<Gate>>>> = Mutex::new(None);

/// A callback that came with the release that fixed the race.
fn needs_gates() -> bool {
    callbacks().get_log_level.is_none()
}

/// The filter is being destroyed.
pub(in crate::abi) fn close_schedulers(filter: usize) {
    if !needs_gates() {
        return;
    }
    let gate = GATES.lock().as_mut().and_then(|gates| gates.remove(&filter));
    if let Some(gate) = gate.and_then(|gate| gate.upgrade()) {
        *gate.is_open.write() = false;
    }
}

impl HttpFilterHandle {
    /// A scheduler for this stream. `None` if the handle is closed.
    pub fn scheduler(&self) -> Option<Scheduler> {
        let new = callbacks().http_filter_scheduler_new?;
        let envoy = self.envoy()?;
        let gate = if needs_gates() { Some(gate(self.pass.filter()?)) } else { None };
        // SAFETY: F2, F3.
        let scheduler: *mut c_void = unsafe { new(envoy) };
        (!scheduler.is_null()).then(|| Scheduler { scheduler: scheduler.expose_provenance(), gate })
    }
}

fn gate(filter: usize) -> Arc<Gate> {
    let mut gates = GATES.lock();
    let gates = gates.get_or_insert_default();
    if let Some(gate) = gates.get(&filter).and_then(Weak::upgrade) {
        return gate;
    }
    let gate = Arc::new(Gate { is_open: RwLock::new(true) });
    gates.insert(filter, Arc::downgrade(&gate));
    gate
}

impl Scheduler {
    /// Asks for `on_scheduled` with a number, from any thread. False if the stream is gone.
    pub fn commit(&self, event_id: u64) -> bool {
        let Some(commit) = callbacks().http_filter_scheduler_commit else { return false };
        let is_open = self.gate.as_ref().map(|gate| gate.is_open.read());
        if is_open.as_ref().is_some_and(|is_open| !**is_open) {
            return false;
        }
        // SAFETY: F2, F12; the gate, where one is needed, is held open meanwhile.
        unsafe { commit(ptr::with_exposed_provenance_mut(self.scheduler), event_id) };
        true
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(delete) = callbacks().http_filter_scheduler_delete {
            // SAFETY: F2, F12.
            unsafe { delete(ptr::with_exposed_provenance_mut(self.scheduler)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    /// Commits on another thread, with the same kind of Envoy; answers what that was told.
    fn commit_elsewhere(scheduler: &Scheduler, is_old: bool) -> (bool, Vec<String>) {
        std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                if is_old {
                    envoy.remove_callbacks(|table| table.get_log_level = None);
                }
                (scheduler.commit(5), envoy.told_of_calls())
            });
            elsewhere.join().unwrap()
        })
    }

    #[test]
    fn any_thread_commits_and_a_scheduler_is_deleted_once() {
        let envoy = FakeEnvoy::install();
        let scheduler = envoy.inside_hook(&mut FakeStream::default(), |handle| handle.scheduler()).unwrap();
        assert!(scheduler.gate.is_none());
        assert_eq!(commit_elsewhere(&scheduler, false), (true, vec!["scheduler 1: 5".to_owned()]));
        drop(scheduler);
        assert_eq!(envoy.told_of_calls(), ["new scheduler 1", "delete scheduler 1"]);
    }

    #[test]
    fn an_older_envoy_is_told_nothing_once_the_stream_has_ended() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.get_log_level = None);
        let (mut stream, mut other) = (FakeStream::default(), FakeStream::default());
        let of = |stream: &mut FakeStream| envoy.inside_hook(stream, |handle| handle.scheduler()).unwrap();
        let (first, second, another) = (of(&mut stream), of(&mut stream), of(&mut other));
        envoy.told_of_calls();
        assert_eq!(commit_elsewhere(&first, true), (true, vec!["scheduler 1: 5".to_owned()]));
        close_schedulers(stream.as_envoy().addr());
        for scheduler in [&first, &second] {
            assert_eq!(commit_elsewhere(scheduler, true), (false, vec![]), "one gate for both");
        }
        assert!(another.commit(6), "other streams have gates of their own");
        assert_eq!(envoy.told_of_calls(), ["scheduler 3: 6"]);
        let successor = of(&mut stream);
        assert!(successor.commit(7), "a stream at the same address is another one");
        close_schedulers(stream.as_envoy().addr());
        close_schedulers(other.as_envoy().addr());
    }

    #[test]
    fn the_end_of_a_stream_waits_for_a_commit_that_is_under_way() {
        let envoy = FakeEnvoy::install();
        envoy.remove_callbacks(|table| table.get_log_level = None);
        let mut stream = FakeStream::default();
        let scheduler = envoy.inside_hook(&mut stream, |handle| handle.scheduler()).unwrap();
        let filter = stream.as_envoy().addr();
        let gate = Arc::clone(scheduler.gate.as_ref().unwrap());
        let committing = gate.is_open.read();
        std::thread::scope(|scope| {
            let ending = scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                envoy.remove_callbacks(|table| table.get_log_level = None);
                close_schedulers(filter);
            });
            // It has taken the gate out of the table when it waits for it.
            while GATES.lock().as_ref().is_some_and(|gates| gates.contains_key(&filter)) {
                std::thread::yield_now();
            }
            assert!(*committing && !ending.is_finished());
            drop(committing);
            ending.join().unwrap();
        });
        assert!(!scheduler.commit(1));
    }

    #[test]
    fn a_handle_that_is_closed_has_no_scheduler() {
        let envoy = FakeEnvoy::install();
        let kept = envoy.inside_hook(&mut FakeStream::default(), |handle| handle);
        assert!(kept.scheduler().is_none());
        assert_eq!(envoy.told_of_calls(), [""; 0]);
    }
}
