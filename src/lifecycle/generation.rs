//! A generation: one loaded version of a plugin, that is code and configuration.

use std::sync::Arc;

use super::pool::{self, HomeError, Pool};
use crate::host::contexts::{Plugin, RootIndex, StreamIndex};
use crate::host::stream::{Services, Stream};
use crate::host::vm::{CallError, Lease, StartError};

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
}

/// A stream's hold on a VM.
pub struct Begun<S: Stream> {
    /// The VM.
    pub lease: Lease<S>,
    /// The stream's context in it.
    pub stream: StreamIndex,
}

/// See the module's text.
#[derive(Debug)]
pub struct Generation<S: Stream> {
    plugin: Arc<Plugin>,
    pool: Arc<Pool<S>>,
    workers: usize,
}

impl<S: Stream> Generation<S> {
    /// Makes the plugin's root context in the VMs of a pool.
    ///
    /// The configuration is tried in a VM that serves nobody first, so that one which the plugin refuses, or
    /// traps on, does no harm to streams of other plugins in the pool.
    ///
    /// # Errors
    /// The plugin did not start.
    pub fn start(pool: Arc<Pool<S>>, plugin: Arc<Plugin>, workers: usize) -> Result<Self, StartError> {
        let mut canary = crate::host::vm::Vm::start(pool.template())?;
        canary.create_root(&plugin)?;
        if pool.vms().is_empty() {
            pool.adopt(canary);
        }
        // Made first: should a VM on the way fail, its drop takes back the roots that were made before.
        let generation = Self { plugin, pool, workers };
        match generation.pool.prepare(&generation.plugin, workers) {
            // Another plugin of the pool may be in a crash loop; this one's root is made when the loop ends.
            Ok(()) | Err(HomeError::BackingOff(_)) => Ok(generation),
            Err(HomeError::Start(error)) => Err(error),
        }
    }

    /// The plugin.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// The VMs that it runs in.
    pub fn pool(&self) -> &Arc<Pool<S>> {
        &self.pool
    }

    /// How many workers have their VM made ready ahead.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Begins a stream on a worker: its context in the worker's home VM.
    ///
    /// # Errors
    /// There is no VM and none can be made, or the guest trapped.
    pub fn begin(&self, worker: usize, stream: S) -> Result<Begun<S>, BeginError> {
        loop {
            let lease = self.pool.home(worker)?;
            let mut vm = lease.lock();
            if vm.has_failed() {
                // Another thread was inside and trapped while this one waited: the pool replaces that VM.
                continue;
            }
            let root = pool::root(&mut vm, &self.plugin)?;
            let stream = vm.create_stream(root, stream);
            if let Err(error) = &stream {
                vm.log_failure(error);
            }
            drop(vm);
            return Ok(Begun { lease, stream: stream? });
        }
    }

    /// A worker's VM and the plugin's root context in it, for what is done in the root's name.
    ///
    /// # Errors
    /// There is no VM and none can be made, or the plugin does not start in it.
    pub fn home(&self, worker: usize) -> Result<(Lease<S>, RootIndex), BeginError> {
        loop {
            let lease = self.pool.home(worker)?;
            let mut vm = lease.lock();
            if vm.has_failed() {
                // As in `begin`.
                continue;
            }
            let root = pool::root(&mut vm, &self.plugin)?;
            drop(vm);
            return Ok((lease, root));
        }
    }

    /// Every metric that the VMs' guests have defined so far.
    pub fn metrics(&self) -> Vec<<S::Services as Services>::Metric> {
        let mut metrics = Vec::new();
        for lease in self.pool.vms() {
            metrics.extend(lease.lock().metrics().cloned());
        }
        metrics
    }
}

impl<S: Stream> Drop for Generation<S> {
    fn drop(&mut self) {
        for lease in self.pool.vms() {
            let mut vm = lease.lock();
            if let Some(root) = vm.root(self.plugin.key) {
                vm.retire_root(root);
            }
        }
    }
}
