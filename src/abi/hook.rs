//! How a hook of Envoy enters our code, and how it fails.
//!
//! Each function here is the body of a kind of hook; `exports` names the symbol and the method of the bridge. All of
//! them stand behind the panic barrier, accept a null pointer for a filter (up to Envoy 1.39 the hooks of a stream
//! whose filter could not be made are called with one), and fail *closed*:
//!
//! - a configuration is refused;
//! - a stream gets a 500 with the response code details `graft_panic` or `graft_no_filter` where a hook can still
//!   send it (Envoy turns it into a reset once the response has begun), and the hook answers with a stop;
//! - a filter that has panicked is not entered again, except to be destroyed.

use std::any::type_name;
use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use super::buffer::envoy_bytes;
use super::config_address::{self, ConfigAddress};
use super::gate;
use super::guard::{attempt, attempt_within, guard};
use super::http_config::HttpFilterConfigHandle;
use super::http_filter::HttpFilterHandle;
use super::log_gate::Entered;
use super::ownership::{ConfigSlot, FilterSlot, RouteSlot};
use super::process;
use super::raw;
use super::running::{self, NO_FILTER, Pass};
use super::table::callbacks;
use super::types::{Answer, Level};

type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

/// What a hook that makes a configuration gives to it.
pub(crate) trait ConfigHandle: Sized {
    /// The hook's name, for the log.
    const NEW: &'static str;

    /// A handle on what is at this address.
    ///
    /// # Safety
    /// While the address is not closed, Envoy's configuration is there (F11).
    unsafe fn at(address: Arc<ConfigAddress>) -> Self;
}

/// What a hook of a stream, a connection or a logger gives to it.
pub(crate) trait ObjectHandle: Sized {
    /// A handle for one run of a hook.
    ///
    /// # Safety
    /// `envoy` is the pointer that Envoy passed to the hook that `pass` stands for (F3).
    unsafe fn of(envoy: *mut c_void, pass: Pass) -> Self;

    /// Ends what it is a handle on, because the hook could not do its work. `details` says why.
    fn fail(self, details: &[u8]);
}

impl ConfigHandle for HttpFilterConfigHandle {
    const NEW: &'static str = "on_http_filter_config_new";

    unsafe fn at(address: Arc<ConfigAddress>) -> Self {
        // SAFETY: F11, as the caller says.
        unsafe { Self::from_raw(address) }
    }
}

impl ObjectHandle for HttpFilterHandle {
    unsafe fn of(envoy: *mut c_void, pass: Pass) -> Self {
        // SAFETY: F3, as the caller says.
        unsafe { Self::from_raw(envoy, pass) }
    }

    fn fail(mut self, details: &[u8]) {
        self.send_response(500, &[], b"", details);
    }
}

/// What becomes of the stream when a hook cannot do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// It is answered with a 500, because without this hook's work it must not go on.
    FailStream,
    /// It is already ending; nothing more can be done to it.
    LetEnd,
}

/// `on_*_config_new`: makes a configuration from its name and bytes. Null refuses it.
///
/// # Safety
/// The arguments are those of the hook (F6, F11).
pub(crate) unsafe fn config_new<T, H: ConfigHandle>(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
    make: impl FnOnce(H, &[u8], &[u8]) -> Option<Arc<T>>,
) -> *const c_void {
    let comes = process::config_comes();
    let address = ConfigAddress::new(envoy);
    let outcome = attempt(H::NEW, || {
        // SAFETY: F11, the address is closed before Envoy's configuration goes.
        let handle = unsafe { H::at(Arc::clone(&address)) };
        // SAFETY: F6.
        let name = unsafe { envoy_bytes(name) };
        // SAFETY: F6.
        let config = unsafe { envoy_bytes(config) };
        make(handle, name, config)
    });
    if let Some(config) = outcome.flatten() {
        comes.into_iter().for_each(Entered::stays);
        ConfigSlot { config, address }.give()
    } else {
        // Envoy frees its half of a refused configuration and calls no hook for that.
        address.close();
        ptr::null()
    }
}

/// Envoy begins to end, says an extension that it tells that.
pub(crate) fn envoy_ends() {
    config_address::envoy_ends();
}

/// `on_http_filter_config_destroy`.
///
/// # Safety
/// `config` is what [`config_new`] gave with the same `T`, and it is not used again (F5).
pub(crate) unsafe fn config_destroy<T>(config: *const c_void, run: impl FnOnce(&T)) {
    // SAFETY: F5, as the caller says.
    unsafe { config_gone::<T>("on_http_filter_config_destroy", config, run) }
}

/// The same for any kind of configuration.
///
/// # Safety
/// As for [`config_destroy`].
pub(crate) unsafe fn config_gone<T>(hook: &'static str, config: *const c_void, run: impl FnOnce(&T)) {
    guard(hook, (), || {
        // SAFETY: F5, as the caller says.
        if let Some(slot) = unsafe { ConfigSlot::<T>::take(config) } {
            // Dropped after the slot, which may have a last word, and when that panics, too.
            let _goes = process::config_goes();
            slot.address.close();
            config_address::let_envoy_end();
            // A barrier of its own, as for filters.
            let _told = attempt_within(hook, || run(&slot.config));
            drop(slot);
        }
    });
}

/// A hook of a configuration: runs `run` with it.
///
/// # Safety
/// `config` is null or what [`config_new`] gave with the same `T`, and not destroyed (F5).
pub(crate) unsafe fn config_hook<T>(hook: &'static str, config: *const c_void, run: impl FnOnce(&Arc<T>)) {
    guard(hook, (), || {
        // SAFETY: F5, as the caller says.
        if let Some(slot) = unsafe { ConfigSlot::<T>::lend(config) } {
            // A count of its own: Envoy may come back and destroy the configuration.
            let config = Arc::clone(&slot.config);
            run(&config);
        }
    });
}

/// `on_http_filter_per_route_config_new`: makes a route's configuration from its name and bytes. Null refuses it.
///
/// # Safety
/// The arguments are those of the hook (F6).
pub(crate) unsafe fn route_config_new<T: Send + Sync + 'static>(
    name: EnvoyBuffer,
    config: EnvoyBuffer,
    make: impl FnOnce(&[u8], &[u8]) -> Option<Arc<T>>,
) -> *const c_void {
    // For as long as it is made: Envoy may have no other configuration of ours at this time.
    let _comes = process::config_comes();
    guard("on_http_filter_per_route_config_new", ptr::null(), || {
        // SAFETY: F6.
        let name = unsafe { envoy_bytes(name) };
        // SAFETY: F6.
        let config = unsafe { envoy_bytes(config) };
        make(name, config).map_or(ptr::null(), RouteSlot::give)
    })
}

/// `on_http_filter_per_route_config_destroy`.
///
/// # Safety
/// `config` is what [`route_config_new`] gave, and it is not used again (F5).
pub(crate) unsafe fn route_config_destroy(config: *const c_void) {
    guard("on_http_filter_per_route_config_destroy", (), || {
        // SAFETY: F5, as the caller says.
        drop(unsafe { RouteSlot::take(config) });
    });
}

/// `on_http_filter_new`: makes the filter of a stream. Null fails the stream.
///
/// The handle is closed on Envoy 1.37, which attaches the stream to the filter only after this hook; the first
/// `http_filter_get_worker_index` came with the release that attaches it before.
///
/// # Safety
/// `config` is what [`config_new`] gave with the same `C`; `envoy` is the argument of the hook (F3, F5).
pub(crate) unsafe fn filter_new<C, T>(
    config: *const c_void,
    envoy: *mut c_void,
    make: impl FnOnce(&Arc<C>, HttpFilterHandle) -> Option<T>,
) -> *const c_void {
    guard("on_http_filter_new", ptr::null(), || {
        // SAFETY: F5, as the caller says.
        let Some(slot) = (unsafe { ConfigSlot::<C>::lend(config) }) else {
            process::log(
                Level::Critical,
                format!("graft: no {} for a new stream", type_name::<C>()).as_bytes(),
            );
            return ptr::null();
        };
        running::within(NO_FILTER, |pass| {
            let handle = if callbacks().http_filter_get_worker_index.is_some() {
                // SAFETY: F3, as the caller says.
                unsafe { HttpFilterHandle::from_raw(envoy, pass) }
            } else {
                HttpFilterHandle::closed()
            };
            make(&slot.config, handle).map_or(ptr::null(), FilterSlot::give)
        })
        .unwrap_or(ptr::null())
    })
}

/// `on_*_new` of what needs no handle to begin. Null: there is no such object.
///
/// # Safety
/// `config` is what [`config_new`] gave with the same `C` (F5).
pub(crate) unsafe fn object_new<C, T>(
    hook: &'static str,
    config: *const c_void,
    make: impl FnOnce(&Arc<C>) -> T,
) -> *const c_void {
    guard(hook, ptr::null(), || {
        // SAFETY: F5, as the caller says.
        let slot = unsafe { ConfigSlot::<C>::lend(config) };
        slot.map_or(ptr::null(), |slot| FilterSlot::give(make(&slot.config)))
    })
}

/// A hook of an HTTP stream: see [`object_hook`].
///
/// # Safety
/// As for [`object_hook`].
pub(crate) unsafe fn stream_hook<T, R: Answer>(
    hook: &'static str,
    on_failure: OnFailure,
    envoy: *mut c_void,
    filter: *const c_void,
    run: impl FnOnce(&T, HttpFilterHandle) -> R,
) -> R::Raw {
    // SAFETY: F3, F4 and F5, as the caller says.
    unsafe { object_hook(hook, on_failure, envoy, filter, run) }
}

/// A hook of a stream: runs `run` with the filter and a handle on the stream.
///
/// # Safety
/// `filter` is null or what [`filter_new`] gave with the same `T`, and not destroyed; `envoy` is the argument of the
/// hook (F3, F4, F5).
pub(crate) unsafe fn object_hook<T, H: ObjectHandle, R: Answer>(
    hook: &'static str,
    on_failure: OnFailure,
    envoy: *mut c_void,
    filter: *const c_void,
    run: impl FnOnce(&T, H) -> R,
) -> R::Raw {
    // The outer barrier is for the end of the filter: Envoy may have destroyed it meanwhile, and then the last count
    // goes when `slot` is dropped.
    let answer = guard(hook, R::CLOSED, || {
        // SAFETY: F4 and F5, as the caller says.
        let slot = unsafe { FilterSlot::<T>::lend(filter) };
        let Some(slot) = slot else {
            return running::within(NO_FILTER, |pass| {
                // SAFETY: F3, as the caller says.
                let handle = unsafe { H::of(envoy, pass) };
                fail(on_failure, handle, b"graft_no_filter");
                R::CLOSED
            })
            .unwrap_or(R::CLOSED);
        };
        if slot.has_panicked() {
            return R::CLOSED;
        }
        running::within(slot.address(), |pass| {
            // SAFETY: F3, as the caller says.
            let handle = unsafe { H::of(envoy, pass) };
            attempt_within(hook, || run(slot.filter(), handle)).unwrap_or_else(|| {
                slot.mark_panicked();
                // SAFETY: F3, as above; the handle is closed if Envoy has destroyed the filter meanwhile.
                let handle = unsafe { H::of(envoy, pass) };
                fail(on_failure, handle, b"graft_panic");
                R::CLOSED
            })
        })
        .unwrap_or(R::CLOSED)
    });
    answer.into_raw()
}

/// `on_http_filter_destroy`: tells the filter, and drops it when no hook of it runs any more.
///
/// # Safety
/// `filter` is null or what [`filter_new`] gave with the same `T`, and it is not used again (F4, F5).
pub(crate) unsafe fn filter_destroy<T>(filter: *const c_void, run: impl FnOnce(&T)) {
    // SAFETY: F4 and F5, as the caller says.
    unsafe { object_destroy("on_http_filter_destroy", filter, run) }
}

/// The same for any kind of object.
///
/// # Safety
/// As for [`filter_destroy`].
pub(crate) unsafe fn object_destroy<T>(hook: &'static str, filter: *const c_void, run: impl FnOnce(&T)) {
    guard(hook, (), || {
        // SAFETY: F4 and F5, as the caller says.
        if let Some(slot) = unsafe { FilterSlot::<T>::take(filter) } {
            running::mark_destroyed(slot.address());
            gate::close_of_filter(slot.address());
            // A barrier of its own: a panic here must not meet a panic of the filter's destructor on the same stack.
            let _told = attempt_within(hook, || run(slot.filter()));
            drop(slot);
        }
    });
}

fn fail(on_failure: OnFailure, handle: impl ObjectHandle, details: &[u8]) {
    match on_failure {
        OnFailure::FailStream => handle.fail(details),
        OnFailure::LetEnd => {}
    }
}

#[cfg(test)]
mod tests;
