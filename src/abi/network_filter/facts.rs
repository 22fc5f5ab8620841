//! Facts about a connection, and what filters leave on it.
//!
//! Attributes came to connections with Envoy 1.39; the usual facts have getters of their own since 1.37, which are
//! asked first.

use std::ffi::c_void;

use super::super::attribute_id::AttributeId;
use super::super::buffer::{envoy_bytes, lend};
use super::super::table::{Callbacks, callbacks};
use super::{ConnectionHandle, raw};

type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type GetText = unsafe extern "C" fn(*mut c_void, *mut RawBuffer) -> bool;
type GetAddress = unsafe extern "C" fn(*mut c_void, *mut RawBuffer, *mut u32) -> bool;

impl ConnectionHandle {
    /// An attribute that is text, unless it is an address: see [`address`](Self::address).
    pub fn attribute_string(&self, id: AttributeId) -> Option<&[u8]> {
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        let is_found = match getter(callbacks(), id) {
            // SAFETY: F2, F3, F8.
            Some(get) => unsafe { get(envoy, &raw mut value) },
            None => {
                let get = callbacks().network_filter_get_attribute_string?;
                // SAFETY: F2, F3, F8.
                unsafe { get(envoy, id.number(), &raw mut value) }
            }
        };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// An address and its port, 0 if it has none: of `source`, `destination` or `upstream`.
    pub fn address(&self, id: AttributeId) -> Option<(&[u8], u32)> {
        let get = address_getter(callbacks(), id)?;
        let envoy = self.envoy()?;
        let (mut value, mut port) = (RawBuffer::default(), 0);
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, &raw mut value, &raw mut port) };
        // SAFETY: F7.
        is_found.then(|| (unsafe { envoy_bytes(value) }, port))
    }

    /// An attribute that is an integer.
    pub fn attribute_int(&self, id: AttributeId) -> Option<u64> {
        let envoy = self.envoy()?;
        if id == AttributeId::ConnectionId {
            // SAFETY: F2, F3.
            return callbacks().network_filter_get_connection_id.map(|get| unsafe { get(envoy) });
        }
        let get = callbacks().network_filter_get_attribute_int?;
        let mut value = 0;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// An attribute that is true or false.
    pub fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        let envoy = self.envoy()?;
        let get = callbacks().network_filter_get_attribute_bool?;
        let mut value = false;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// The cluster of the upstream host, once there is one.
    pub fn cluster_name(&self) -> Option<&[u8]> {
        let get = callbacks().network_filter_get_upstream_host_cluster?;
        let envoy = self.envoy()?;
        let mut name = RawBuffer::default();
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, &raw mut name) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(name) })
    }

    /// An object of the filter state that is a plain string.
    pub fn filter_state_bytes(&self, key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().network_get_filter_state_bytes?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// Sets a plain string. To Envoy 1.38 a key that is set stays as it is.
    pub fn set_filter_state_bytes(&mut self, key: &[u8], value: &[u8]) -> bool {
        let (Some(set), Some(envoy)) = (callbacks().network_set_filter_state_bytes, self.envoy()) else {
            return false;
        };
        // SAFETY: F2, F3, F9.
        unsafe { set(envoy, lend(key), lend(value)) }
    }

    /// Whether this Envoy lets a key be set again.
    pub fn overwrites_filter_state(&self) -> bool {
        // A callback that came with the release that changed it.
        callbacks().get_log_level.is_some()
    }

    /// A value of dynamic metadata that is text. Envoy keeps it only until the next such question, so this takes
    /// `&mut self`.
    pub fn metadata_string(&mut self, namespace: &[u8], key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().network_get_dynamic_metadata_string?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(namespace), lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// A value of dynamic metadata that is a number.
    pub fn metadata_number(&self, namespace: &[u8], key: &[u8]) -> Option<f64> {
        let get = callbacks().network_get_dynamic_metadata_number?;
        let envoy = self.envoy()?;
        let mut value = 0.0;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(namespace), lend(key), &raw mut value) };
        is_found.then_some(value)
    }
}

/// The getter of a fact that has one of its own.
#[allow(clippy::wildcard_enum_match_arm, reason = "all others are attributes")]
fn getter(table: &Callbacks, id: AttributeId) -> Option<GetText> {
    match id {
        AttributeId::ConnectionRequestedServerName => table.network_filter_get_requested_server_name,
        AttributeId::ConnectionSubjectPeerCertificate => table.network_filter_get_ssl_subject,
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "all others are no addresses")]
fn address_getter(table: &Callbacks, id: AttributeId) -> Option<GetAddress> {
    match id {
        AttributeId::SourceAddress => table.network_filter_get_remote_address,
        AttributeId::DestinationAddress => table.network_filter_get_local_address,
        AttributeId::UpstreamAddress => table.network_filter_get_upstream_host_address,
        _ => None,
    }
}
