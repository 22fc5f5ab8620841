//! The handle of a stream, inside a hook.
//!
//! `exports` makes one for each hook and gives it to the bridge. Its methods are Envoy's callbacks, one each, in the
//! files below this one: [`headers`], [`body`], [`attributes`], [`metadata`], [`filter_state`], [`control`],
//! [`metrics`], [`scheduler`], [`spans`].
//!
//! Two rules hold for all of them:
//!
//! - What takes `&self` only asks, and what it answers is borrowed from the handle. What takes `&mut self` may
//!   change the stream and so invalidate every pointer that Envoy gave before; the borrow checker then refuses to
//!   use an older answer. A few questions take `&mut self` because Envoy keeps their answer only until the next one.
//! - A callback that this Envoy lacks, and any use of a handle after its hook, answers the same as a thing that is
//!   not there: `None`, `false`, 0, nothing.

mod attributes;
mod body;
mod calls;
mod control;
mod filter_state;
mod headers;
mod metadata;
mod metrics;
mod scheduler;
mod spans;

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

pub use headers::Headers;
pub use scheduler::Scheduler;
pub use spans::ChildSpan;

use super::raw;
use super::running::Pass;

/// A stream of Envoy, as long as one hook runs.
///
/// It can be moved (a guest's VM holds it while the guest runs, and a VM may be sent between threads), but it is good
/// only on the thread and during the hook that it was made for, and until Envoy destroys the filter. Otherwise it is
/// *closed*: see the module's second rule.
#[derive(Debug)]
pub struct HttpFilterHandle {
    /// Envoy's filter, as an address: what makes the handle `Send` without a promise of ours.
    envoy: usize,
    pass: Pass,
    /// Not `Sync`: what a getter borrows must not be read while another thread asks something else.
    on_one_thread: PhantomData<Cell<()>>,
}

impl HttpFilterHandle {
    /// A handle for one run of a hook.
    ///
    /// # Safety
    /// `envoy` is the pointer that Envoy passed to the hook that `pass` stands for (F3).
    pub(super) unsafe fn from_raw(envoy: *mut c_void, pass: Pass) -> Self {
        Self { envoy: envoy.expose_provenance(), pass, on_one_thread: PhantomData }
    }

    /// A handle that is closed from the start, for a hook that may ask nothing.
    pub(super) fn closed() -> Self {
        Self { envoy: 0, pass: Pass::INVALID, on_one_thread: PhantomData }
    }

    /// Whether nothing can be asked or told any more: the hook is over, or Envoy has destroyed the filter.
    pub fn is_closed(&self) -> bool {
        self.envoy().is_none()
    }

    /// Envoy's filter, if it may be used now.
    #[inline]
    fn envoy(&self) -> Option<*mut c_void> {
        self.pass.is_valid().then(|| ptr::with_exposed_provenance_mut(self.envoy))
    }
}
