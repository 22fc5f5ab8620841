//! The keeper: what has to be done for pools and is nobody's turn. It makes spare VMs, calls streams that have
//! waited for too long, and tells what there is in the statistics.
//!
//! Two threads a process, which sleep while nothing is due: `graft:keeper` for pools, where a guest that starts takes as
//! long as it likes, and `graft:waits` for streams, whose time is over whatever guests do. In tests the thread is the
//! test's own: [`Keeper::work`].

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::attempt::{AFTER_A_PANIC, attempt};
use super::error::LoadError;
use super::pool::Pool;
use crate::host::stream::{Services, Stream};
use crate::host::vm::{News, Watch};
use crate::telemetry::{self, Level};

/// How often a pool in which something goes on tells what there is, in nanoseconds.
const REPORT_EVERY: u64 = 1_000_000_000;

/// See the module's text. Any thread.
pub struct Keeper<S: Stream> {
    /// What goes into VMs, or looks at their places: it may wait for guests.
    pools: Desk<S>,
    /// What waits for nobody.
    waits: Desk<S>,
    services: Arc<S::Services>,
}

/// The jobs of one thread.
struct Desk<S: Stream> {
    jobs: Mutex<VecDeque<Job<S>>>,
    posted: Condvar,
}

struct Job<S: Stream> {
    what: What<S>,
    /// When, on the clock that never goes back.
    due: u64,
}

enum What<S: Stream> {
    /// Spares are missing, or a home that the keeper looks after.
    Restock(Weak<Pool<S>>),
    /// A stream's wait may be over.
    CallLate(Weak<Watch>),
    /// What there is may have changed since it was told.
    Report(Weak<Pool<S>>),
}

impl<S: Stream> What<S> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Restock(one), Self::Restock(two)) | (Self::Report(one), Self::Report(two)) => {
                one.ptr_eq(two)
            }
            (Self::CallLate(one), Self::CallLate(two)) => one.ptr_eq(two),
            (Self::Restock(_) | Self::CallLate(_) | Self::Report(_), _) => false,
        }
    }
}

impl<S: Stream> Keeper<S> {
    /// A keeper with nothing to do, and no thread.
    pub fn new(services: Arc<S::Services>) -> Self {
        Self { pools: Desk::new(), waits: Desk::new(), services }
    }

    /// Starts the threads.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(self: &Arc<Self>) -> Result<(), LoadError> {
        self.start_at("graft:keeper", |keeper| &keeper.pools)?;
        self.start_at("graft:waits", |keeper| &keeper.waits)
    }

    fn start_at(self: &Arc<Self>, name: &str, desk: fn(&Self) -> &Desk<S>) -> Result<(), LoadError> {
        let keeper = Arc::clone(self);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || keeper.work_for_ever(desk(&keeper)))
            .map(drop)
            .map_err(|error| LoadError::Thread(error.to_string()))
    }

    /// Spares of a pool may be missing, or its home.
    pub fn restock(&self, pool: &Arc<Pool<S>>) {
        self.post(What::Restock(Arc::downgrade(pool)), 0);
    }

    /// Streams wait until a moment.
    pub fn call_late(&self, watch: &Arc<Watch>, due: u64) {
        self.post(What::CallLate(Arc::downgrade(watch)), due);
    }

    /// Something goes on in this pool: what there is will be told in a while.
    pub fn report(&self, pool: &Arc<Pool<S>>) {
        if pool.tally().ask() {
            let now = self.services.monotonic_nanoseconds();
            self.post(What::Report(Arc::downgrade(pool)), now.saturating_add(REPORT_EVERY));
        }
    }

    /// What happens in VMs of this pool is noticed from now on, also where no stream comes by.
    pub fn watch(self: &Arc<Self>, pool: &Arc<Pool<S>>) {
        let (keeper, keeps_homes) = (Arc::clone(self), pool.rules().keeps_homes);
        // The last hold on a pool ends its VMs, so none is taken inside of one.
        let weak = Arc::downgrade(pool);
        pool.watch().on_news(Box::new(move |news| {
            if news == News::Failed && keeps_homes {
                keeper.post(What::Restock(Weak::clone(&weak)), 0);
            } else {
                let due = keeper.services.monotonic_nanoseconds().saturating_add(REPORT_EVERY);
                keeper.post(What::Report(Weak::clone(&weak)), due);
            }
        }));
    }

    fn post(&self, what: What<S>, due: u64) {
        let desk = match what {
            What::CallLate(_) => &self.waits,
            What::Restock(_) | What::Report(_) => &self.pools,
        };
        desk.post(what, due);
    }

    /// Does all that is due; answers when the next job is.
    pub fn work(&self) -> Option<u64> {
        let nexts = [&self.waits, &self.pools].map(|desk| self.work_at(desk));
        nexts.into_iter().flatten().min()
    }

    fn work_at(&self, desk: &Desk<S>) -> Option<u64> {
        loop {
            let now = self.services.monotonic_nanoseconds();
            match desk.take(now) {
                Ok(what) => {
                    if attempt(|| self.run(&what, now)).is_none() {
                        self.post(what, now.saturating_add(AFTER_A_PANIC));
                    }
                }
                Err(next) => return next,
            }
        }
    }

    fn run(&self, what: &What<S>, now: u64) {
        match what {
            What::CallLate(watch) => {
                if let Some(watch) = watch.upgrade()
                    && let Some(due) = watch.call_late(now)
                {
                    self.call_late(&watch, due);
                }
            }
            What::Report(pool) => {
                if let Some(pool) = pool.upgrade() {
                    pool.tally().begin_look();
                    if pool.report() {
                        self.report(&pool);
                    }
                }
            }
            What::Restock(pool) => {
                if let Some(pool) = pool.upgrade() {
                    self.run_restock(&pool, now);
                }
            }
        }
    }

    fn run_restock(&self, pool: &Arc<Pool<S>>, now: u64) {
        let again = |due| self.post(What::Restock(Arc::downgrade(pool)), due);
        match pool.restock() {
            Ok(None) => {}
            Ok(Some(wait)) => {
                again(now.saturating_add(telemetry::nanoseconds(wait)));
            }
            // Tried again, later and later: the breaker of the home or of the spares says when.
            Err(error) => {
                let line = format_args!("a VM that nobody waits for did not start: the plugin {error}");
                telemetry::log_plugin(Level::Error, pool.tally().plugin(), line);
                again(now);
            }
        }
        pool.report();
    }

    fn work_for_ever(&self, desk: &Desk<S>) {
        loop {
            self.work_at(desk);
            desk.sleep(|| self.services.monotonic_nanoseconds());
        }
    }
}

impl<S: Stream> Desk<S> {
    fn new() -> Self {
        Self { jobs: Mutex::default(), posted: Condvar::new() }
    }

    fn post(&self, what: What<S>, due: u64) {
        let mut jobs = self.jobs.lock();
        // What is asked for already is done once; calls of the late are done at their time, and ask again.
        match jobs.iter_mut().find(|job| job.what.is_same(&what)) {
            Some(job) => job.due = job.due.min(due),
            None => jobs.push_back(Job { what, due }),
        }
        drop(jobs);
        self.posted.notify_one();
    }

    /// A job that is due, or when the next one is.
    fn take(&self, now: u64) -> Result<What<S>, Option<u64>> {
        let mut jobs = self.jobs.lock();
        let place = jobs.iter().position(|job| job.due <= now);
        let job = place.and_then(|place| jobs.remove(place));
        job.map(|job| job.what).ok_or_else(|| jobs.iter().map(|job| job.due).min())
    }

    /// Waits until a job is due, or one more has come.
    fn sleep(&self, now: impl Fn() -> u64) {
        let mut jobs = self.jobs.lock();
        let now = now();
        // Looked at anew: one that is due before the others may have come just now.
        match jobs.iter().map(|job| job.due).min() {
            Some(due) if due <= now => {}
            Some(due) => {
                self.posted.wait_for(&mut jobs, Duration::from_nanos(due.saturating_sub(now)));
            }
            None => self.posted.wait(&mut jobs),
        }
    }
}

impl<S: Stream> std::fmt::Debug for Keeper<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let jobs = [&self.pools, &self.waits].map(|desk| desk.jobs.lock().len());
        formatter.debug_struct("Keeper").field("jobs", &jobs).finish_non_exhaustive()
    }
}
