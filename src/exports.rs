//! Every symbol that Envoy looks up in the library.
//!
//! A hook has one statement: which body of `abi::hook` it is, and which method of the bridge does the work. The names
//! and signatures are those of section 10 of `include/envoy_dynamic_module.h`; `HOOKS` makes the compiler compare
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
mod network;
mod watermarks;

use std::ffi::{c_char, c_void};

mod bootstrap;
mod calls;

use calls::{
    envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    envoy_dynamic_module_on_http_filter_config_http_stream_data,
    envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    envoy_dynamic_module_on_http_filter_config_http_stream_reset,
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_http_stream_complete,
    envoy_dynamic_module_on_http_filter_http_stream_data,
    envoy_dynamic_module_on_http_filter_http_stream_headers,
    envoy_dynamic_module_on_http_filter_http_stream_reset,
    envoy_dynamic_module_on_http_filter_http_stream_trailers,
};

use crate::abi::hook::{self, OnFailure};
use crate::abi::{envoy_bytes, guard, raw, version};
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

/// Every hook of the header. A hook that is declared and not exported, or exported with another signature, does not
/// compile.
#[cfg_attr(not(test), expect(dead_code, reason = "that it compiles is what it is for"))]
pub(crate) const HOOKS: raw::graft_hook_table = raw::graft_hook_table {
    on_program_init: Some(envoy_dynamic_module_on_program_init),
    on_http_filter_config_new: Some(envoy_dynamic_module_on_http_filter_config_new),
    on_http_filter_config_destroy: Some(envoy_dynamic_module_on_http_filter_config_destroy),
    on_http_filter_config_scheduled: Some(envoy_dynamic_module_on_http_filter_config_scheduled),
    on_http_filter_config_http_callout_done: Some(
        envoy_dynamic_module_on_http_filter_config_http_callout_done,
    ),
    on_http_filter_config_http_stream_headers: Some(
        envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    ),
    on_http_filter_config_http_stream_data: Some(envoy_dynamic_module_on_http_filter_config_http_stream_data),
    on_http_filter_config_http_stream_trailers: Some(
        envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    ),
    on_http_filter_config_http_stream_complete: Some(
        envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    ),
    on_http_filter_config_http_stream_reset: Some(
        envoy_dynamic_module_on_http_filter_config_http_stream_reset,
    ),
    on_http_filter_per_route_config_new: Some(envoy_dynamic_module_on_http_filter_per_route_config_new),
    on_http_filter_per_route_config_destroy: Some(
        envoy_dynamic_module_on_http_filter_per_route_config_destroy,
    ),
    on_http_filter_new: Some(envoy_dynamic_module_on_http_filter_new),
    on_http_filter_request_headers: Some(envoy_dynamic_module_on_http_filter_request_headers),
    on_http_filter_request_body: Some(envoy_dynamic_module_on_http_filter_request_body),
    on_http_filter_request_trailers: Some(envoy_dynamic_module_on_http_filter_request_trailers),
    on_http_filter_response_headers: Some(envoy_dynamic_module_on_http_filter_response_headers),
    on_http_filter_response_body: Some(envoy_dynamic_module_on_http_filter_response_body),
    on_http_filter_response_trailers: Some(envoy_dynamic_module_on_http_filter_response_trailers),
    on_http_filter_local_reply: Some(envoy_dynamic_module_on_http_filter_local_reply),
    on_http_filter_stream_complete: Some(envoy_dynamic_module_on_http_filter_stream_complete),
    on_http_filter_destroy: Some(envoy_dynamic_module_on_http_filter_destroy),
    on_http_filter_scheduled: Some(envoy_dynamic_module_on_http_filter_scheduled),
    on_http_filter_downstream_above_write_buffer_high_watermark: Some(
        watermarks::envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark,
    ),
    on_http_filter_downstream_below_write_buffer_low_watermark: Some(
        watermarks::envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark,
    ),
    on_http_filter_http_callout_done: Some(envoy_dynamic_module_on_http_filter_http_callout_done),
    on_http_filter_http_stream_headers: Some(envoy_dynamic_module_on_http_filter_http_stream_headers),
    on_http_filter_http_stream_data: Some(envoy_dynamic_module_on_http_filter_http_stream_data),
    on_http_filter_http_stream_trailers: Some(envoy_dynamic_module_on_http_filter_http_stream_trailers),
    on_http_filter_http_stream_complete: Some(envoy_dynamic_module_on_http_filter_http_stream_complete),
    on_http_filter_http_stream_reset: Some(envoy_dynamic_module_on_http_filter_http_stream_reset),
    on_bootstrap_extension_config_new: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_new,
    ),
    on_bootstrap_extension_config_destroy: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_destroy,
    ),
    on_bootstrap_extension_new: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_new),
    on_bootstrap_extension_destroy: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_destroy),
    on_bootstrap_extension_server_initialized: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_server_initialized,
    ),
    on_bootstrap_extension_worker_thread_initialized: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized,
    ),
    on_bootstrap_extension_drain_started: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_drain_started,
    ),
    on_bootstrap_extension_shutdown: Some(bootstrap::envoy_dynamic_module_on_bootstrap_extension_shutdown),
    on_bootstrap_extension_config_scheduled: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_config_scheduled,
    ),
    on_bootstrap_extension_http_callout_done: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_http_callout_done,
    ),
    on_bootstrap_extension_timer_fired: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_timer_fired,
    ),
    on_bootstrap_extension_file_changed: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_file_changed,
    ),
    on_bootstrap_extension_admin_request: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_admin_request,
    ),
    on_bootstrap_extension_cluster_add_or_update: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update,
    ),
    on_bootstrap_extension_cluster_removal: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_cluster_removal,
    ),
    on_bootstrap_extension_listener_add_or_update: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update,
    ),
    on_bootstrap_extension_listener_removal: Some(
        bootstrap::envoy_dynamic_module_on_bootstrap_extension_listener_removal,
    ),
    on_access_logger_config_new: Some(access_logger::envoy_dynamic_module_on_access_logger_config_new),
    on_access_logger_config_destroy: Some(
        access_logger::envoy_dynamic_module_on_access_logger_config_destroy,
    ),
    on_access_logger_new: Some(access_logger::envoy_dynamic_module_on_access_logger_new),
    on_access_logger_log: Some(access_logger::envoy_dynamic_module_on_access_logger_log),
    on_access_logger_destroy: Some(access_logger::envoy_dynamic_module_on_access_logger_destroy),
    on_access_logger_flush: Some(access_logger::envoy_dynamic_module_on_access_logger_flush),
    on_network_filter_config_new: Some(network::envoy_dynamic_module_on_network_filter_config_new),
    on_network_filter_config_destroy: Some(network::envoy_dynamic_module_on_network_filter_config_destroy),
    on_network_filter_config_scheduled: Some(
        network::envoy_dynamic_module_on_network_filter_config_scheduled,
    ),
    on_network_filter_new: Some(network::envoy_dynamic_module_on_network_filter_new),
    on_network_filter_new_connection: Some(network::envoy_dynamic_module_on_network_filter_new_connection),
    on_network_filter_read: Some(network::envoy_dynamic_module_on_network_filter_read),
    on_network_filter_write: Some(network::envoy_dynamic_module_on_network_filter_write),
    on_network_filter_event: Some(network::envoy_dynamic_module_on_network_filter_event),
    on_network_filter_http_callout_done: Some(
        network::envoy_dynamic_module_on_network_filter_http_callout_done,
    ),
    on_network_filter_destroy: Some(network::envoy_dynamic_module_on_network_filter_destroy),
    on_network_filter_scheduled: Some(network::envoy_dynamic_module_on_network_filter_scheduled),
    on_network_filter_above_write_buffer_high_watermark: Some(
        watermarks::envoy_dynamic_module_on_network_filter_above_write_buffer_high_watermark,
    ),
    on_network_filter_below_write_buffer_low_watermark: Some(
        watermarks::envoy_dynamic_module_on_network_filter_below_write_buffer_low_watermark,
    ),
};

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
        hook::config_hook::<HttpConfig>("on_http_filter_config_scheduled", config, HttpConfig::on_scheduled)
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

/// Envoy, or a filter, answers the stream itself. May run inside a `send_response` of ours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    envoy: *mut c_void,
    filter: *const c_void,
    response_code: u32,
    details: EnvoyBuffer,
    reset_imminent: bool,
) -> LocalReplyStatus {
    // SAFETY: F6.
    let details = unsafe { envoy_bytes(details) };
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_local_reply",
            OnFailure::LetEnd,
            envoy,
            filter,
            |filter, envoy| filter.on_local_reply(envoy, response_code, details, reset_imminent),
        )
    }
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

// ---- Callouts of a stream: none is started. ----

/// The answer to a callout of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    _envoy: *mut c_void,
    _filter: *const c_void,
    _callout_id: u64,
    _result: CalloutResult,
    _headers: *mut EnvoyHeader,
    _headers_length: usize,
    _body_chunks: *mut EnvoyBuffer,
    _body_chunks_length: usize,
) {
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
