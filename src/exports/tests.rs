//! The exported hooks themselves, for streams without a filter; what a hook does is tested in `abi::hook`.

use std::ptr;

use super::table::HOOKS;
use super::*;
use crate::abi::testing::{FakeEnvoy, FakeStream};

#[test]
fn every_hook_bears_a_stream_without_a_filter_and_fails_it() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let envoy = stream.as_envoy();
    let none = ptr::null();
    let headers = [HOOKS.on_http_filter_request_headers, HOOKS.on_http_filter_response_headers];
    for hook in headers {
        // SAFETY: F3, F5, null is allowed.
        assert_eq!(unsafe { hook.unwrap()(envoy, none, true) }, 1);
    }
    for hook in [HOOKS.on_http_filter_request_body, HOOKS.on_http_filter_response_body] {
        // SAFETY: F3, F5, null is allowed.
        assert_eq!(unsafe { hook.unwrap()(envoy, none, true) }, 3);
    }
    for hook in [HOOKS.on_http_filter_request_trailers, HOOKS.on_http_filter_response_trailers] {
        // SAFETY: F3, F5, null is allowed.
        assert_eq!(unsafe { hook.unwrap()(envoy, none) }, 1);
    }
    assert_eq!(stream.responses.len(), 6);
    assert!(stream.responses.iter().all(|response| response.status == 500));
}

#[test]
fn a_connection_without_a_filter_is_closed() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let envoy = stream.as_envoy();
    // SAFETY: F3, F5, null is allowed.
    assert_eq!(unsafe { HOOKS.on_network_filter_new_connection.unwrap()(envoy, ptr::null()) }, 1);
    // SAFETY: F3, F5, null is allowed.
    assert_eq!(unsafe { HOOKS.on_network_filter_read.unwrap()(envoy, ptr::null(), 3, false) }, 1);
    // SAFETY: F3, F5, null is allowed.
    assert_eq!(unsafe { HOOKS.on_network_filter_write.unwrap()(envoy, ptr::null(), 3, false) }, 1);
    assert_eq!(stream.told, ["close graft_no_filter"; 3]);
}

#[test]
fn an_object_without_a_configuration_is_none() {
    let _envoy = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    // SAFETY: F5, null is allowed.
    let logger = unsafe { HOOKS.on_access_logger_new.unwrap()(ptr::null(), stream.as_envoy()) };
    // SAFETY: F5, null is allowed.
    let connection = unsafe { HOOKS.on_network_filter_new.unwrap()(ptr::null(), stream.as_envoy()) };
    assert!(logger.is_null() && connection.is_null());
}

#[test]
fn the_end_of_a_stream_without_a_filter_is_quiet() {
    let envoy_log = FakeEnvoy::install();
    let mut stream = FakeStream::default();
    let details = EnvoyBuffer { ptr: ptr::null(), length: 0 };
    // SAFETY: F3, F5, F6, null is allowed.
    let status = unsafe {
        HOOKS.on_http_filter_local_reply.unwrap()(stream.as_envoy(), ptr::null(), 404, details, false)
    };
    assert_eq!(status, 0);
    // SAFETY: F3, F5, null is allowed.
    unsafe { HOOKS.on_http_filter_stream_complete.unwrap()(stream.as_envoy(), ptr::null()) };
    // SAFETY: F4, F5, null is allowed.
    unsafe { HOOKS.on_http_filter_destroy.unwrap()(ptr::null()) };
    // SAFETY: F5, null is allowed.
    unsafe { HOOKS.on_http_filter_config_destroy.unwrap()(ptr::null()) };
    // SAFETY: F5, null is allowed.
    unsafe { HOOKS.on_http_filter_per_route_config_destroy.unwrap()(ptr::null()) };
    // SAFETY: F5, null is allowed.
    unsafe { HOOKS.on_access_logger_config_destroy.unwrap()(ptr::null()) };
    // SAFETY: F4, F5, null is allowed.
    unsafe { HOOKS.on_access_logger_destroy.unwrap()(ptr::null()) };
    // SAFETY: F3, F5, null is allowed.
    unsafe { HOOKS.on_access_logger_log.unwrap()(stream.as_envoy(), ptr::null(), 6) };
    // SAFETY: F5, null is allowed.
    unsafe { HOOKS.on_network_filter_config_destroy.unwrap()(ptr::null()) };
    // SAFETY: F4, F5, null is allowed.
    unsafe { HOOKS.on_network_filter_destroy.unwrap()(ptr::null()) };
    // SAFETY: F3, F5, null is allowed.
    unsafe { HOOKS.on_network_filter_event.unwrap()(stream.as_envoy(), ptr::null(), 0) };
    assert!(stream.responses.is_empty() && stream.told.is_empty());
    assert!(envoy_log.log_lines().is_empty());
}
