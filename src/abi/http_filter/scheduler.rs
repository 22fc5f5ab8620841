//! A stream's scheduler: how one stream asks for a hook of another.
//!
//! A handle is good only inside a hook of its own stream. When something happens to a stream elsewhere (another
//! stream of the same plugin resumes it), its scheduler brings `on_scheduled` to it, on its own worker.

use std::ffi::c_void;
use std::ptr;
use std::thread::{self, ThreadId};

use super::super::table::callbacks;
use super::HttpFilterHandle;

/// May outlive its stream: an event for a stream that is gone is dropped by Envoy.
#[derive(Debug)]
pub struct Scheduler {
    /// Envoy's scheduler, as an address: `Send` without a promise of ours.
    scheduler: usize,
    made_on: ThreadId,
}

impl HttpFilterHandle {
    /// A scheduler for this stream. `None` if the handle is closed.
    pub fn scheduler(&self) -> Option<Scheduler> {
        let new = callbacks().http_filter_scheduler_new?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3.
        let scheduler: *mut c_void = unsafe { new(envoy) };
        (!scheduler.is_null())
            .then(|| Scheduler { scheduler: scheduler.expose_provenance(), made_on: thread::current().id() })
    }
}

impl Scheduler {
    /// Asks for `on_scheduled` with a number. False if it cannot be asked for from here: up to Envoy 1.38 an event
    /// that is committed on another thread can race with the end of the stream, so there it must be the stream's own
    /// worker.
    pub fn commit(&self, event_id: u64) -> bool {
        let Some(commit) = callbacks().http_filter_scheduler_commit else { return false };
        // A callback that came with the release that fixed the race.
        let is_safe_anywhere = callbacks().get_log_level.is_some();
        if !is_safe_anywhere && thread::current().id() != self.made_on {
            return false;
        }
        // SAFETY: F2, F12.
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
