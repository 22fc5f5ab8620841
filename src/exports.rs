//! Every symbol that Envoy looks up in the library.
//!
//! A hook has one statement: which body of `abi::hook` it is, and which method of the bridge does the work. The names
//! and signatures are those of section 10 of `include/envoy_dynamic_module.h`; `table` makes the compiler compare
//! them. All hooks are exported for every Envoy: one that does not know a hook ignores it.
//!
//! Hooks that only an action of ours can cause, and that nothing causes yet, are no-ops: Envoy from 1.37 on demands
//! most of these symbols, whether a module starts callouts or not.

#![allow(unsafe_code, reason = "symbols of the C line; every block cites docs/SAFETY.md")]
#![allow(
    unreachable_pub,
    clippy::missing_safety_doc,
    reason = "the symbols are for Envoy; the header says what it promises"
)]

mod access_logger;
mod bootstrap;
mod calls;
mod network;
mod table;
mod watermarks;

use std::ffi::{c_char, c_void};

use crate::abi::hook::{self, OnFailure};
use crate::abi::{guard, raw, version};
use crate::bridge::http_config::HttpConfig;
use crate::bridge::http_filter::HttpFilter;
use crate::bridge::module;
use crate::bridge::route_config::RouteConfig;

type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type EnvoyHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type HeadersStatus = raw::envoy_dynamic_module_type_on_http_filter_headers_status;
type BodyStatus = raw::envoy_dynamic_module_type_on_http_filter_body_status;
type TrailersStatus = raw::envoy_dynamic_module_type_on_http_filter_trailers_status;
type LocalReplyStatus = raw::envoy_dynamic_module_type_on_http_filter_local_reply_status;
type CalloutResult = raw::envoy_dynamic_module_type_http_callout_result;
type StreamResetReason = raw::envoy_dynamic_module_type_http_stream_reset_reason;

// ---- Process ----

/// Loads the module. Main thread, before any other hook.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    guard::guard("on_program_init", std::ptr::null(), || {
        guard::report_panics_to_log();
        module::on_program_init();
        version::wanted_by_host().as_ptr()
    })
}

// ---- Configurations. Main thread, but destroyed on any. ----

/// Makes a filter configuration, or refuses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: F6, F11.
    unsafe { hook::config_new(envoy, name, config, HttpConfig::new) }
}

/// Gives a filter configuration up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: *const c_void) {
    // SAFETY: F5.
    unsafe { hook::config_destroy(config, HttpConfig::on_destroy) }
}

/// An event of a configuration's scheduler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    _envoy: *mut c_void,
    config: *const c_void,
    _event_id: u64,
) {
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_scheduled", config, |config| {
            config.on_scheduled();
        });
    }
}

/// Makes a route's configuration, or refuses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: F6.
    unsafe { hook::route_config_new(name, config, RouteConfig::new) }
}

/// Gives a route's configuration up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(config: *const c_void) {
    // SAFETY: F5.
    unsafe { hook::route_config_destroy(config) }
}

// ---- Streams. Each on its worker. ----

/// A stream begins.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: *const c_void,
    envoy: *mut c_void,
) -> *const c_void {
    // SAFETY: F3, F5.
    unsafe { hook::filter_new(config, envoy, HttpFilter::new) }
}

/// The request's headers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    envoy: *mut c_void,
    filter: *const c_void,
    end_of_stream: bool,
) -> HeadersStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_request_headers",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_request_headers(envoy, end_of_stream),
        )
    }
}

/// A chunk of the request's body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    envoy: *mut c_void,
    filter: *const c_void,
    end_of_stream: bool,
) -> BodyStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_request_body",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_request_body(envoy, end_of_stream),
        )
    }
}

/// The request's trailers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    envoy: *mut c_void,
    filter: *const c_void,
) -> TrailersStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_request_trailers",
            OnFailure::FailStream,
            envoy,
            filter,
            HttpFilter::on_request_trailers,
        )
    }
}

/// The response's headers. Not called for a response that this filter sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    envoy: *mut c_void,
    filter: *const c_void,
    end_of_stream: bool,
) -> HeadersStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_response_headers",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_response_headers(envoy, end_of_stream),
        )
    }
}

/// A chunk of the response's body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    envoy: *mut c_void,
    filter: *const c_void,
    end_of_stream: bool,
) -> BodyStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_response_body",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_response_body(envoy, end_of_stream),
        )
    }
}

/// The response's trailers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    envoy: *mut c_void,
    filter: *const c_void,
) -> TrailersStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_response_trailers",
            OnFailure::FailStream,
            envoy,
            filter,
            HttpFilter::on_response_trailers,
        )
    }
}

/// Envoy, or a filter, answers the stream itself. May run inside a `send_response` of ours. The reply reaches the plugin as
/// a response, so there is nothing to do here, and nothing that could panic.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _response_code: u32,
    _details: EnvoyBuffer,
    _reset_imminent: bool,
) -> LocalReplyStatus {
    raw::envoy_dynamic_module_type_on_http_filter_local_reply_status_Continue
}

/// The stream is over; the last time that it can be asked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    envoy: *mut c_void,
    filter: *const c_void,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_stream_complete",
            OnFailure::LetEnd,
            envoy,
            filter,
            HttpFilter::on_stream_complete,
        );
    }
}

/// Gives a stream up. To Envoy 1.39 this may run inside a callback of another hook of the same filter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(filter: *const c_void) {
    // SAFETY: F4, F5.
    unsafe { hook::filter_destroy(filter, HttpFilter::on_destroy) }
}

/// An event of the stream's scheduler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    envoy: *mut c_void,
    filter: *const c_void,
    event_id: u64,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_scheduled",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_scheduled(envoy, event_id),
        );
    }
}

// ---- Callouts of a configuration: none is started. ----

/// The answer to a callout of a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    _envoy: *mut c_void,
    _config: *const c_void,
    _callout_id: u64,
    _result: CalloutResult,
    _headers: *mut EnvoyHeader,
    _headers_length: usize,
    _body_chunks: *mut EnvoyBuffer,
    _body_chunks_length: usize,
) {
}

#[cfg(test)]
mod tests;
