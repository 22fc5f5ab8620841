//! The callbacks of the Envoy that loaded us.
//!
//! Presence decides, never a version number: a callback that this Envoy lacks is `None`, and each caller says what
//! then happens. The table is a constant that the loader fills in (see `callbacks.c`), so asking it costs one load.

use super::raw;

/// The callbacks by name, each an `Option` of a C function.
pub(super) type Callbacks = raw::graft_callback_table;

/// The table of this process. In a process that is no Envoy (a test, a benchmark) every entry is `None`; a unit
/// test can put a table of its own in its place, for its own thread (`abi::testing`).
#[inline]
pub(super) fn callbacks() -> &'static Callbacks {
    #[cfg(test)]
    if let Some(fake) = super::testing::installed_callbacks() {
        return fake;
    }
    // SAFETY: F1, nothing writes the table after the loader has resolved it.
    unsafe { &raw::graft_callbacks }
}
