//! A pool: the VMs of one key. Plugins with the same VM id, VM configuration, code and environment are in one pool,
//! as in the built-in host, and share the memory of its VMs.
//!
//! ```text
//!   worker 0 ── place ── home, others      streams of the worker, its ticks
//!   worker 1 ── place ── home, others
//!   spares                                 one goes to a place when its home failed or is busy
//!   seats, for each worker                 streams with a VM of their own (isolation `stream`)
//! ```
//!
//! Each worker has a home VM, so its lock is not contended. A VM that failed stays with the streams that are on
//! it and is replaced for the next one: a crash costs the streams in flight there, never the plugin. With isolation
//! `stream` there is one place, whose home does what no stream does (ticks, access logs); streams take *seats*. That
//! home, and those of services, are replaced by the keeper.

mod census;
mod metrics;
mod place;
mod restock;
mod spares;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::metrics::Defined;
use self::place::{Found, Occupant, Place};
use self::spares::Spares;
use super::failure::{BackOff, Tries};
use super::tally::Tally;
use crate::host::contexts::{Plugin, RootIndex};
use crate::host::stream::{Services, Stream};
use crate::host::template::Template;
use crate::host::vm::{Lease, Role, StartError, Vm, Watch};
use crate::telemetry::stats::Stat;

/// See the module's text.
pub struct Pool<S: Stream> {
    template: Template<S>,
    /// The first worker's place, and those of the others: there is always one.
    first_place: Mutex<Place<S>>,
    other_places: Box<[Mutex<Place<S>>]>,
    /// Streams that have a VM of their own, for each worker. Empty unless that is the isolation.
    seats: Box<[AtomicU32]>,
    spares: Spares<S>,
    /// How soon plugins are configured again in a home that the keeper has made, if one refused. One for each place.
    furnishings: Box<[Tries]>,
    defined: Defined<<S::Services as Services>::Metric>,
    rules: Rules,
    watch: Arc<Watch>,
    services: Arc<S::Services>,
    tally: Tally<S>,
    generations: AtomicUsize,
}

/// Who wants a VM.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A stream, which waits meanwhile.
    Stream,
    /// Nobody yet.
    Ahead,
}

/// How many VMs a pool has, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether each stream has a VM of its own.
    pub is_vm_per_stream: bool,
    /// Whether it is the keeper who replaces homes that failed, since no stream begins in them.
    pub keeps_homes: bool,
    /// Spare VMs, for all workers.
    pub spare_vms: u32,
    /// VMs of one worker.
    pub max_vms: u32,
    /// How long a stream waits for one.
    pub max_wait: Duration,
    /// Waits of crash loops.
    pub back_off: BackOff,
}

/// Why a worker has no VM for a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// A new one did not start.
    #[error("a new VM did not start: the plugin {0}")]
    Start(#[from] StartError),
    /// VMs failed one after the other; the next is made later.
    #[error(
        "the plugin's VMs fail one after the other; the next is started in {0:?} (reload_config.backoff)"
    )]
    BackingOff(Duration),
    /// As many as there may be are there, and none is free.
    #[error("all VMs of this worker are busy (graft.pool.max_vms is {0})")]
    Busy(u32),
}

impl<S: Stream> Pool<S> {
    /// A pool without VMs, with a place for each worker. It counts under the name of a plugin.
    pub fn new(
        template: Template<S>,
        workers: usize,
        rules: Rules,
        services: Arc<S::Services>,
        plugin: &str,
    ) -> Self {
        let (places, seats) = if rules.is_vm_per_stream { (1, workers.max(1)) } else { (workers, 0) };
        Self {
            template,
            first_place: Mutex::new(Place::empty()),
            other_places: (1..places).map(|_| Mutex::new(Place::empty())).collect(),
            seats: (0..seats).map(|_| AtomicU32::new(0)).collect(),
            spares: Spares::new(rules.spare_vms),
            furnishings: (0..places).map(|_| Tries::default()).collect(),
            defined: Defined::default(),
            rules,
            watch: Arc::new(if rules.is_vm_per_stream { Watch::for_seats() } else { Watch::default() }),
            tally: Tally::new(&services, plugin),
            generations: AtomicUsize::new(0),
            services,
        }
    }

    /// What its VMs are made from.
    pub fn template(&self) -> &Template<S> {
        &self.template
    }

    /// How many VMs it has, and when.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Who waits for a VM, and whether one has failed.
    pub fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// A generation begins in its VMs, or has ended there.
    pub(super) fn count_generation(&self, has_ended: bool) {
        if has_ended {
            self.generations.fetch_sub(1, Ordering::AcqRel);
        } else {
            self.generations.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How many generations run in its VMs.
    pub(super) fn generations(&self) -> usize {
        self.generations.load(Ordering::Acquire)
    }

    /// Gives its VMs up, whatever streams are in them: their memory goes back now. Waits for guest calls that run. If a
    /// generation begins meanwhile, what is left stays: it is counted before it enters any VM, so who is inside here sees
    /// either that, or that none of its streams has been there yet.
    pub(super) fn abandon(&self) {
        for lease in self.vms() {
            let mut vm = lease.lock();
            if self.generations() > 0 {
                return;
            }
            vm.abandon(&self.template);
        }
    }

    /// How many workers it is made for.
    pub fn workers(&self) -> usize {
        self.places().count().max(self.seats.len())
    }

    /// The clock that never goes back.
    pub(super) fn now(&self) -> u64 {
        self.services.monotonic_nanoseconds()
    }

    /// What it tells of itself.
    pub fn tally(&self) -> &Tally<S> {
        &self.tally
    }

    /// Starts a VM for it.
    ///
    /// # Errors
    /// It did not start.
    pub fn start_vm(&self) -> Result<Vm<S>, StartError> {
        let began = self.services.monotonic_nanoseconds();
        let started = Vm::start(&self.template);
        if let Ok(vm) = &started {
            vm.metrics_outside().into_iter().for_each(|metrics| self.defined.add(metrics));
            let took = self.services.monotonic_nanoseconds().saturating_sub(began);
            self.tally.record(Stat::VmStartUs, took, 1000);
        }
        self.tally.count(if started.is_ok() { Stat::VmsCreated } else { Stat::StartFailures });
        started
    }

    /// A plugin's root context in a VM: the one that is there, or a new one.
    ///
    /// # Errors
    /// The guest trapped or refused.
    pub fn root(&self, vm: &mut Vm<S>, plugin: &Arc<Plugin>) -> Result<RootIndex, StartError> {
        let root = vm.root(plugin.key).map_or_else(|| vm.create_root(plugin), Ok);
        root.inspect_err(|_failure| self.tally.count(Stat::StartFailures))
    }

    /// A VM of a worker that is free: its home; or, if another thread is in there, another. A home that failed is
    /// replaced, by a spare or by one that is started here. Another thread may be inside by the time that it is used.
    ///
    /// # Errors
    /// A new VM did not start, or has to wait because the last ones failed; or all are busy.
    pub fn free(&self, worker: usize) -> Result<Lease<S>, HomeError> {
        self.find(worker, Caller::Stream)
    }

    fn find(&self, worker: usize, caller: Caller) -> Result<Lease<S>, HomeError> {
        let mut place = self.place(worker).lock();
        match place.find() {
            Found::Free(lease) => Ok(lease),
            Found::Empty(past) => {
                if let Some(past) = past {
                    let now = self.services.monotonic_nanoseconds();
                    place.breaker.replace(self.rules.back_off, past, now).map_err(HomeError::BackingOff)?;
                }
                place.settle(Occupant::Broken);
                let lease = if let Some(spare) = self.take_spare(Role::Home) {
                    spare
                } else {
                    self.tally.add(Stat::VmsStartedInline, u64::from(caller == Caller::Stream));
                    Lease::new(self.start_vm()?, &self.watch)
                };
                place.settle(Occupant::Vm(lease.clone()));
                Ok(lease)
            }
            Found::Busy => {
                let most = usize::try_from(self.rules.max_vms).unwrap_or(usize::MAX);
                let spare = if place.count() < most { self.take_spare(Role::Other) } else { None };
                let lease = spare.ok_or(HomeError::Busy(self.rules.max_vms))?;
                place.add(lease.clone());
                Ok(lease)
            }
        }
    }

    /// The home of a worker, busy or not.
    ///
    /// # Errors
    /// A new VM did not start, or has to wait because the last ones failed.
    pub fn home(&self, worker: usize) -> Result<Lease<S>, HomeError> {
        self.find_home(worker, Caller::Stream)
    }

    fn take_spare(&self, role: Role) -> Option<Lease<S>> {
        self.spares.take(role).inspect(|_spare| self.tally.count(Stat::SparesUsed))
    }

    fn find_home(&self, worker: usize, caller: Caller) -> Result<Lease<S>, HomeError> {
        match self.find(worker, caller) {
            Err(HomeError::Busy(most)) => {
                self.place(worker).lock().home().cloned().ok_or(HomeError::Busy(most))
            }
            found => found,
        }
    }

    /// A seat of a worker, for a stream that has a VM of its own.
    ///
    /// # Errors
    /// There are as many as there may be.
    pub fn seat(self: &Arc<Self>, worker: usize) -> Result<Seat<S>, HomeError> {
        let index = self.queue(worker);
        let most = self.rules.max_vms;
        if let Some(taken) = self.seats.get(index) {
            let one_more = |taken: u32| taken.checked_add(1).filter(|taken| *taken <= most);
            let took = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
            took.map_err(|_full| HomeError::Busy(most))?;
        }
        Ok(Seat { pool: Arc::clone(self), index })
    }

    /// Where streams of a worker wait: workers beyond the last place, or row of seats, share the others'.
    pub fn queue(&self, worker: usize) -> usize {
        let places = self.other_places.len().saturating_add(1);
        worker.checked_rem(if self.seats.is_empty() { places } else { self.seats.len() }).unwrap_or(0)
    }

    /// Whether a stream that begins now would find a VM.
    pub fn has_room(&self, worker: usize) -> bool {
        match self.seats.get(self.queue(worker)) {
            Some(taken) => taken.load(Ordering::SeqCst) < self.rules.max_vms,
            None => !matches!(self.place(worker).lock().find(), Found::Busy),
        }
    }

    /// Gives a started VM to the first worker that has none. The canary of a new pool becomes useful that way.
    pub fn adopt(&self, vm: Vm<S>) {
        let vm = Lease::new(vm, &self.watch);
        for place in self.places() {
            let mut place = place.lock();
            if place.home().is_none() {
                place.settle(Occupant::Vm(vm));
                return;
            }
        }
    }

    /// The VMs that are there now, spares included. Those of single streams are not.
    pub fn vms(&self) -> Vec<Lease<S>> {
        let mut vms = self.spares.vms();
        for place in self.places() {
            vms.extend(place.lock().vms().cloned());
        }
        vms
    }

    /// Every metric that guests have defined in its VMs so far, some of them more than once. Waits for none that starts.
    pub fn metrics(&self) -> Vec<<S::Services as Services>::Metric> {
        self.defined.all()
    }

    /// A plugin goes, with its root contexts.
    pub(super) fn retire(&self, plugin: &Arc<Plugin>) {
        // First: whoever makes a root for it that is not found below looks whether it is there yet.
        self.spares.forget(plugin);
        for lease in self.vms() {
            let mut vm = lease.lock();
            if let Some(root) = vm.root(plugin.key) {
                vm.retire_root(root);
            }
        }
    }

    /// Makes sure that workers from 0 up to a number have a VM, in which a plugin has its root context. Spares will have
    /// one, too.
    ///
    /// # Errors
    /// A VM or the plugin did not start.
    pub fn prepare(&self, plugin: &Arc<Plugin>, workers: usize) -> Result<(), HomeError> {
        self.spares.serve(plugin);
        for worker in 0..workers.min(self.places().count()) {
            let lease = self.find_home(worker, Caller::Ahead)?;
            let mut vm = lease.lock();
            // One that failed while this thread waited is replaced for its next stream, which makes the root then.
            if !vm.has_failed() {
                self.root(&mut vm, plugin)?;
            }
        }
        Ok(())
    }

    /// Tells what there is now. Answers whether something goes on, so that it is worth looking again.
    pub fn report(&self) -> bool {
        let now = self.services.monotonic_nanoseconds();
        let (mut active, mut memory, mut open) = (0_u64, 0_u64, 0_u64);
        let bytes = |vm: &Lease<S>| u64::try_from(vm.memory_bytes()).unwrap_or(u64::MAX);
        for place in self.places() {
            let place = place.lock();
            open = open.saturating_add(u64::from(place.breaker.is_open(now)));
            for vm in place.vms().filter(|vm| !vm.has_failed()) {
                active = active.saturating_add(1);
                memory = memory.saturating_add(bytes(vm));
            }
        }
        for tries in self.furnishings.iter().chain([&self.spares.tries]) {
            open = open.saturating_add(u64::from(tries.is_backing_off(now)));
        }
        let spares = self.spares.vms();
        memory = spares.iter().map(bytes).fold(memory, u64::saturating_add);
        let seats = self.seats.iter().map(|taken| u64::from(taken.load(Ordering::Relaxed))).sum();
        let waiting = u64::try_from(self.watch.waiting()).unwrap_or(u64::MAX);
        self.tally.add(Stat::VmsRetired, self.watch.take_failures());
        let has_changed = self.tally.tell(&[
            (Stat::VmsActive, active),
            (Stat::VmsSpare, u64::try_from(spares.len()).unwrap_or(u64::MAX)),
            (Stat::StreamVmsActive, seats),
            (Stat::MemoryBytes, memory),
            (Stat::StreamsWaiting, waiting),
            (Stat::BreakersOpen, open),
        ]);
        self.services.publish_metrics();
        has_changed || open > 0 || waiting > 0
    }

    /// Whether a spare is missing.
    pub fn lacks_spares(&self) -> bool {
        self.spares.is_one_wanted()
    }

    fn places(&self) -> impl Iterator<Item = &Mutex<Place<S>>> {
        std::iter::once(&self.first_place).chain(&self.other_places)
    }

    /// The place of a worker. Workers beyond the last place share the others'.
    fn place(&self, worker: usize) -> &Mutex<Place<S>> {
        let places = self.other_places.len().saturating_add(1);
        let index = worker.checked_rem(places).unwrap_or(0);
        index.checked_sub(1).and_then(|index| self.other_places.get(index)).unwrap_or(&self.first_place)
    }
}

/// One of the VMs that a worker may have, until it is dropped; then the next stream that waits is called.
pub struct Seat<S: Stream> {
    pool: Arc<Pool<S>>,
    index: usize,
}

impl<S: Stream> Drop for Seat<S> {
    fn drop(&mut self) {
        if let Some(seats) = self.pool.seats.get(self.index) {
            // Before it is looked who waits, as those who come to wait look the other way round.
            seats.fetch_sub(1, Ordering::SeqCst);
        }
        self.pool.watch.call_next(self.index);
    }
}

impl<S: Stream> std::fmt::Debug for Seat<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Seat").field("index", &self.index).finish_non_exhaustive()
    }
}

impl<S: Stream> std::fmt::Debug for Pool<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("code", self.template.code()).finish_non_exhaustive()
    }
}
