//! A stream's scheduler: how one stream asks for a hook of another.
//!
//! A handle is good only inside a hook of its own stream. When something happens to a stream elsewhere (another
//! stream of the same plugin resumes it), its scheduler brings `on_scheduled` to it, on its own worker.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::super::gate::{self, Gate};
use super::super::table::callbacks;
use super::HttpFilterHandle;

/// May outlive its stream: an event for a stream that is gone is dropped.
#[derive(Debug)]
pub struct Scheduler {
    /// Envoy's scheduler, as an address: `Send` without a promise of ours.
    scheduler: usize,
    /// Whether the stream lives. Its end waits for a commit that is under way: up to Envoy 1.37 that uses what goes with the
    /// stream, and since 1.38 it holds a count of Envoy's filter, whose last one must not be left on a thread of ours.
    gate: Arc<Gate>,
}

impl HttpFilterHandle {
    /// A scheduler for this stream. `None` if the handle is closed, or its filter is being made.
    pub fn scheduler(&self) -> Option<Scheduler> {
        let new = callbacks().http_filter_scheduler_new?;
        let envoy = self.envoy()?;
        let gate = gate::of_filter(self.pass.filter()?)?;
        // SAFETY: F2, F3.
        let scheduler: *mut c_void = unsafe { new(envoy) };
        (!scheduler.is_null()).then(|| Scheduler { scheduler: scheduler.expose_provenance(), gate })
    }
}

impl Scheduler {
    /// Asks for `on_scheduled` with a number, from any thread. False if the stream is gone.
    pub fn commit(&self, event_id: u64) -> bool {
        let Some(commit) = callbacks().http_filter_scheduler_commit else { return false };
        let scheduler = ptr::with_exposed_provenance_mut(self.scheduler);
        // SAFETY: F2, F12; the stream lives inside its gate.
        self.gate.through(|| unsafe { commit(scheduler, event_id) }).is_some()
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    /// Commits on another thread, with the same kind of Envoy; answers what that was told.
    fn commit_elsewhere(scheduler: &Scheduler) -> (bool, Vec<String>) {
        std::thread::scope(|scope| {
            let elsewhere = scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                (scheduler.commit(5), envoy.told_of_calls())
            });
            elsewhere.join().unwrap()
        })
    }

    #[test]
    fn any_thread_commits_and_a_scheduler_is_deleted_once() {
        let envoy = FakeEnvoy::install();
        let scheduler = envoy.inside_hook(&mut FakeStream::default(), |handle| handle.scheduler()).unwrap();
        assert_eq!(commit_elsewhere(&scheduler), (true, vec!["scheduler 1: 5".to_owned()]));
        drop(scheduler);
        assert_eq!(envoy.told_of_calls(), ["new scheduler 1", "delete scheduler 1"]);
    }

    #[test]
    fn envoy_is_told_nothing_once_the_stream_has_ended() {
        let envoy = FakeEnvoy::install();
        let (mut stream, mut other) = (FakeStream::default(), FakeStream::default());
        let of = |stream: &mut FakeStream| envoy.inside_hook(stream, |handle| handle.scheduler()).unwrap();
        let (first, second, another) = (of(&mut stream), of(&mut stream), of(&mut other));
        envoy.told_of_calls();
        gate::close_of_filter(stream.as_envoy().addr());
        for scheduler in [&first, &second] {
            assert_eq!(commit_elsewhere(scheduler), (false, vec![]), "one gate for both");
        }
        assert!(another.commit(6), "other streams have gates of their own");
        assert_eq!(envoy.told_of_calls(), ["scheduler 3: 6"]);
        let successor = of(&mut stream);
        assert!(successor.commit(7), "a stream at the same address is another one");
        gate::close_of_filter(stream.as_envoy().addr());
        gate::close_of_filter(other.as_envoy().addr());
    }

    static IS_COMMITTING: AtomicBool = AtomicBool::new(false);
    static IS_COMMITTED: AtomicBool = AtomicBool::new(false);

    /// Of a thread that is interrupted while it holds a count of the filter.
    unsafe extern "C" fn commit_slowly(_scheduler: *mut c_void, _event_id: u64) {
        IS_COMMITTING.store(true, Ordering::Release);
        std::thread::sleep(Duration::from_millis(50));
        IS_COMMITTED.store(true, Ordering::Release);
    }

    #[test]
    fn the_end_of_a_stream_waits_for_a_commit_that_is_under_way() {
        let envoy = FakeEnvoy::install();
        let mut stream = FakeStream::default();
        let scheduler = envoy.inside_hook(&mut stream, |handle| handle.scheduler()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let envoy = FakeEnvoy::install();
                envoy.remove_callbacks(|table| table.http_filter_scheduler_commit = Some(commit_slowly));
                assert!(scheduler.commit(1));
            });
            while !IS_COMMITTING.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            gate::close_of_filter(stream.as_envoy().addr());
            assert!(IS_COMMITTED.load(Ordering::Acquire));
        });
        assert!(!scheduler.commit(2));
    }

    #[test]
    fn a_handle_that_is_closed_has_no_scheduler() {
        let envoy = FakeEnvoy::install();
        let kept = envoy.inside_hook(&mut FakeStream::default(), |handle| handle);
        assert!(kept.scheduler().is_none());
        assert_eq!(envoy.told_of_calls(), [""; 0]);
    }
}
