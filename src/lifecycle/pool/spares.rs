//! Spare VMs: started, configured for every plugin of the pool, and idle until a worker needs one.
//!
//! They are made on a thread of their own ([`Keeper`](crate::lifecycle::keeper::Keeper)); so a worker whose VM failed
//! goes on at once, and starts none while requests wait. A spare does not tick and calls nobody before it is taken.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::host::contexts::Plugin;
use crate::host::stream::Stream;
use crate::host::vm::{Lease, Role};
use crate::lifecycle::failure::Tries;

/// See the module's text.
pub(super) struct Spares<S: Stream> {
    wanted: usize,
    vms: Mutex<Vec<Lease<S>>>,
    /// How many are missing, for those who only want to know whether one is.
    missing: AtomicUsize,
    /// What each has a root context for.
    plugins: Mutex<Vec<Weak<Plugin>>>,
    /// How soon the next is tried if the last one did not start.
    pub(super) tries: Tries,
}

impl<S: Stream> Spares<S> {
    pub(super) fn new(wanted: u32) -> Self {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        Self {
            wanted,
            vms: Mutex::default(),
            missing: AtomicUsize::new(wanted),
            plugins: Mutex::default(),
            tries: Tries::default(),
        }
    }

    /// A spare goes to work, if one is ready.
    pub(super) fn take(&self, role: Role) -> Option<Lease<S>> {
        loop {
            let lease = {
                let mut vms = self.vms.lock();
                let lease = vms.pop()?;
                self.missing.store(self.wanted.saturating_sub(vms.len()), Ordering::Relaxed);
                lease
            };
            // Another plugin's last root context may have trapped in it.
            if !lease.lock().has_failed() {
                lease.activate(role);
                return Some(lease);
            }
        }
    }

    pub(super) fn put(&self, lease: Lease<S>) {
        let mut vms = self.vms.lock();
        vms.push(lease);
        self.missing.store(self.wanted.saturating_sub(vms.len()), Ordering::Relaxed);
    }

    /// Takes one out that is to be worked on: a worker takes another meanwhile, and waits for none. `false`: one has it.
    pub(super) fn withdraw(&self, spare: &Lease<S>) -> bool {
        let mut vms = self.vms.lock();
        let place = vms.iter().position(|vm| vm == spare);
        place.map(|place| vms.swap_remove(place)).is_some()
    }

    /// Those in which a plugin has trapped are no use.
    pub(super) fn drop_failed(&self) {
        let failed = {
            let mut vms = self.vms.lock();
            let failed: Vec<_> = vms.extract_if(.., |vm| vm.has_failed()).collect();
            self.missing.fetch_add(failed.len(), Ordering::Relaxed);
            failed
        };
        drop(failed);
    }

    /// Whether there are fewer than there may be, wanted or not.
    pub(super) fn has_room(&self) -> bool {
        self.vms.lock().len() < self.wanted
    }

    /// None is wanted until somebody takes one or asks for a restock: the last one did not start.
    pub(super) fn give_up(&self) {
        self.missing.store(0, Ordering::Relaxed);
    }

    /// Whether one more is wanted. Cheap: asked once a stream.
    pub(super) fn is_one_wanted(&self) -> bool {
        self.missing.load(Ordering::Relaxed) > 0
    }

    /// A plugin came.
    pub(super) fn serve(&self, plugin: &Arc<Plugin>) {
        let mut plugins = self.plugins.lock();
        plugins.retain(|plugin| plugin.strong_count() > 0);
        plugins.push(Arc::downgrade(plugin));
    }

    /// A plugin goes: spares that are made from now on have no root for it.
    pub(super) fn forget(&self, plugin: &Arc<Plugin>) {
        self.plugins.lock().retain(|other| other.as_ptr() != Arc::as_ptr(plugin));
    }

    /// Whether a plugin is there.
    pub(super) fn serves(&self, plugin: &Arc<Plugin>) -> bool {
        self.plugins.lock().iter().any(|other| other.as_ptr() == Arc::as_ptr(plugin))
    }

    /// The plugins that are there.
    pub(super) fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.plugins.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// The spares that are ready.
    pub(super) fn vms(&self) -> Vec<Lease<S>> {
        self.vms.lock().clone()
    }
}
