//! The hooks of network filters.

use std::ffi::c_void;

use super::{CalloutResult, EnvoyBuffer, EnvoyHeader, hook, raw};
use crate::abi::call_event;
use crate::abi::hook::OnFailure;
use crate::bridge::connection_filter::{ConnectionConfig, ConnectionFilter};

type DataStatus = raw::envoy_dynamic_module_type_on_network_filter_data_status;
type Event = raw::envoy_dynamic_module_type_network_connection_event;

/// Makes a filter configuration, or refuses it. Main thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_new(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: F6, F11.
    unsafe { hook::config_new(envoy, name, config, ConnectionConfig::new) }
}

/// Gives a filter configuration up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_destroy(config: *const c_void) {
    // SAFETY: F5.
    unsafe {
        hook::config_gone::<ConnectionConfig>(
            "on_network_filter_config_destroy",
            config,
            ConnectionConfig::on_destroy,
        );
    }
}

/// An event of a configuration's scheduler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_config_scheduled(
    config: *const c_void,
    _event_id: u64,
) {
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<ConnectionConfig>("on_network_filter_config_scheduled", config, |config| {
            config.on_scheduled();
        });
    }
}

/// Makes the filter of a connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new(
    config: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    // SAFETY: F5.
    unsafe { hook::object_new::<ConnectionConfig, _>("on_network_filter_new", config, ConnectionFilter::new) }
}

/// A client has connected.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_new_connection(
    envoy: *mut c_void,
    filter: *const c_void,
) -> DataStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_new_connection",
            OnFailure::FailStream,
            envoy,
            filter,
            ConnectionFilter::on_new_connection,
        )
    }
}

/// Bytes from the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_read(
    envoy: *mut c_void,
    filter: *const c_void,
    _data_length: usize,
    end_of_stream: bool,
) -> DataStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_read",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_read(envoy, end_of_stream),
        )
    }
}

/// Bytes for the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_write(
    envoy: *mut c_void,
    filter: *const c_void,
    _data_length: usize,
    end_of_stream: bool,
) -> DataStatus {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_write",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_write(envoy, end_of_stream),
        )
    }
}

/// The connection was closed, by either side.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_event(
    envoy: *mut c_void,
    filter: *const c_void,
    event: Event,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_event",
            OnFailure::LetEnd,
            envoy,
            filter,
            |filter, envoy| filter.on_event(envoy, event.try_into()),
        );
    }
}

/// Gives a connection up. May run inside a callback of another hook of the same filter.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_destroy(filter: *const c_void) {
    // SAFETY: F4, F5.
    unsafe { hook::object_destroy("on_network_filter_destroy", filter, ConnectionFilter::on_destroy) }
}

/// An event of the connection's scheduler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_scheduled(
    envoy: *mut c_void,
    filter: *const c_void,
    _event_id: u64,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_scheduled",
            OnFailure::FailStream,
            envoy,
            filter,
            ConnectionFilter::on_scheduled,
        );
    }
}

/// The answer to a call of the connection.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_network_filter_http_callout_done(
    envoy: *mut c_void,
    filter: *const c_void,
    callout_id: u64,
    result: CalloutResult,
    headers: *mut EnvoyHeader,
    headers_length: usize,
    body_chunks: *mut EnvoyBuffer,
    body_chunks_length: usize,
) {
    // SAFETY: F6.
    let answer = unsafe {
        call_event::whole_answer(result, (headers, headers_length), (body_chunks, body_chunks_length))
    };
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<ConnectionFilter, _, _>(
            "on_network_filter_http_callout_done",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_call_done(envoy, callout_id, &answer),
        );
    }
}
