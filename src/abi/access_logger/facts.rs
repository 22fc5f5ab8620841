//! Facts about an exchange that is over.
//!
//! From Envoy 1.38 on most of them are attributes, as for a stream. 1.37 has a getter for each of the usual ones;
//! where there is such a getter it is asked first, on every Envoy, because it answers the same everywhere.

use std::ffi::c_void;

use super::super::attribute_id::AttributeId;
use super::super::buffer::{envoy_bytes, lend};
use super::super::table::{Callbacks, callbacks};
use super::super::types::TimingInfo;
use super::{AccessLogHandle, raw};

type RawBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type GetText = unsafe extern "C" fn(*mut c_void, *mut RawBuffer) -> bool;
type GetAddress = unsafe extern "C" fn(*mut c_void, *mut RawBuffer, *mut u32) -> bool;

/// Body bytes of an exchange, as Envoy counted them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccessLogSizes {
    /// From the client.
    pub received: u64,
    /// To the client.
    pub sent: u64,
}

impl AccessLogHandle {
    /// An attribute that is text, unless it is an address: see [`address`](Self::address).
    pub fn attribute_string(&self, id: AttributeId) -> Option<&[u8]> {
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        let is_found = match getter(callbacks(), id) {
            // SAFETY: F2, F3, F8.
            Some(get) => unsafe { get(envoy, &raw mut value) },
            None => {
                let get = callbacks().access_logger_get_attribute_string?;
                // SAFETY: F2, F3, F8.
                unsafe { get(envoy, id.number(), &raw mut value) }
            }
        };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// An address and its port, 0 if it has none: of `source`, `destination`, `upstream` or `upstream.local`.
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
        let table = callbacks();
        if id == AttributeId::ResponseCode {
            // SAFETY: F2, F3. 0: no response was begun.
            return table
                .access_logger_get_response_code
                .map(|get| u64::from(unsafe { get(envoy) }))
                .filter(|code| *code > 0);
        }
        if id == AttributeId::ResponseFlags {
            // SAFETY: F2, F3.
            return table.access_logger_get_response_flags.map(|get| unsafe { get(envoy) });
        }
        if id == AttributeId::ConnectionId {
            // SAFETY: F2, F3.
            return table.access_logger_get_connection_id.map(|get| unsafe { get(envoy) });
        }
        if id == AttributeId::UpstreamRequestAttemptCount {
            // SAFETY: F2, F3.
            return table.access_logger_get_attempt_count.map(|get| u64::from(unsafe { get(envoy) }));
        }
        let get = table.access_logger_get_attribute_int?;
        let mut value = 0;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// An attribute that is true or false.
    pub fn attribute_bool(&self, id: AttributeId) -> Option<bool> {
        let envoy = self.envoy()?;
        if id == AttributeId::ConnectionMtls {
            // SAFETY: F2, F3.
            return callbacks().access_logger_is_mtls.map(|get| unsafe { get(envoy) });
        }
        let get = callbacks().access_logger_get_attribute_bool?;
        let mut value = false;
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, id.number(), &raw mut value) };
        is_found.then_some(value)
    }

    /// Body bytes.
    pub fn sizes(&self) -> AccessLogSizes {
        let (Some(get), Some(envoy)) = (callbacks().access_logger_get_bytes_info, self.envoy()) else {
            return AccessLogSizes::default();
        };
        let mut bytes = raw::envoy_dynamic_module_type_bytes_info::default();
        // SAFETY: F2, F3, F8.
        unsafe { get(envoy, &raw mut bytes) };
        AccessLogSizes { received: bytes.bytes_received, sent: bytes.bytes_sent }
    }

    /// When things happened.
    pub fn timing_info(&self) -> TimingInfo {
        let (Some(get), Some(envoy)) = (callbacks().access_logger_get_timing_info, self.envoy()) else {
            return TimingInfo::default();
        };
        let mut timing = raw::envoy_dynamic_module_type_access_log_timing_info::default();
        // SAFETY: F2, F3, F8.
        unsafe { get(envoy, &raw mut timing) };
        // Envoy writes -1 for a moment that has not come.
        let moment = |nanoseconds: i64| u64::try_from(nanoseconds).ok();
        TimingInfo {
            start_unix_ns: moment(timing.start_time_unix_ns),
            last_downstream_byte_received_ns: None,
            first_upstream_byte_sent_ns: moment(timing.first_upstream_tx_byte_sent_ns),
            last_upstream_byte_sent_ns: moment(timing.last_upstream_tx_byte_sent_ns),
            first_upstream_byte_received_ns: moment(timing.first_upstream_rx_byte_received_ns),
            last_upstream_byte_received_ns: moment(timing.last_upstream_rx_byte_received_ns),
            first_downstream_byte_sent_ns: moment(timing.first_downstream_tx_byte_sent_ns),
            last_downstream_byte_sent_ns: moment(timing.last_downstream_tx_byte_sent_ns),
            request_complete_ns: moment(timing.request_complete_duration_ns),
        }
    }

    /// The cluster that the route chose.
    pub fn cluster_name(&self) -> Option<&[u8]> {
        let get = callbacks().access_logger_get_upstream_cluster?;
        let envoy = self.envoy()?;
        let mut name = RawBuffer::default();
        // SAFETY: F2, F3, F8.
        let is_found = unsafe { get(envoy, &raw mut name) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(name) }).filter(|name| !name.is_empty())
    }

    /// A value of dynamic metadata that is text. Envoy keeps it only until the next such
    /// question, so this takes `&mut self`.
    pub fn metadata_string(&mut self, namespace: &[u8], key: &[u8]) -> Option<&[u8]> {
        let get = callbacks().access_logger_get_dynamic_metadata?;
        let envoy = self.envoy()?;
        let mut value = RawBuffer::default();
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(namespace), lend(key), &raw mut value) };
        // SAFETY: F7.
        is_found.then(|| unsafe { envoy_bytes(value) })
    }

    /// A value of dynamic metadata that is a number. `None` before Envoy 1.39.
    pub fn metadata_number(&self, namespace: &[u8], key: &[u8]) -> Option<f64> {
        let get = callbacks().access_logger_get_dynamic_metadata_number?;
        let envoy = self.envoy()?;
        let mut value = 0.0;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(namespace), lend(key), &raw mut value) };
        is_found.then_some(value)
    }

    /// A value of dynamic metadata that is true or false. `None` before Envoy 1.39.
    pub fn metadata_bool(&self, namespace: &[u8], key: &[u8]) -> Option<bool> {
        let get = callbacks().access_logger_get_dynamic_metadata_bool?;
        let envoy = self.envoy()?;
        let mut value = false;
        // SAFETY: F2, F3, F8, F9.
        let is_found = unsafe { get(envoy, lend(namespace), lend(key), &raw mut value) };
        is_found.then_some(value)
    }
}

/// The getter of a fact that has one of its own.
#[allow(clippy::wildcard_enum_match_arm, reason = "all others are attributes")]
fn getter(table: &Callbacks, id: AttributeId) -> Option<GetText> {
    match id {
        AttributeId::ResponseCodeDetails => table.access_logger_get_response_code_details,
        AttributeId::RequestProtocol => table.access_logger_get_protocol,
        AttributeId::RequestId => table.access_logger_get_request_id,
        AttributeId::XdsRouteName => table.access_logger_get_route_name,
        AttributeId::ConnectionRequestedServerName => table.access_logger_get_requested_server_name,
        AttributeId::ConnectionTlsVersion => table.access_logger_get_downstream_tls_version,
        AttributeId::ConnectionSubjectPeerCertificate => table.access_logger_get_downstream_peer_subject,
        AttributeId::ConnectionSha256PeerCertificateDigest => {
            table.access_logger_get_downstream_peer_cert_digest
        }
        AttributeId::UpstreamTransportFailureReason => {
            table.access_logger_get_upstream_transport_failure_reason
        }
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "all others are no addresses")]
fn address_getter(table: &Callbacks, id: AttributeId) -> Option<GetAddress> {
    match id {
        AttributeId::SourceAddress => table.access_logger_get_downstream_remote_address,
        AttributeId::DestinationAddress => table.access_logger_get_downstream_local_address,
        AttributeId::UpstreamAddress => table.access_logger_get_upstream_remote_address,
        AttributeId::UpstreamLocalAddress => table.access_logger_get_upstream_local_address,
        _ => None,
    }
}
