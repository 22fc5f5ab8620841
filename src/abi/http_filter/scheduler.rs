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
