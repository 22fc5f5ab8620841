//! The handles of a network filter: its configuration, and a connection.
//!
//! They keep the rules of the handles of streams ([`HttpFilterHandle`](super::HttpFilterHandle)): good during the hook
//! that they were made for, `&self` asks and `&mut self` may change, and what cannot be done answers like a thing that
//! is not there. The files below: [`config`] (metrics), [`buffers`], [`calls`], [`facts`],
//! [`control`].

mod buffers;
mod calls;
mod config;
mod control;
mod facts;

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

pub use config::ConnectionConfigHandle;
pub use control::{ConnectionScheduler, can_wake_connections};

use super::hook::ObjectHandle;
use super::raw;
use super::running::Pass;

/// A connection of Envoy, as long as one hook runs.
#[derive(Debug)]
pub struct ConnectionHandle {
    /// Envoy's filter, as an address: what makes the handle `Send` without a promise of ours.
    envoy: usize,
    pass: Pass,
    /// Not `Sync`, as the handle of a stream.
    on_one_thread: PhantomData<Cell<()>>,
}

impl ConnectionHandle {
    /// Whether nothing can be asked or told any more.
    pub fn is_closed(&self) -> bool {
        self.envoy().is_none()
    }

    #[inline]
    fn envoy(&self) -> Option<*mut c_void> {
        self.pass.is_valid().then(|| ptr::with_exposed_provenance_mut(self.envoy))
    }
}

impl ObjectHandle for ConnectionHandle {
    unsafe fn of(envoy: *mut c_void, pass: Pass) -> Self {
        Self { envoy: envoy.expose_provenance(), pass, on_one_thread: PhantomData }
    }

    fn fail(mut self, details: &[u8]) {
        self.close(details);
    }
}
