//! Entering a VM, from hooks that may come while this thread is inside one already.
//!
//! A callback of Envoy's can come back into us while a guest runs: a guest that writes more into a buffered body than
//! the buffer's limit has Envoy answer or reset the stream on the spot, which calls hooks of the same filter, and of
//! others whose plugins share the VM. The VM's lock is held by this very thread then, so it must not be waited for.
//! Each thread notes which VMs it is inside: a hook that comes back into one of them finds it closed, and a context
//! that ends meanwhile is ended when the thread has left.

use std::cell::RefCell;

use super::stream::EnvoyStream;
use crate::host::contexts::StreamIndex;
use crate::host::vm::Lease;
use crate::host::vm::Vm;

#[derive(Default)]
struct Thread {
    /// Addresses of the VMs' locks.
    inside: Vec<usize>,
    ended: Vec<(Lease<EnvoyStream>, StreamIndex)>,
}

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::default();
}

/// Whether this thread is inside a VM.
pub(super) fn is_inside() -> bool {
    // A thread that is past its thread-locals is inside nothing.
    THREAD.try_with(|thread| !thread.borrow().inside.is_empty()).unwrap_or(false)
}

/// Runs a body inside a VM. `None`: this thread is inside that VM already.
pub(super) fn enter<R>(
    lease: &Lease<EnvoyStream>,
    body: impl FnOnce(&mut Vm<EnvoyStream>) -> R,
) -> Option<R> {
    let inside = Inside::begin(lease.address())?;
    let mut vm = lease.lock();
    let result = body(&mut vm);
    // Before others can come in: a context whose stream is gone must not be woken.
    while let Some(index) = ended_in(lease) {
        vm.end_stream(index);
    }
    drop(vm);
    drop(inside);
    end_what_ended();
    Some(result)
}

/// A context in this VM that ended while this thread was inside.
fn ended_in(lease: &Lease<EnvoyStream>) -> Option<StreamIndex> {
    let taken = THREAD.try_with(|thread| {
        let ended = &mut thread.borrow_mut().ended;
        let place = ended.iter().position(|(other, _)| other == lease)?;
        Some(ended.swap_remove(place).1)
    });
    taken.ok().flatten()
}

/// Ends a stream's context, now or when this thread has left the VM.
pub(super) fn end(lease: &Lease<EnvoyStream>, index: StreamIndex) {
    if enter(lease, |vm| vm.end_stream(index)).is_none() {
        let ended = (lease.clone(), index);
        let _noted = THREAD.try_with(|thread| thread.borrow_mut().ended.push(ended));
    }
}

fn end_what_ended() {
    while !is_inside() {
        let next = THREAD.try_with(|thread| thread.borrow_mut().ended.pop()).ok().flatten();
        let Some((lease, index)) = next else { return };
        end(&lease, index);
    }
}

/// A note that this thread is inside a VM. Taken back when it is dropped, also by a panic.
struct Inside;

impl Inside {
    fn begin(vm: usize) -> Option<Self> {
        let is_noted = THREAD.try_with(|thread| {
            let mut thread = thread.borrow_mut();
            let is_new = !thread.inside.contains(&vm);
            if is_new {
                thread.inside.push(vm);
            }
            is_new
        });
        // Not `then_some`: a note that was not made must not be taken back.
        is_noted.unwrap_or(true).then(|| Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Notes are taken back in the reverse order.
        let _past_its_thread_locals = THREAD.try_with(|thread| thread.borrow_mut().inside.pop());
    }
}
