//! The loader: threads that advance slots, so that neither Envoy's main thread nor a worker waits for a registry, a
//! compiler or the start of a guest.
//!
//! Threads are called `graft:loader`, are started when there is work for them, and sleep while nothing is due. In tests
//! the thread is the test's own: [`Loader::work`].

mod jobs;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::jobs::{Jobs, Task};
use super::attempt::{AFTER_A_PANIC, attempt};
use super::inventory::Inventory;
use super::slot::Slot;
use super::supply::{Freshness, Supply};
use crate::config::PluginConfig;
use crate::host::stream::{Services, Stream};
use crate::telemetry::{self, Level};

/// Most threads. They wait for the network, or compile, which uses every core by itself.
const MOST_THREADS: usize = 8;

/// Most threads that ask a server at the same time: one that does not answer holds up none but those that ask servers.
const MOST_ASKING: usize = 6;

/// What a slot needs to come from one generation to the next.
pub(super) struct Works<S: Stream> {
    pub(super) inventory: Inventory<S>,
    pub(super) supply: Arc<dyn Supply>,
    pub(super) services: Arc<S::Services>,
    /// The process validates configurations: nobody stays for long enough to be served with quick code.
    pub(super) optimizes_at_once: AtomicBool,
}

/// See the module's text. Any thread.
pub struct Loader<S: Stream> {
    works: Works<S>,
    shared: Mutex<Shared<S>>,
    posted: Condvar,
}

struct Shared<S: Stream> {
    jobs: Jobs<S>,
    most_threads: usize,
    threads: usize,
    idle: usize,
}

impl<S: Stream> Loader<S> {
    pub(super) fn new(works: Works<S>) -> Self {
        let jobs = Jobs::new(MOST_ASKING);
        let shared = Shared { jobs, most_threads: 0, threads: 0, idle: 0 };
        Self { works, shared: Mutex::new(shared), posted: Condvar::new() }
    }

    pub(super) fn works(&self) -> &Works<S> {
        &self.works
    }

    /// Lets threads be started.
    pub fn start(&self) {
        self.shared.lock().most_threads = MOST_THREADS;
    }

    /// The process validates configurations, and ends: no code is compiled quickly, whatever they say, nor fetched for later.
    pub fn optimize_at_once(&self) {
        self.works.optimizes_at_once.store(true, Ordering::Relaxed);
    }

    /// Something is to be done for a slot, now or at a moment.
    pub(super) fn post(self: &Arc<Self>, slot: &Arc<Slot<S>>, due: u64) {
        self.shared.lock().jobs.add(slot, due);
        self.wake_one();
    }

    /// The same for what waits for nobody.
    pub(super) fn post_looks(self: &Arc<Self>, slots: Vec<Weak<Slot<S>>>) {
        self.shared.lock().jobs.add_looks(slots);
        self.wake_one();
    }

    /// A configuration of Envoy's has [released](Slot::release) a slot. With its last user it ends on a thread of the loader:
    /// its guests say goodbye then, and their VMs are waited for, which nobody may have to do in a hook of Envoy's. Least of
    /// all a hook that Envoy calls from inside a guest's call, since that VM is locked. Where there are no threads, the last
    /// user ends it.
    pub fn let_go(self: &Arc<Self>, slot: &Arc<Slot<S>>) {
        let mut shared = self.shared.lock();
        if shared.most_threads > 0 && !slot.is_used() {
            shared.jobs.add_to_leave(slot);
            drop(shared);
            self.wake_one();
        }
    }

    /// The code of a plugin is to be fetched and compiled, so that it is in the cache.
    pub(super) fn post_to_keep(self: &Arc<Self>, config: &PluginConfig) {
        self.shared.lock().jobs.add_to_keep(config);
        self.wake_one();
    }

    /// There is a thread that sleeps, or the most are there, or one more comes: so whatever falls due finds somebody.
    fn wake_one(self: &Arc<Self>) {
        let mut shared = self.shared.lock();
        if shared.idle == 0 && shared.threads < shared.most_threads {
            shared.threads = shared.threads.saturating_add(1);
            let loader = Arc::clone(self);
            let started =
                thread::Builder::new().name("graft:loader".to_owned()).spawn(move || loader.work_for_ever());
            if let Err(error) = started {
                shared.threads = shared.threads.saturating_sub(1);
                let threads = shared.threads;
                drop(shared);
                let line = format_args!(
                    "graft: no thread to load plugins beside {threads} others: {error}, expected the system to allow one more"
                );
                telemetry::log(Level::Error, line);
                return;
            }
        }
        drop(shared);
        self.posted.notify_one();
    }

    /// Does all that is due; answers when the next job is.
    pub fn work(self: &Arc<Self>) -> Option<u64> {
        while self.work_once() {}
        self.shared.lock().jobs.next_due()
    }

    fn work_once(self: &Arc<Self>) -> bool {
        let now = self.works.services.monotonic_nanoseconds();
        let (task, are_more) = {
            let mut shared = self.shared.lock();
            let task = shared.jobs.take(now);
            (task, !shared.jobs.is_empty())
        };
        let Some(task) = task else { return false };
        if are_more {
            // This thread may be busy for long.
            self.wake_one();
        }
        let next = match &task {
            Task::Look(slot) => attempt_for(slot, now, || slot.look(&self.works)),
            Task::Load(slot) => attempt_for(slot, now, || slot.advance(&self.works)),
            Task::Optimize(slot) => {
                // What was compiled quickly goes on; the hook tells of the panic.
                if attempt(|| slot.optimize(&self.works)).is_none() {
                    slot.has_panicked_optimizing();
                }
                None
            }
            Task::Keep(config) => {
                let _done = attempt(|| self.keep(config));
                None
            }
        };
        let left = self.shared.lock().jobs.done(&task, now, next);
        // The last of a slot may go here, and its guests with it. The hook tells of a panic.
        let _done = attempt(|| drop((task, left)));
        true
    }

    /// Fetches and compiles; whatever stands in the way stands there again when the plugin is to be loaded.
    fn keep(&self, config: &PluginConfig) {
        let kept = self.works.supply.fetch(config, Freshness::ByPolicy).map_err(Into::into);
        let kept = kept.and_then(|supplied| self.works.inventory.keep(config, &Arc::new(supplied.wasm)));
        if let Err(error) = kept {
            let line = format_args!("graft: {}; it is not in the cache yet", error.describe(config));
            telemetry::log(Level::Error, line);
        } else if !self.works.supply.is_kept(config) {
            let path = config.vm.code.path();
            let line = format_args!(
                "{path}: the code was fetched and is not in the cache: it cannot be written, or the server told no length, and \
                 then only a sha256 says that nothing is missing"
            );
            telemetry::log_plugin(Level::Warn, &config.name, line);
        }
    }

    fn work_for_ever(self: Arc<Self>) {
        loop {
            while self.work_once() {}
            let mut shared = self.shared.lock();
            let now = self.works.services.monotonic_nanoseconds();
            shared.idle = shared.idle.saturating_add(1);
            match shared.jobs.next_due() {
                Some(due) if due <= now => {}
                Some(due) => {
                    self.posted.wait_for(&mut shared, Duration::from_nanos(due.saturating_sub(now)));
                }
                None => self.posted.wait(&mut shared),
            }
            shared.idle = shared.idle.saturating_sub(1);
        }
    }
}

/// Does something for a slot, which is told of a panic.
fn attempt_for<S: Stream>(slot: &Arc<Slot<S>>, now: u64, work: impl FnOnce() -> Option<u64>) -> Option<u64> {
    attempt(work).unwrap_or_else(|| {
        let why = "panicked while it was loaded, which is a fault of Graft";
        let line = format_args!("{why}; tried again in a minute");
        telemetry::log_plugin(Level::Error, &slot.config().name, line);
        let again = now.saturating_add(AFTER_A_PANIC);
        slot.has_panicked(why, now, again);
        Some(again)
    })
}

impl<S: Stream> std::fmt::Debug for Loader<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Loader").finish_non_exhaustive()
    }
}
