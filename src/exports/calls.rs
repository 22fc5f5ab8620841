//! The answers to calls, in parts: those of streams on their workers, those of configurations on the main thread.

use std::ffi::c_void;

use super::{CalloutResult, EnvoyBuffer, EnvoyHeader, StreamResetReason};
use crate::abi::hook::{self, OnFailure};
use crate::abi::{CallEvent, call_event};
use crate::bridge::http_config::HttpConfig;
use crate::bridge::http_filter::HttpFilter;

/// The whole answer to a call of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
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
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_callout_done",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| filter.on_call_done(envoy, callout_id, &answer),
        );
    }
}

/// The headers of the answer to a call of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_headers(
    envoy: *mut c_void,
    filter: *const c_void,
    stream_id: u64,
    headers: *mut EnvoyHeader,
    headers_length: usize,
    end_of_stream: bool,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::headers(headers, headers_length) };
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_stream_headers",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| {
                filter.on_call_event(envoy, stream_id, CallEvent::Headers(listed, end_of_stream));
            },
        );
    }
}

/// A piece of body of the answer to a call of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_data(
    envoy: *mut c_void,
    filter: *const c_void,
    stream_id: u64,
    data: *const EnvoyBuffer,
    data_length: usize,
    end_of_stream: bool,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::pieces(data, data_length) };
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_stream_data",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| {
                filter.on_call_event(envoy, stream_id, CallEvent::Data(listed, end_of_stream));
            },
        );
    }
}

/// The trailers of the answer to a call of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_trailers(
    envoy: *mut c_void,
    filter: *const c_void,
    stream_id: u64,
    trailers: *mut EnvoyHeader,
    trailers_length: usize,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::headers(trailers, trailers_length) };
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_stream_trailers",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| {
                filter.on_call_event(envoy, stream_id, CallEvent::Trailers(listed));
            },
        );
    }
}

/// The end of a call of a stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_complete(
    envoy: *mut c_void,
    filter: *const c_void,
    stream_id: u64,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_stream_complete",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| {
                filter.on_call_event(envoy, stream_id, CallEvent::Complete);
            },
        );
    }
}

/// A call of a stream broke off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_http_stream_reset(
    envoy: *mut c_void,
    filter: *const c_void,
    stream_id: u64,
    _reason: StreamResetReason,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::stream_hook::<HttpFilter, _>(
            "on_http_filter_http_stream_reset",
            OnFailure::FailStream,
            envoy,
            filter,
            |filter, envoy| {
                filter.on_call_event(envoy, stream_id, CallEvent::Reset);
            },
        );
    }
}

/// The headers of the answer to a call of a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_headers(
    _envoy: *mut c_void,
    config: *const c_void,
    stream_id: u64,
    headers: *mut EnvoyHeader,
    headers_length: usize,
    end_of_stream: bool,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::headers(headers, headers_length) };
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_http_stream_headers", config, |config| {
            config.on_call_event(stream_id, CallEvent::Headers(listed, end_of_stream));
        });
    }
}

/// A piece of body of the answer to a call of a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_data(
    _envoy: *mut c_void,
    config: *const c_void,
    stream_id: u64,
    data: *const EnvoyBuffer,
    data_length: usize,
    end_of_stream: bool,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::pieces(data, data_length) };
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_http_stream_data", config, |config| {
            config.on_call_event(stream_id, CallEvent::Data(listed, end_of_stream));
        });
    }
}

/// The trailers of the answer to a call of a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_trailers(
    _envoy: *mut c_void,
    config: *const c_void,
    stream_id: u64,
    trailers: *mut EnvoyHeader,
    trailers_length: usize,
) {
    // SAFETY: F6.
    let listed = unsafe { call_event::headers(trailers, trailers_length) };
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_http_stream_trailers", config, |config| {
            config.on_call_event(stream_id, CallEvent::Trailers(listed));
        });
    }
}

/// The end of a call of a configuration.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_complete(
    _envoy: *mut c_void,
    config: *const c_void,
    stream_id: u64,
) {
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_http_stream_complete", config, |config| {
            config.on_call_event(stream_id, CallEvent::Complete);
        });
    }
}

/// A call of a configuration broke off.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_stream_reset(
    _envoy: *mut c_void,
    config: *const c_void,
    stream_id: u64,
    _reason: StreamResetReason,
) {
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<HttpConfig>("on_http_filter_config_http_stream_reset", config, |config| {
            config.on_call_event(stream_id, CallEvent::Reset);
        });
    }
}
