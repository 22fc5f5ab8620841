//! The loader: threads that advance slots, so that neither Envoy's main thread nor a worker waits for a registry, a
//! compiler or the start of a guest.
//!
//! Threads are called `graft:loader`, are started when there is work for them, and sleep while nothing is due. In tests
//! the thread is the test's own: [`Loader::work`].

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::inventory::Inventory;
use super::slot::Slot;
use super::supply::Supply;
use crate::host::stream::{Services, Stream};
use crate::telemetry::{self, Level};

/// Most threads. What they do is wait for the network, or compile, which uses every core by itself; so a few are enough
/// that one slow registry holds up nobody else.
const MOST_THREADS: usize = 4;

/// When a slot is looked at again whose load has panicked, in nanoseconds.
const AFTER_A_PANIC: u64 = 60_000_000_000;

/// What a slot needs to come from one generation to the next.
pub(super) struct Works<S: Stream> {
    pub(super) inventory: Inventory<S>,
    pub(super) supply: Arc<dyn Supply>,
    pub(super) services: Arc<S::Services>,
}

/// See the module's text. Any thread.
pub struct Loader<S: Stream> {
    works: Works<S>,
    jobs: Mutex<Jobs<S>>,
    posted: Condvar,
}

struct Jobs<S: Stream> {
    list: Vec<Job<S>>,
    /// Slots that nobody else holds, until they were loaded.
    once: Vec<Arc<Slot<S>>>,
    /// Slots that a thread is at.
    under_way: Vec<Weak<Slot<S>>>,
    most_threads: usize,
    threads: usize,
    idle: usize,
}

struct Job<S: Stream> {
    slot: Weak<Slot<S>>,
    /// When, on the clock that never goes back.
    due: u64,
}

impl<S: Stream> Loader<S> {
    pub(super) fn new(works: Works<S>) -> Self {
        let jobs = Jobs {
            list: Vec::new(),
            once: Vec::new(),
            under_way: Vec::new(),
            most_threads: 0,
            threads: 0,
            idle: 0,
        };
        Self { works, jobs: Mutex::new(jobs), posted: Condvar::new() }
    }

    pub(super) fn works(&self) -> &Works<S> {
        &self.works
    }

    /// Lets threads be started.
    pub fn start(&self) {
        self.jobs.lock().most_threads = MOST_THREADS;
    }

    /// Something is to be done for a slot, now or at a moment.
    pub(super) fn post(self: &Arc<Self>, slot: &Arc<Slot<S>>, due: u64) {
        let mut jobs = self.jobs.lock();
        jobs.add(Arc::downgrade(slot), due);
        if jobs.idle == 0 && jobs.threads < jobs.most_threads {
            jobs.threads = jobs.threads.saturating_add(1);
            let loader = Arc::clone(self);
            let started =
                thread::Builder::new().name("graft:loader".to_owned()).spawn(move || loader.work_for_ever());
            if let Err(error) = started {
                jobs.threads = jobs.threads.saturating_sub(1);
                drop(jobs);
                telemetry::log(
                    Level::Error,
                    format_args!(
                        "graft: no thread to load plugins: {error}, expected the system to allow one more"
                    ),
                );
                return;
            }
        }
        drop(jobs);
        self.posted.notify_one();
    }

    /// A slot that nobody will hold is loaded once, so that its code is in the cache.
    pub(super) fn post_once(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        // Before it is posted: the thread that loads it lets it go.
        self.jobs.lock().once.push(Arc::clone(slot));
        self.post(slot, 0);
    }

    /// Does all that is due; answers when the next job is.
    pub fn work(&self) -> Option<u64> {
        while self.work_once() {}
        self.jobs.lock().next_due()
    }

    fn work_once(&self) -> bool {
        let now = self.works.services.monotonic_nanoseconds();
        let Some(slot) = self.jobs.lock().take(now) else { return false };
        // A thread that ends takes the work of all slots with it.
        let advanced = panic::catch_unwind(AssertUnwindSafe(|| slot.advance(&self.works)));
        let next = advanced.unwrap_or_else(|_told_by_the_hook| {
            let line = format_args!(
                "panicked while it was loaded, which is a fault of Graft; tried again in a minute"
            );
            telemetry::log_plugin(Level::Error, &slot.config().name, line);
            slot.want();
            Some(now.saturating_add(AFTER_A_PANIC))
        });
        let mut jobs = self.jobs.lock();
        let weak = Arc::downgrade(&slot);
        jobs.under_way.retain(|other| !other.ptr_eq(&weak));
        if let Some(due) = next {
            jobs.add(weak, due);
        }
        let done = jobs.once.extract_if(.., |other| Arc::ptr_eq(other, &slot)).next();
        drop(jobs);
        if let Some(done) = done {
            done.release();
        }
        // The last of it may go here, and its guests with it: rather than on a worker.
        drop(slot);
        true
    }

    fn work_for_ever(&self) {
        loop {
            while self.work_once() {}
            let mut jobs = self.jobs.lock();
            let now = self.works.services.monotonic_nanoseconds();
            jobs.idle = jobs.idle.saturating_add(1);
            match jobs.next_due() {
                Some(due) if due <= now => {}
                Some(due) => {
                    self.posted.wait_for(&mut jobs, Duration::from_nanos(due.saturating_sub(now)));
                }
                None => self.posted.wait(&mut jobs),
            }
            jobs.idle = jobs.idle.saturating_sub(1);
        }
    }
}

impl<S: Stream> Jobs<S> {
    /// What is asked for already is done once, as soon as anybody wants it.
    fn add(&mut self, slot: Weak<Slot<S>>, due: u64) {
        match self.list.iter_mut().find(|job| job.slot.ptr_eq(&slot)) {
            Some(job) => job.due = job.due.min(due),
            None => self.list.push(Job { slot, due }),
        }
    }

    /// The slot whose job has been due for longest, unless another thread is at it.
    fn take(&mut self, now: u64) -> Option<Arc<Slot<S>>> {
        self.list.retain(|job| job.slot.strong_count() > 0);
        let is_free = |job: &&Job<S>| !self.under_way.iter().any(|other| other.ptr_eq(&job.slot));
        let next = self.list.iter().filter(|job| job.due <= now).filter(is_free).min_by_key(|job| job.due)?;
        let slot = next.slot.clone();
        self.list.retain(|job| !job.slot.ptr_eq(&slot));
        self.under_way.push(slot.clone());
        slot.upgrade()
    }

    fn next_due(&self) -> Option<u64> {
        let is_free = |job: &&Job<S>| !self.under_way.iter().any(|other| other.ptr_eq(&job.slot));
        self.list.iter().filter(is_free).map(|job| job.due).min()
    }
}

impl<S: Stream> std::fmt::Debug for Loader<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").field("jobs", &self.jobs.lock().list.len()).finish_non_exhaustive()
    }
}
