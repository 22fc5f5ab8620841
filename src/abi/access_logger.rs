//! The handles of an access logger: its configuration, and an exchange that it logs.
//!
//! Envoy asks a logger once for each exchange, and every question is about that one; so an [`AccessLogHandle`] is good
//! during the hook that it was made for, like the handle of a stream, and is closed afterwards. It only asks: what is
//! over cannot be changed. The files below: [`config`] (metrics), [`headers`], [`facts`].

mod config;
mod facts;
mod headers;

use std::cell::Cell;
use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

pub use config::AccessLogConfigHandle;
pub use facts::AccessLogSizes;

use super::hook::ObjectHandle;
use super::raw;
use super::running::Pass;

/// An exchange that is over, as long as one hook runs.
#[derive(Debug)]
pub struct AccessLogHandle {
    /// What Envoy lends to the hook, as an address: what makes the handle `Send` without a promise of ours.
    envoy: usize,
    pass: Pass,
    /// Not `Sync`, as the handle of a stream.
    on_one_thread: PhantomData<Cell<()>>,
}

impl AccessLogHandle {
    #[inline]
    fn envoy(&self) -> Option<*mut c_void> {
        self.pass.is_valid().then(|| ptr::with_exposed_provenance_mut(self.envoy))
    }
}

impl ObjectHandle for AccessLogHandle {
    unsafe fn of(envoy: *mut c_void, pass: Pass) -> Self {
        Self { envoy: envoy.expose_provenance(), pass, on_one_thread: PhantomData }
    }

    /// The exchange is over: there is nothing to end.
    fn fail(self, _details: &[u8]) {}
}
