//! Entering a VM, from hooks that may come while this thread is inside one already.
//!
//! A callback of Envoy's can come back into us while a guest runs: a guest that writes more into a buffered body than
//! the buffer's limit has Envoy answer or reset the stream on the spot, which calls hooks of the same filter, and of
//! others whose plugins share the VM. The VM's lock is held by this very thread then, so it must not be waited for.
//! Each thread notes which VMs it is inside: a hook that comes back into one of them finds it closed, and a context
//! that ends meanwhile is ended when the thread has left.

use std::cell::{Cell, RefCell};

use smallvec::SmallVec;

use super::stream::EnvoyStream;
use crate::host::contexts::StreamIndex;
use crate::host::vm::Lease;
use crate::host::vm::Vm;

/// Looked up once an entry: in a shared library each look at a thread-local is a call.
#[derive(Default)]
struct Thread {
    /// Addresses of the VMs' locks. More than one only where plugins of a chain call into each other's hooks.
    inside: RefCell<SmallVec<[usize; 4]>>,
    ended: RefCell<Vec<(Lease<EnvoyStream>, StreamIndex)>>,
    /// Whether anything stands in `ended`.
    has_ended: Cell<bool>,
}

thread_local! {
    static THREAD: Thread = Thread::default();
}

/// Whether this thread is inside a VM.
pub(super) fn is_inside() -> bool {
    // A thread that is past its thread-locals is inside nothing.
    THREAD.try_with(|thread| !thread.inside.borrow().is_empty()).unwrap_or(false)
}

/// Runs a body inside a VM. `None`: this thread is inside that VM already.
pub(super) fn enter<R>(
    lease: &Lease<EnvoyStream>,
    body: impl FnOnce(&mut Vm<EnvoyStream>) -> R,
) -> Option<R> {
    let mut body = Some(body);
    let entered = THREAD.try_with(|thread| body.take().and_then(|body| thread.enter(lease, body)));
    match (entered, body) {
        (Ok(entered), _) => entered,
        // A thread that is past its thread-locals runs no guest above this one.
        (Err(_gone), Some(body)) => Some(body(&mut lease.lock())),
        (Err(_gone), None) => None,
    }
}

/// Ends a stream's context, now or when this thread has left the VM.
pub(super) fn end(lease: &Lease<EnvoyStream>, index: StreamIndex) {
    if enter(lease, |vm| vm.end_stream(index)).is_none() {
        let ended = (lease.clone(), index);
        let _noted = THREAD.try_with(|thread| {
            thread.ended.borrow_mut().push(ended);
            thread.has_ended.set(true);
        });
    }
}

impl Thread {
    fn enter<R>(
        &self,
        lease: &Lease<EnvoyStream>,
        body: impl FnOnce(&mut Vm<EnvoyStream>) -> R,
    ) -> Option<R> {
        let inside = Inside::begin(self, lease.address())?;
        let mut vm = lease.lock();
        let result = body(&mut vm);
        // Before others can come in: a context whose stream is gone must not be woken.
        while let Some(index) = self.ended_in(lease) {
            vm.end_stream(index);
        }
        drop(vm);
        drop(inside);
        if self.has_ended.get() {
            self.end_what_ended();
        }
        Some(result)
    }

    /// A context in this VM that ended while this thread was inside.
    fn ended_in(&self, lease: &Lease<EnvoyStream>) -> Option<StreamIndex> {
        if !self.has_ended.get() {
            return None;
        }
        let mut ended = self.ended.borrow_mut();
        let place = ended.iter().position(|(other, _)| other == lease)?;
        let (_, index) = ended.swap_remove(place);
        self.has_ended.set(!ended.is_empty());
        Some(index)
    }

    #[cold]
    fn end_what_ended(&self) {
        while self.inside.borrow().is_empty() {
            let next = {
                let mut ended = self.ended.borrow_mut();
                let next = ended.pop();
                self.has_ended.set(!ended.is_empty());
                next
            };
            let Some((lease, index)) = next else { return };
            end(&lease, index);
        }
    }
}

/// A note that this thread is inside a VM. Taken back when it is dropped, also by a panic.
struct Inside<'a>(&'a Thread);

impl<'a> Inside<'a> {
    fn begin(thread: &'a Thread, vm: usize) -> Option<Self> {
        let mut inside = thread.inside.borrow_mut();
        if inside.contains(&vm) {
            return None;
        }
        inside.push(vm);
        drop(inside);
        Some(Self(thread))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // Notes are taken back in the reverse order.
        self.0.inside.borrow_mut().pop();
    }
}
