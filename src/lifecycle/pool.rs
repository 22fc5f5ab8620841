//! A pool: the VMs of one key. Plugins with the same VM id, VM configuration, code and environment are in one pool,
//! as in the built-in host, and share the memory of its VMs.
//!
//! Each worker has a home VM, so its lock is not contended. A VM that failed stays with the streams that are on
//! it and is replaced for the next one: a crash costs the streams in flight there, never the plugin.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::host::contexts::{Plugin, RootIndex};
use crate::host::stream::Stream;
use crate::host::template::Template;
use crate::host::vm::{StartError, Vm};

/// A VM that streams hold, and the lock that lets one thread in.
pub type Lease<S> = Arc<Mutex<Vm<S>>>;

/// See the module's text.
pub struct Pool<S: Stream> {
    template: Template<S>,
    /// The first worker's place, and those of the others: there is always one.
    first_home: Home<S>,
    other_homes: Box<[Home<S>]>,
}

/// Where a worker's VM is. Locked by that worker alone, but for the moments in which plugins come and go.
type Home<S> = Mutex<Option<Lease<S>>>;

impl<S: Stream> Pool<S> {
    /// A pool without VMs, with a place for each worker.
    pub fn new(template: Template<S>, workers: usize) -> Self {
        let other_homes = (1..workers).map(|_| Mutex::new(None)).collect();
        Self { template, first_home: Mutex::new(None), other_homes }
    }

    /// What its VMs are made from.
    pub fn template(&self) -> &Template<S> {
        &self.template
    }

    /// The home VM of a worker: the one that is there, or a new one if there is none or it failed.
    ///
    /// # Errors
    /// A new VM did not start.
    pub fn home(&self, worker: usize) -> Result<Lease<S>, StartError> {
        let mut home = self.place(worker).lock();
        if let Some(lease) = home.as_ref() {
            // A lock that is held is held by a guest that runs: that VM has not failed yet, or is about to.
            if lease.try_lock().is_none_or(|vm| !vm.has_failed()) {
                return Ok(Arc::clone(lease));
            }
        }
        let lease = Arc::new(Mutex::new(Vm::start(&self.template)?));
        *home = Some(Arc::clone(&lease));
        Ok(lease)
    }

    /// Gives a started VM to the first worker that has none. The canary of a new pool becomes useful that way.
    pub fn adopt(&self, vm: Vm<S>) {
        let vm = Arc::new(Mutex::new(vm));
        for home in self.homes() {
            let mut home = home.lock();
            if home.is_none() {
                *home = Some(vm);
                return;
            }
        }
    }

    /// The VMs that are there now.
    pub fn vms(&self) -> Vec<Lease<S>> {
        self.homes().filter_map(|home| home.lock().clone()).collect()
    }

    /// Makes sure that workers from 0 up to a number have a VM, in which a plugin has its root context.
    ///
    /// # Errors
    /// A VM or the plugin did not start.
    pub fn prepare(&self, plugin: &Arc<Plugin>, workers: usize) -> Result<(), StartError> {
        for worker in 0..workers.min(self.homes().count()) {
            let lease = self.home(worker)?;
            root(&mut lease.lock(), plugin)?;
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
