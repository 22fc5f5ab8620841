//! The hooks of access loggers.

use std::ffi::c_void;

use super::{EnvoyBuffer, hook, raw};
use crate::abi::hook::OnFailure;
use crate::bridge::access_log::{AccessLogger, LogConfig};

type AccessLogType = raw::envoy_dynamic_module_type_access_log_type;

/// Makes a logger's configuration, or refuses it. Main thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_new(
    envoy: *mut c_void,
    name: EnvoyBuffer,
    config: EnvoyBuffer,
) -> *const c_void {
    // SAFETY: F6, F11.
    unsafe { hook::config_new(envoy, name, config, LogConfig::new) }
}

/// Gives a logger's configuration up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_destroy(config: *const c_void) {
    // SAFETY: F5.
    unsafe {
        hook::config_gone::<LogConfig>("on_access_logger_config_destroy", config, LogConfig::on_destroy);
    }
}

/// Makes the logger of this thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_new(
    config: *const c_void,
    _envoy: *mut c_void,
) -> *const c_void {
    // SAFETY: F5.
    unsafe { hook::object_new::<LogConfig, _>("on_access_logger_new", config, AccessLogger::new) }
}

/// Shows an exchange.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_log(
    envoy: *mut c_void,
    logger: *const c_void,
    _log_type: AccessLogType,
) {
    // SAFETY: F3, F4, F5.
    unsafe {
        hook::object_hook::<AccessLogger, _, _>(
            "on_access_logger_log",
            OnFailure::LetEnd,
            envoy,
            logger,
            AccessLogger::on_log,
        );
    }
}

/// Gives a logger up, on its thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_destroy(logger: *const c_void) {
    // SAFETY: F4, F5.
    unsafe { hook::object_destroy::<AccessLogger>("on_access_logger_destroy", logger, |_logger| {}) }
}

/// Nothing is kept back here.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn envoy_dynamic_module_on_access_logger_flush(_logger: *const c_void) {}
