//! Filter state: objects that filters leave on the stream for each other, by key.

use std::ffi::c_void;

use super::super::buffer::{envoy_bytes, lend};
use super::super::table::callbacks;
use super::super::types::LifeSpan;
use super::{HttpFilterHandle, raw};

type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;

type SetState = unsafe extern "C" fn(
    *mut c_void,
    raw::envoy_dynamic_module_type_module_buffer,
    raw::envoy_dynamic_module_type_module_buffer,
) -> bool;

impl HttpFilterHandle {
    /// An object that is a plain string.
    pub fn filter_state_bytes(&self, key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().http_get_filter_state_bytes?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// Any object that can be written as a string. `None` before Envoy 1.38. Envoy keeps the string only until the
    /// next such question, so this takes `&mut self`.
    pub fn filter_state_typed(&mut self, key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().http_get_filter_state_typed?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// Sets a plain string, for the length of the filter chain. To Envoy 1.38 a key that is set stays as it is,
    /// although the answer is true.
    pub fn set_filter_state_bytes(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.set_state(callbacks().http_set_filter_state_bytes, key, value)
    }

    /// Sets an object that the factory registered under `key` makes of the string. False if there is no factory or
    /// it refuses the string, and before Envoy 1.38.
    pub fn set_filter_state_typed(&mut self, key: &[u8], value: &[u8]) -> bool {
        self.set_state(callbacks().http_set_filter_state_typed, key, value)
    }

    /// Whether this Envoy has [`Self::set_filter_state_typed`].
    pub fn has_typed_filter_state(&self) -> bool {
        callbacks().http_set_filter_state_typed.is_some()
    }

    /// Sets a plain string that is kept as long as it says. `None` before Envoy 1.40, and if the handle is closed.
    pub fn set_filter_state_for(&mut self, key: &[u8], value: &[u8], span: LifeSpan) -> Option<bool> {
        /// By no filter of the upstream.
        const NOT_SHARED: u32 = 0;
        let set = callbacks().http_set_filter_state_value?;
        let envoy = self.envoy()?;
        // SAFETY: F2, F3, F9.
        Some(unsafe { set(envoy, lend(key), lend(value), span.number(), NOT_SHARED) })
    }

    /// Whether this Envoy lets a key be set again. Up to 1.38 the first value stays: the state is read-only there, and
    /// a second set is logged as a bug of Envoy's.
    pub fn overwrites_filter_state(&self) -> bool {
        // A callback that came with the release that changed it.
        callbacks().get_log_level.is_some()
    }

    fn set_state(&mut self, set: Option<SetState>, key: &[u8], value: &[u8]) -> bool {
        let (Some(set), Some(envoy)) = (set, self.envoy()) else { return false };
        // SAFETY: F2, F3, F9.
        unsafe { set(envoy, lend(key), lend(value)) }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::testing::{FakeEnvoy, FakeStream};

    #[test]
    fn what_is_set_can_be_read() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert_eq!(handle.filter_state_bytes(b"wasm.k"), None);
            assert!(handle.set_filter_state_bytes(b"wasm.k", b"v"));
            assert_eq!(handle.filter_state_bytes(b"wasm.k"), Some(&b"v"[..]));
        });
    }

    #[test]
    fn typed_objects_are_refused_where_envoy_does_not_know_them() {
        let envoy = FakeEnvoy::install();
        envoy.inside_hook(&mut FakeStream::default(), |mut handle| {
            assert!(!handle.set_filter_state_typed(b"k", b"v"));
            assert_eq!(handle.filter_state_typed(b"k"), None);
        });
    }
}
