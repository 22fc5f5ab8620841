//! A hold on a VM, and the lock that lets one thread in.
//!
//! What a guest asked of others while a thread was inside (ticks, callouts, streams to wake) is passed on when that
//! thread leaves, once, however it leaves; and then whoever waits for a VM is called.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::Vm;
use super::watch::{News, Watch};
use crate::host::stream::Stream;

/// Streams, pools and the agenda hold a VM by this. The VM ends with the last.
pub struct Lease<S: Stream>(Arc<Shared<S>>);

/// A way to a VM that does not keep it.
pub struct WeakLease<S: Stream>(Weak<Shared<S>>);

struct Shared<S: Stream> {
    vm: Mutex<Vm<S>>,
    watch: Arc<Watch>,
    /// What others may know without going in: bytes of memory, whether the guest trapped. Written by who is inside.
    memory: AtomicUsize,
    has_failed: AtomicBool,
}

/// A VM from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody is inside.
    Free,
    /// A thread is.
    Busy,
    /// A guest call trapped.
    Failed {
        /// It had done work for streams before.
        has_served: bool,
    },
}

/// What a VM does for its worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is the worker's home. The queues that its plugins registered are told to it rather than to others.
    Home,
    /// It helps the home out, which goes on being told of messages: what a plugin collects is not split over both. So it is
    /// told only where nobody else is.
    Other,
}

/// Inside a VM. Its parts are dropped in this order: others are told, the lock is free, the next one is called.
pub struct Entered<'a, S: Stream> {
    vm: MutexGuard<'a, Vm<S>>,
    left: Left<'a, S>,
}

/// The last part of [`Entered`].
struct Left<'a, S: Stream>(&'a Lease<S>);

impl<S: Stream> Lease<S> {
    /// Lets threads into a VM, and the agenda to it. `watch` is told when one has left.
    pub fn new(vm: Vm<S>, watch: &Arc<Watch>) -> Self {
        let lease = Self::apart(vm, watch);
        lease.activate(Role::Home);
        lease
    }

    /// The same without the agenda, which is joined later: by a spare VM, which [rests](Vm::rest), when it is
    /// [activated](Self::activate); by a copy when its guest asks for something that is answered there.
    pub fn apart(vm: Vm<S>, watch: &Arc<Watch>) -> Self {
        let (memory, has_failed) = (AtomicUsize::new(vm.memory_bytes()), AtomicBool::new(vm.has_failed()));
        Self(Arc::new(Shared { vm: Mutex::new(vm), watch: Arc::clone(watch), memory, has_failed }))
    }

    /// The VM goes to work: its ticks run, and what it asked for while it started is passed on.
    pub fn activate(&self, role: Role) {
        let mut vm = self.lock();
        if !vm.is_on_agenda() {
            vm.join_agenda(role);
        }
    }

    /// Goes in, when whoever is inside has left.
    pub fn lock(&self) -> Entered<'_, S> {
        Entered { vm: self.0.vm.lock(), left: Left(self) }
    }

    /// What can be seen of the VM from outside.
    pub fn look(&self) -> Look {
        match self.0.vm.try_lock() {
            None => Look::Busy,
            Some(vm) if !vm.has_failed() => Look::Free,
            Some(vm) => Look::Failed { has_served: vm.has_served() },
        }
    }

    /// Goes in if nobody is inside.
    pub fn try_lock(&self) -> Option<Entered<'_, S>> {
        self.0.vm.try_lock().map(|vm| Entered { vm, left: Left(self) })
    }

    /// A way to the VM that does not keep it.
    pub fn downgrade(&self) -> WeakLease<S> {
        WeakLease(Arc::downgrade(&self.0))
    }

    /// Bytes of linear memory that the guest had when a thread last left it.
    pub fn memory_bytes(&self) -> usize {
        self.0.memory.load(Ordering::Relaxed)
    }

    /// Whether the guest has trapped, as far as threads have left it.
    pub fn has_failed(&self) -> bool {
        self.0.has_failed.load(Ordering::Relaxed)
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

impl<S: Stream> Entered<'_, S> {
    #[cold]
    fn tell(&mut self) {
        if self.vm.wants_agenda() {
            self.join_agenda(Role::Other);
        }
        let shared = &self.left.0.0;
        // What copies hold is not told of.
        if let Some(bytes) = self.vm.take_growth()
            && shared.memory.swap(bytes, Ordering::Relaxed) != bytes
            && !self.vm.is_copy()
        {
            shared.watch.note(News::Grown);
        }
        if self.vm.pass_on() {
            shared.has_failed.store(true, Ordering::Relaxed);
            if !self.vm.is_abandoned() {
                shared.watch.note(News::Failed);
            }
        }
    }

    /// Lets the agenda find the VM.
    fn join_agenda(&mut self, role: Role) {
        self.vm.commons().agenda.add(self.vm.number(), self.left.0.downgrade());
        self.vm.joined_agenda(role);
    }
}

impl<S: Stream> Deref for Entered<'_, S> {
    type Target = Vm<S>;

    fn deref(&self) -> &Vm<S> {
        &self.vm
    }
}

impl<S: Stream> DerefMut for Entered<'_, S> {
    fn deref_mut(&mut self) -> &mut Vm<S> {
        &mut self.vm
    }
}

impl<S: Stream> Drop for Entered<'_, S> {
    #[inline]
    fn drop(&mut self) {
        if self.vm.has_news() {
            self.tell();
        }
    }
}

impl<S: Stream> Drop for Left<'_, S> {
    fn drop(&mut self) {
        self.0.0.watch.left();
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
