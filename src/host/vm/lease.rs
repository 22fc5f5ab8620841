//! A hold on a VM, and the lock that lets one thread in.
//!
//! What a guest asked of others while a thread was inside (ticks, callouts, streams to wake) is passed on when that
//! thread leaves, once, however it leaves.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::Vm;
use crate::host::stream::Stream;

/// Streams, pools and the agenda hold a VM by this. The VM ends with the last.
pub struct Lease<S: Stream>(Arc<Mutex<Vm<S>>>);

/// A way to a VM that does not keep it.
pub struct WeakLease<S: Stream>(Weak<Mutex<Vm<S>>>);

/// Inside a VM.
pub struct Entered<'a, S: Stream>(MutexGuard<'a, Vm<S>>);

impl<S: Stream> Lease<S> {
    /// Lets threads into a VM, and the agenda to it.
    pub fn new(vm: Vm<S>) -> Self {
        let (number, commons) = (vm.number(), vm.commons());
        let lease = Self(Arc::new(Mutex::new(vm)));
        commons.agenda.add(number, lease.downgrade());
        // What it asked for while it started is passed on now.
        drop(lease.lock());
        lease
    }

    /// Goes in, when whoever is inside has left.
    pub fn lock(&self) -> Entered<'_, S> {
        Entered(self.0.lock())
    }

    /// Goes in if nobody is inside.
    pub fn try_lock(&self) -> Option<Entered<'_, S>> {
        self.0.try_lock().map(Entered)
    }

    /// A way to the VM that does not keep it.
    pub fn downgrade(&self) -> WeakLease<S> {
        WeakLease(Arc::downgrade(&self.0))
    }

    /// How many hold this VM.
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Tells VMs apart.
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl<S: Stream> Clone for Lease<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Stream> PartialEq for Lease<S> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<S: Stream> WeakLease<S> {
    /// A hold on the VM, if it lives.
    pub fn upgrade(&self) -> Option<Lease<S>> {
        self.0.upgrade().map(Lease)
    }
}

impl<S: Stream> Deref for Entered<'_, S> {
    type Target = Vm<S>;

    fn deref(&self) -> &Vm<S> {
        &self.0
    }
}

impl<S: Stream> DerefMut for Entered<'_, S> {
    fn deref_mut(&mut self) -> &mut Vm<S> {
        &mut self.0
    }
}

impl<S: Stream> Drop for Entered<'_, S> {
    fn drop(&mut self) {
        self.0.pass_on();
    }
}

impl<S: Stream> std::fmt::Debug for Lease<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Lease").field(&self.address()).finish()
    }
}

impl<S: Stream> std::fmt::Debug for WeakLease<S> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("WeakLease").finish_non_exhaustive()
    }
}
