//! Our objects behind Envoy's `*_module_ptr`: who owns them, and for how long.
//!
//! | pointer | what stands there | given by | taken back by |
//! | --- | --- | --- | --- |
//! | filter configuration | `Box<ConfigSlot>` | `config_new` | `config_destroy` |
//! | route configuration | `Box<RouteSlot>` | `per_route_config_new` | `per_route_config_destroy` |
//! | filter | one count of `Rc<FilterSlot>` | `new` | `destroy` |
//!
//! A filter is counted because Envoy, up to 1.39, may call `destroy` while another hook of the same filter runs below
//! on the stack: that hook holds a count of its own, so what it works with stays until it returns.

use std::any::Any;
use std::cell::Cell;
use std::ffi::c_void;
use std::rc::Rc;
use std::sync::Arc;

use super::config_address::ConfigAddress;

/// A filter configuration and the address at which its handles find Envoy's.
pub(super) struct ConfigSlot<T> {
    pub(super) config: Arc<T>,
    pub(super) address: Arc<ConfigAddress>,
}

impl<T> ConfigSlot<T> {
    /// Makes the pointer that Envoy keeps.
    pub(super) fn give(self) -> *const c_void {
        Box::into_raw(Box::new(self)).cast::<c_void>().cast_const()
    }

    /// What stands behind the pointer; `None` for null.
    ///
    /// # Safety
    /// `pointer` came from [`give`](Self::give) with the same `T` and was not taken back (F5).
    pub(super) unsafe fn lend<'a>(pointer: *const c_void) -> Option<&'a Self> {
        // SAFETY: F5, as the caller says.
        unsafe { pointer.cast::<Self>().as_ref() }
    }

    /// Takes it back; `None` for null.
    ///
    /// # Safety
    /// As for [`lend`](Self::lend), and nobody uses the pointer again.
    pub(super) unsafe fn take(pointer: *const c_void) -> Option<Box<Self>> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: F5, as the caller says.
        Some(unsafe { Box::from_raw(pointer.cast::<Self>().cast_mut()) })
    }
}

/// A route configuration of a type that only the reader names, which is checked when it is read.
pub(super) struct RouteSlot {
    config: Box<dyn Any + Send + Sync>,
}

impl RouteSlot {
    /// Makes the pointer that Envoy keeps.
    pub(super) fn give<T: Send + Sync + 'static>(config: Arc<T>) -> *const c_void {
        let slot = Self { config: Box::new(config) };
        Box::into_raw(Box::new(slot)).cast::<c_void>().cast_const()
    }

    /// What stands behind the pointer; `None` for null, and for another type than was given.
    ///
    /// # Safety
    /// `pointer` came from [`give`](Self::give) and is not taken back during `'a` (F5).
    pub(super) unsafe fn lend<'a, T: Send + Sync + 'static>(pointer: *const c_void) -> Option<&'a Arc<T>> {
        // SAFETY: F5, as the caller says.
        let slot = unsafe { pointer.cast::<Self>().as_ref() }?;
        slot.config.downcast_ref::<Arc<T>>()
    }

    /// Takes it back; `None` for null.
    ///
    /// # Safety
    /// As for [`lend`](Self::lend), and nobody uses the pointer again.
    pub(super) unsafe fn take(pointer: *const c_void) -> Option<Box<Self>> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: F5, as the caller says.
        Some(unsafe { Box::from_raw(pointer.cast::<Self>().cast_mut()) })
    }
}

/// A filter and what the seam has to remember of it.
pub(super) struct FilterSlot<T> {
    filter: T,
    has_panicked: Cell<bool>,
}

impl<T> FilterSlot<T> {
    /// Makes the pointer that Envoy keeps, with the owner's count.
    pub(super) fn give(filter: T) -> *const c_void {
        Rc::into_raw(Rc::new(Self { filter, has_panicked: Cell::new(false) })).cast::<c_void>()
    }

    /// A count of its own for a hook that runs; `None` for null.
    ///
    /// # Safety
    /// `pointer` came from [`give`](Self::give) with the same `T`, was not taken back, and this is the thread that
    /// gave it (F4, F5).
    pub(super) unsafe fn lend(pointer: *const c_void) -> Option<Rc<Self>> {
        if pointer.is_null() {
            return None;
        }
        let slot = pointer.cast::<Self>();
        // SAFETY: F4 and F5, as the caller says.
        unsafe { Rc::increment_strong_count(slot) };
        // SAFETY: F4 and F5; the line above made the count that this takes.
        Some(unsafe { Rc::from_raw(slot) })
    }

    /// Takes the owner's count back; `None` for null.
    ///
    /// # Safety
    /// As for [`lend`](Self::lend), and nobody uses the pointer again.
    pub(super) unsafe fn take(pointer: *const c_void) -> Option<Rc<Self>> {
        if pointer.is_null() {
            return None;
        }
        // SAFETY: F4 and F5, as the caller says.
        Some(unsafe { Rc::from_raw(pointer.cast::<Self>()) })
    }

    pub(super) fn filter(&self) -> &T {
        &self.filter
    }

    /// What [`running`](super::running) knows this filter by.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Whether a hook of this filter has panicked: then it is not entered again.
    pub(super) fn has_panicked(&self) -> bool {
        self.has_panicked.get()
    }

    pub(super) fn mark_panicked(&self) {
        self.has_panicked.set(true);
    }
}
