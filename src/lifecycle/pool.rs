//! A pool: the VMs of one key. Plugins with the same VM id, VM configuration, code and environment are in one pool,
//! as in the built-in host, and share the memory of its VMs.
//!
//! Each worker has a home VM, so its lock is not contended. A VM that failed stays with the streams that are on
//! it and is replaced for the next one: a crash costs the streams in flight there, never the plugin.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::failure::{BackOff, Breaker, Past};
use crate::host::contexts::{Plugin, RootIndex};
use crate::host::stream::{Services as _, Stream};
use crate::host::template::Template;
use crate::host::vm::{Lease, StartError, Vm};

/// See the module's text.
pub struct Pool<S: Stream> {
    template: Template<S>,
    /// The first worker's place, and those of the others: there is always one.
    first_home: Home<S>,
    other_homes: Box<[Home<S>]>,
    back_off: BackOff,
    services: Arc<S::Services>,
}

/// Where a worker's VM is. Locked by that worker alone, but for the moments in which plugins come and go.
type Home<S> = Mutex<Place<S>>;

struct Place<S: Stream> {
    occupant: Occupant<S>,
    breaker: Breaker,
}

/// What is in a place.
enum Occupant<S: Stream> {
    /// Nothing yet.
    Nobody,
    /// A VM, that may have failed meanwhile.
    Vm(Lease<S>),
    /// The last VM did not start. The one before it is forgotten, however well it served.
    Broken,
}

impl<S: Stream> Place<S> {
    fn empty() -> Home<S> {
        Mutex::new(Self { occupant: Occupant::Nobody, breaker: Breaker::default() })
    }

    fn lease(&self) -> Option<&Lease<S>> {
        match &self.occupant {
            Occupant::Vm(lease) => Some(lease),
            Occupant::Nobody | Occupant::Broken => None,
        }
    }
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
}

impl<S: Stream> Pool<S> {
    /// A pool without VMs, with a place for each worker.
    pub fn new(template: Template<S>, workers: usize, back_off: BackOff, services: Arc<S::Services>) -> Self {
        let other_homes = (1..workers).map(|_| Place::empty()).collect();
        Self { template, first_home: Place::empty(), other_homes, back_off, services }
    }

    /// What its VMs are made from.
    pub fn template(&self) -> &Template<S> {
        &self.template
    }

    /// The home VM of a worker: the one that is there, or a new one if there is none or it failed. Where another
    /// thread is inside, it may have failed by the time that the lock is free.
    ///
    /// # Errors
    /// A new VM did not start, or has to wait because the last ones failed.
    pub fn home(&self, worker: usize) -> Result<Lease<S>, HomeError> {
        let mut home = self.place(worker).lock();
        let past = match &home.occupant {
            Occupant::Nobody => None,
            Occupant::Vm(lease) => {
                // A lock that is held is held by a guest that runs: that VM has not failed yet, or is about to.
                let failed = lease.try_lock().filter(|vm| vm.has_failed()).map(|vm| vm.has_served());
                let Some(has_served) = failed else { return Ok(lease.clone()) };
                Some(if has_served { Past::Served } else { Past::Fruitless })
            }
            Occupant::Broken => Some(Past::Unstarted),
        };
        if let Some(past) = past {
            let now = self.services.monotonic_nanoseconds();
            home.breaker.replace(self.back_off, past, now).map_err(HomeError::BackingOff)?;
        }
        home.occupant = Occupant::Broken;
        let lease = Lease::new(Vm::start(&self.template)?);
        home.occupant = Occupant::Vm(lease.clone());
        Ok(lease)
    }

    /// Gives a started VM to the first worker that has none. The canary of a new pool becomes useful that way.
    pub fn adopt(&self, vm: Vm<S>) {
        let vm = Lease::new(vm);
        for home in self.homes() {
            let mut home = home.lock();
            if home.lease().is_none() {
                home.occupant = Occupant::Vm(vm);
                return;
            }
        }
    }

    /// The VMs that are there now.
    pub fn vms(&self) -> Vec<Lease<S>> {
        self.homes().filter_map(|home| home.lock().lease().cloned()).collect()
    }

    /// Makes sure that workers from 0 up to a number have a VM, in which a plugin has its root context.
    ///
    /// # Errors
    /// A VM or the plugin did not start.
    pub fn prepare(&self, plugin: &Arc<Plugin>, workers: usize) -> Result<(), HomeError> {
        for worker in 0..workers.min(self.homes().count()) {
            let lease = self.home(worker)?;
            let mut vm = lease.lock();
            // One that failed while this thread waited is replaced for its next stream, which makes the root then.
            if !vm.has_failed() {
                root(&mut vm, plugin)?;
            }
        }
        Ok(())
    }

    fn homes(&self) -> impl Iterator<Item = &Home<S>> {
        std::iter::once(&self.first_home).chain(&self.other_homes)
    }

    /// The place of a worker. Workers beyond the last place share the others'.
    fn place(&self, worker: usize) -> &Home<S> {
        let places = self.other_homes.len().saturating_add(1);
        let index = worker.checked_rem(places).unwrap_or(0);
        index.checked_sub(1).and_then(|index| self.other_homes.get(index)).unwrap_or(&self.first_home)
    }
}

/// A plugin's root context in a VM: the one that is there, or a new one.
///
/// # Errors
/// The guest trapped or refused.
pub fn root<S: Stream>(vm: &mut Vm<S>, plugin: &Arc<Plugin>) -> Result<RootIndex, StartError> {
    match vm.root(plugin.key) {
        Some(root) => Ok(root),
        None => vm.create_root(plugin),
    }
}

impl<S: Stream> std::fmt::Debug for Pool<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Pool").field("code", self.template.code()).finish_non_exhaustive()
    }
}
