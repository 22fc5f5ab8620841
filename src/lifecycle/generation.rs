//! A generation: one loaded version of a plugin, that is code and configuration.
//!
//! Whoever wants the same finds the same: several slots may publish a generation, and routes of others may be configured
//! as it is. It is on *duty* as long as any of them has its streams begin on it. Its streams may be ended when it is not,
//! and nobody begins on it, or finds it, from then on.

mod duty;

use std::cell::Cell;
use std::sync::{Arc, OnceLock};

use self::duty::Duties;
pub(super) use self::duty::Duty;

use super::keeper::Keeper;
use super::pool::{HomeError, Pool, Seat};
use super::slot::NotLoaded;
use super::tally::{Shard, Streams};
use crate::engine::code::{Tier, Wasm};
use crate::host::contexts::{Plugin, RootIndex, StreamIndex};
use crate::host::stream::{Services, Stream};
use crate::host::vm::{CallError, Lease, Snapshot, StartError, Waiting, Wake};

/// Why a stream could not begin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BeginError {
    /// There was no VM for it.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The plugin did not start in its VM.
    #[error("the plugin {0}")]
    Start(#[from] StartError),
    /// The guest trapped when its context was created.
    #[error(transparent)]
    Call(#[from] CallError),
    /// There is no generation yet.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
}

impl BeginError {
    /// Whether a stream that waits a little may find a VM.
    pub fn is_busy(&self) -> bool {
        match self {
            Self::Home(HomeError::Busy(_)) | Self::Start(StartError::NoPlace(_)) => true,
            Self::Home(HomeError::Start(_) | HomeError::BackingOff(_))
            | Self::Start(_)
            | Self::Call(_)
            | Self::NotLoaded(_) => false,
        }
    }

    /// Whether a stream that waits may find a generation.
    pub fn is_loading(&self) -> bool {
        *self == Self::NotLoaded(NotLoaded::Loading)
    }
}

/// A stream's hold on a VM.
pub struct Begun<S: Stream> {
    /// The VM.
    pub lease: Lease<S>,
    /// The stream's context in it.
    pub stream: StreamIndex,
    /// Given back after the VM, which is the stream's own if there is a seat.
    _seat: Option<Seat<S>>,
    /// The stream is there.
    shard: Option<Arc<Shard>>,
    /// It has been counted as one that failed.
    has_failed: Cell<bool>,
}

impl<S: Stream> Begun<S> {
    /// Whether its generation was replaced and may have no streams any more.
    pub fn is_over(&self) -> bool {
        self.shard.as_ref().is_some_and(|shard| shard.is_over())
    }

    /// The stream failed: its plugin trapped, or answered it with 500 or above. It counts once, however often it does.
    pub fn note_failure(&self) {
        if let Some(shard) = self.shard.as_ref().filter(|_| !self.has_failed.replace(true)) {
            shard.note_failure();
        }
    }

    /// The last the guest hears of the stream failed. Where its VM had failed before, that was not this stream's doing, and
    /// it missed nothing but that.
    pub fn note_last_failure(&self, error: &CallError) {
        if *error != CallError::VmFailed {
            self.note_failure();
        }
    }
}

/// See the module's text.
#[derive(Debug)]
pub struct Generation<S: Stream> {
    plugin: Arc<Plugin>,
    pool: Arc<Pool<S>>,
    /// What each stream's VM is made from, if it has one of its own.
    snapshot: Option<Snapshot<S>>,
    keeper: Arc<Keeper<S>>,
    workers: usize,
    /// When, on the clock that never goes back.
    made_at: u64,
    streams: Arc<Streams<S>>,
    duties: Duties,
    /// What it was compiled from, if that was done quickly.
    wasm: OnceLock<Arc<Wasm>>,
}

impl<S: Stream> Generation<S> {
    /// Makes the plugin's root context in the VMs of a pool.
    ///
    /// The configuration is tried in a VM that serves nobody first, so that one which the plugin refuses, or
    /// traps on, does no harm to streams of other plugins in the pool.
    ///
    /// # Errors
    /// The plugin did not start.
    pub fn start(
        pool: Arc<Pool<S>>,
        plugin: Arc<Plugin>,
        workers: usize,
        keeper: &Arc<Keeper<S>>,
    ) -> Result<Self, StartError> {
        let mut canary = pool.start_vm()?;
        let root = pool.root(&mut canary, &plugin)?;
        let snapshot = if pool.rules().is_vm_per_stream {
            let taken = canary.snapshot(pool.template(), root);
            Some(taken.map_err(|error| StartError::Copy(error.to_string()))?)
        } else {
            None
        };
        // Made first: should a VM on the way fail, its drop takes back the roots that were made before.
        let copy_bytes = snapshot.as_ref().map_or(0, Snapshot::memory_bytes);
        let streams = pool.tally().generation(&plugin.name, plugin.key, pool.workers(), copy_bytes);
        let made_at = pool.now();
        let generation = Self {
            plugin,
            pool,
            snapshot,
            keeper: Arc::clone(keeper),
            workers,
            made_at,
            streams,
            duties: Duties::default(),
            wasm: OnceLock::new(),
        };
        generation.keeper.watch(&generation.pool);
        // Before it has anything in a VM that others may give up.
        generation.pool.count_generation(false);
        if generation.pool.vms().is_empty() {
            generation.pool.adopt(canary);
        } else {
            drop(canary);
        }
        match generation.pool.prepare(&generation.plugin, workers) {
            // Another plugin of the pool may be in a crash loop; this one's root is made when the loop ends.
            Ok(()) | Err(HomeError::BackingOff(_) | HomeError::Busy(_)) => {}
            Err(HomeError::Start(error)) => return Err(error),
        }
        generation.keeper.restock(&generation.pool);
        generation.pool.report();
        Ok(generation)
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// How many streams are on it.
    pub fn streams(&self) -> u64 {
        self.streams.count()
    }

    /// How many have begun on it, or tried to.
    pub fn begun(&self) -> u64 {
        self.streams.begun()
    }

    /// How many of those failed.
    pub fn failures(&self) -> u64 {
        self.streams.failures()
    }

    /// Which compiler made the code that its streams run.
    pub fn tier(&self) -> Tier {
        let tier = self.pool.template().code().tier();
        self.snapshot.as_ref().map_or(tier, |snapshot| tier.min(snapshot.code().tier()))
    }

    /// It was compiled quickly: from this, so that it can be compiled once more.
    pub(super) fn keep_wasm(&self, wasm: &Arc<Wasm>) {
        let _is_there = self.wasm.set(Arc::clone(wasm));
    }

    /// What it was compiled from, if that was done quickly.
    pub(super) fn wasm(&self) -> Option<&Arc<Wasm>> {
        self.wasm.get()
    }

    /// Whether it is what another one was compiled from quickly, with all optimisations. For two of one configuration.
    pub(super) fn is_twin_of(&self, quick: &Self) -> bool {
        let is_of_code = |wasm: &Arc<Wasm>| wasm.digest() == self.pool.template().code().digest();
        self.tier() == Tier::Optimized && quick.wasm().is_some_and(is_of_code)
    }

    /// The VMs that it runs in.
    pub fn pool(&self) -> &Arc<Pool<S>> {
        &self.pool
    }

    /// How many workers have their VM made ready ahead.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Begins a stream on a worker: its context in a VM of the worker, or in one of its own. Where other threads are
    /// inside all of them, this one waits.
    ///
    /// # Errors
    /// There is no VM and none can be made, or the guest trapped.
    pub fn begin(&self, worker: usize, stream: S) -> Result<Begun<S>, BeginError> {
        let begun = match &self.snapshot {
            Some(snapshot) => self.begin_alone(snapshot, worker, stream),
            None => self.begin_in(worker, stream, || self.pool.home(worker)),
        };
        begun.inspect_err(|error| self.note_failure(worker, error))
    }

    /// The same for a stream whose thread need not wait.
    ///
    /// # Errors
    /// As for [`begin`](Self::begin). [`BeginError::is_busy`]: it can [`wait`](Self::wait) to be called.
    pub fn begin_if_free(&self, worker: usize, stream: S) -> Result<Begun<S>, BeginError> {
        let begun = match &self.snapshot {
            Some(snapshot) => self.begin_alone(snapshot, worker, stream),
            None => self.begin_in(worker, stream, || self.pool.free(worker)),
        };
        begun.inspect_err(|error| self.note_failure(worker, error))
    }

    /// A stream could not begin, and will not: that is the plugin's failure unless all its VMs are busy.
    #[cold]
    pub fn note_failure(&self, worker: usize, error: &BeginError) {
        if !error.is_busy()
            && let Some(shard) = self.streams.enter(worker)
        {
            shard.note_failure();
        }
    }

    fn begin_in(
        &self,
        worker: usize,
        stream: S,
        find: impl Fn() -> Result<Lease<S>, HomeError>,
    ) -> Result<Begun<S>, BeginError> {
        self.keeper.report(&self.pool);
        loop {
            let lease = find();
            if self.pool.lacks_spares() {
                self.keeper.restock(&self.pool);
            }
            let lease = lease?;
            let mut vm = lease.lock();
            if vm.has_failed() {
                // Another thread was inside and trapped while this one waited: the pool replaces that VM.
                continue;
            }
            let root = self.pool.root(&mut vm, &self.plugin)?;
            let stream = vm.create_stream(root, stream);
            if let Err(error) = &stream {
                vm.log_failure(error);
            }
            drop(vm);
            let stream = stream?;
            let shard = self.streams.enter(worker);
            return Ok(Begun { lease, stream, _seat: None, shard, has_failed: Cell::new(false) });
        }
    }

    fn begin_alone(&self, snapshot: &Snapshot<S>, worker: usize, stream: S) -> Result<Begun<S>, BeginError> {
        self.keeper.report(&self.pool);
        let seat = self.pool.seat(worker)?;
        let mut vm = snapshot.copy()?;
        let stream = vm.create_stream(snapshot.root(), stream);
        if let Err(error) = &stream {
            vm.log_failure(error);
        }
        Ok(Begun {
            stream: stream?,
            lease: Lease::apart(vm, self.pool.watch()),
            _seat: Some(seat),
            shard: self.streams.enter(worker),
            has_failed: Cell::new(false),
        })
    }

    /// Has a stream that found all VMs busy called when one may be free, or when it has waited for long enough: until
    /// the moment `until`, on the clock that never goes back.
    pub fn wait(&self, worker: usize, wake: Wake, until: u64) -> Waiting {
        self.keeper.report(&self.pool);
        let queue = self.pool.queue(worker);
        let waiting = self.pool.watch().wait(queue, wake, until);
        self.keeper.call_late(self.pool.watch(), until);
        // One may have come free just before.
        if self.pool.has_room(worker) {
            self.pool.watch().call_next(queue);
        }
        waiting
    }

    /// Whether streams of this worker wait: one that comes now is behind them.
    pub fn is_waited_for(&self, worker: usize) -> bool {
        self.pool.watch().is_waited_for(self.pool.queue(worker))
    }

    /// A worker's VM and the plugin's root context in it, for what is done in the root's name.
    ///
    /// # Errors
    /// There is no VM and none can be made, or the plugin does not start in it.
    pub fn home(&self, worker: usize) -> Result<(Lease<S>, RootIndex), BeginError> {
        self.keeper.report(&self.pool);
        loop {
            let lease = self.pool.home(worker)?;
            let mut vm = lease.lock();
            if vm.has_failed() {
                // As in `begin`.
                continue;
            }
            let root = self.pool.root(&mut vm, &self.plugin)?;
            drop(vm);
            return Ok((lease, root));
        }
    }

    /// When it was made, on the clock that never goes back.
    pub fn made_at(&self) -> u64 {
        self.made_at
    }

    /// Every metric that the VMs' guests have defined so far. Waits for none of them: Envoy's main thread asks.
    pub fn metrics(&self) -> Vec<<S::Services as Services>::Metric> {
        self.pool.metrics()
    }
}

impl<S: Stream> Drop for Generation<S> {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.pool.count_generation(true);
        }
        self.pool.retire(&self.plugin);
    }
}
