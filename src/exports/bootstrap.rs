//! The bootstrap extension: one plugin for the process, or one in each worker's place, without a filter. Main thread.

use std::ffi::c_void;

use super::{CalloutResult, EnvoyBuffer, EnvoyHeader};
use crate::abi::hook;
use crate::abi::{call_event, envoy_bytes, raw};
use crate::bridge::service::Service;

type Completion = raw::envoy_dynamic_module_type_event_cb;

/// Makes the extension, or refuses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_new(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: F6, F11.
    unsafe { hook::config_new(envoy, name, config, Service::new) }
}

/// Gives the extension up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_destroy(config: *const c_void) {
    // SAFETY: F5.
    unsafe { hook::config_gone("on_bootstrap_extension_config_destroy", config, Service::on_destroy) }
}

/// Envoy's second object for it: the configuration is all that there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_new(
    config: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    config
}

/// The configuration is given up on its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_destroy(_extension: *const c_void) {}

/// Clusters are ready.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_server_initialized(
    _envoy: *mut c_void,
    extension: *const c_void,
) {
    // SAFETY: F5, the extension is its configuration.
    unsafe {
        hook::config_hook::<Service>("on_bootstrap_extension_server_initialized", extension, |service| {
            service.on_server_initialized();
        });
    }
}

/// Threads are nothing to a plugin.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized(
    _envoy: *mut c_void,
    _extension: *const c_void,
) {
}

/// Plugins work until the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_drain_started(
    _envoy: *mut c_void,
    _extension: *const c_void,
) {
}

/// Envoy shuts down, and waits until it is told to go on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_shutdown(
    _envoy: *mut c_void,
    extension: *const c_void,
    completion: Completion,
    context: *mut c_void,
) {
    // SAFETY: F5, the extension is its configuration.
    unsafe {
        hook::config_hook::<Service>("on_bootstrap_extension_shutdown", extension, |service| {
            service.on_shutdown();
        });
    }
    hook::envoy_ends();
    if let Some(completion) = completion {
        // SAFETY: F15, Envoy's own function with its own argument, called once.
        unsafe { completion(context) };
    }
}

/// An event of the extension's scheduler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_scheduled(
    _envoy: *mut c_void,
    config: *const c_void,
    _event_id: u64,
) {
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<Service>("on_bootstrap_extension_config_scheduled", config, |service| {
            service.on_scheduled();
        });
    }
}

/// The answer to a call of the extension.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_http_callout_done(
    _envoy: *mut c_void,
    config: *const c_void,
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
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<Service>("on_bootstrap_extension_http_callout_done", config, |service| {
            for event in answer {
                service.on_call_event(callout_id, event);
            }
        });
    }
}

/// No timer is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_timer_fired(
    _envoy: *mut c_void,
    _config: *const c_void,
    _timer: *mut c_void,
) {
}

/// No file is watched.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_file_changed(
    _envoy: *mut c_void,
    _config: *const c_void,
    _path: EnvoyBuffer,
    _events: u32,
) {
}

/// Somebody asks for a page of the admin endpoint. The answer is an HTTP status; the body is set meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_admin_request(
    _envoy: *mut c_void,
    config: *const c_void,
    method: EnvoyBuffer,
    path: EnvoyBuffer,
    _body: EnvoyBuffer,
) -> u32 {
    // SAFETY: F6.
    let method = unsafe { envoy_bytes(method) };
    // SAFETY: F6.
    let path = unsafe { envoy_bytes(path) };
    let mut status = 500;
    // SAFETY: F5.
    unsafe {
        hook::config_hook::<Service>("on_bootstrap_extension_admin_request", config, |service| {
            status = service.on_admin_request(method, path);
        });
    }
    status
}

/// A call finds its cluster when it is made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update(
    _envoy: *mut c_void,
    _config: *const c_void,
    _name: EnvoyBuffer,
) {
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_cluster_removal(
    _envoy: *mut c_void,
    _config: *const c_void,
    _name: EnvoyBuffer,
) {
}

/// Listeners bring their own filters.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update(
    _envoy: *mut c_void,
    _config: *const c_void,
    _name: EnvoyBuffer,
) {
}

/// As above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_bootstrap_extension_listener_removal(
    _envoy: *mut c_void,
    _config: *const c_void,
    _name: EnvoyBuffer,
) {
}
