//! The fake's callbacks for access loggers and network filters, over the same [`FakeStream`](super::FakeStream): what a
//! connection reads is its received request body, what it writes the received response body.

use std::ffi::c_void;

use super::super::raw;
use super::super::table::Callbacks;
use super::callbacks::{answer, define, fill, lend, read, reenter, stream, text, update, write};

type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type ModuleBuffer = raw::envoy_dynamic_module_type_module_buffer;
type EnvoyHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type Number = std::ffi::c_uint;

/// The bodies that stand for what is read and what is written.
const READ: usize = 0;
const WRITE: usize = 2;

macro_rules! update_callback {
    ($what:ident) => {{
        unsafe extern "C" fn $what(_: *mut c_void, id: usize, value: u64) -> Number {
            update(stringify!($what), id, &[], value)
        }
        Some($what as unsafe extern "C" fn(*mut c_void, usize, u64) -> Number)
    }};
}

/// The callbacks on one of the two buffers.
macro_rules! buffer_callbacks {
    ($body:ident: $size:ident, $count:ident, $chunks:ident, $drain:ident, $prepend:ident, $append:ident) => {
        unsafe extern "C" fn $size(envoy: *mut c_void) -> usize {
            stream(envoy).bodies[$body].iter().flatten().map(Vec::len).sum()
        }
        unsafe extern "C" fn $count(envoy: *mut c_void) -> usize {
            stream(envoy).bodies[$body].as_ref().map_or(0, Vec::len)
        }
        unsafe extern "C" fn $chunks(envoy: *mut c_void, out: *mut EnvoyBuffer) -> bool {
            stream(envoy).bodies[$body]
                .as_ref()
                .is_some_and(|chunks| fill(out, chunks.iter().map(|chunk| lend(chunk))))
        }
        unsafe extern "C" fn $drain(envoy: *mut c_void, length: usize) -> bool {
            stream(envoy).bodies[$body].as_mut().is_some_and(|chunks| {
                let mut bytes = chunks.concat();
                bytes.drain(..length.min(bytes.len()));
                *chunks = vec![bytes];
                true
            })
        }
        unsafe extern "C" fn $prepend(envoy: *mut c_void, data: ModuleBuffer) -> bool {
            stream(envoy).bodies[$body].as_mut().map(|chunks| chunks.insert(0, read(data).to_vec())).is_some()
        }
        unsafe extern "C" fn $append(envoy: *mut c_void, data: ModuleBuffer) -> bool {
            stream(envoy).bodies[$body].as_mut().map(|chunks| chunks.push(read(data).to_vec())).is_some()
        }
    };
}

buffer_callbacks!(READ: read_size, read_count, read_chunks, read_drain, read_prepend, read_append);
buffer_callbacks!(WRITE: write_size, write_count, write_chunks, write_drain, write_prepend, write_append);

unsafe extern "C" fn define_metric(_: *mut c_void, name: ModuleBuffer, id_out: *mut usize) -> Number {
    define(name, id_out)
}

unsafe extern "C" fn get_headers_size(envoy: *mut c_void, map: Number) -> usize {
    stream(envoy).headers[map as usize].as_ref().map_or(0, Vec::len)
}

unsafe extern "C" fn get_headers(envoy: *mut c_void, map: Number, out: *mut EnvoyHeader) -> bool {
    stream(envoy).headers[map as usize].as_ref().is_some_and(|pairs| {
        fill(
            out,
            pairs.iter().map(|(key, value)| EnvoyHeader {
                key_ptr: lend(key).ptr,
                key_length: key.len(),
                value_ptr: lend(value).ptr,
                value_length: value.len(),
            }),
        )
    })
}

unsafe extern "C" fn get_header_value(
    envoy: *mut c_void,
    map: Number,
    key: ModuleBuffer,
    out: *mut EnvoyBuffer,
    index: usize,
    _: *mut usize,
) -> bool {
    let pairs = stream(envoy).headers[map as usize].iter().flatten();
    answer(out, pairs.filter(|pair| pair.0 == read(key)).nth(index).map(|pair| lend(&pair.1)))
}

unsafe extern "C" fn get_string(envoy: *mut c_void, id: Number, out: *mut EnvoyBuffer) -> bool {
    let found = stream(envoy).strings.iter().find(|(own, _)| own.number() == id);
    answer(out, found.map(|(_, value)| lend(value)))
}

unsafe extern "C" fn get_response_code(_: *mut c_void) -> u32 {
    0
}

unsafe extern "C" fn get_timing(
    _: *mut c_void,
    out: *mut raw::envoy_dynamic_module_type_access_log_timing_info,
) {
    write(
        out,
        raw::envoy_dynamic_module_type_access_log_timing_info {
            start_time_unix_ns: 1,
            request_complete_duration_ns: -1,
            ..Default::default()
        },
    );
}

unsafe extern "C" fn get_sizes(_: *mut c_void, out: *mut raw::envoy_dynamic_module_type_bytes_info) {
    let sizes =
        raw::envoy_dynamic_module_type_bytes_info { bytes_received: 3, bytes_sent: 4, ..Default::default() };
    write(out, sizes);
}

unsafe extern "C" fn get_address(_: *mut c_void, out: *mut EnvoyBuffer, port: *mut u32) -> bool {
    write(port, 80);
    answer(out, Some(lend(b"127.0.0.1")))
}

unsafe extern "C" fn close(envoy: *mut c_void, _: Number, details: ModuleBuffer) {
    stream(envoy).told.push(format!("close {}", text(read(details))));
    reenter(envoy);
}

unsafe extern "C" fn continue_reading(envoy: *mut c_void) {
    stream(envoy).told.push("continue_reading".to_owned());
    reenter(envoy);
}

unsafe extern "C" fn get_worker_index(_: *mut c_void) -> u32 {
    1
}

/// The callbacks of this file.
pub(super) fn table() -> Callbacks {
    Callbacks {
        http_filter_get_worker_index: Some(get_worker_index),
        access_logger_config_define_counter: Some(define_metric),
        access_logger_config_define_gauge: Some(define_metric),
        access_logger_config_define_histogram: Some(define_metric),
        access_logger_increment_counter: update_callback!(increment_counter),
        access_logger_increment_gauge: update_callback!(increment_gauge),
        access_logger_decrement_gauge: update_callback!(decrement_gauge),
        access_logger_set_gauge: update_callback!(set_gauge),
        access_logger_record_histogram_value: update_callback!(record_histogram),
        access_logger_get_headers_size: Some(get_headers_size),
        access_logger_get_headers: Some(get_headers),
        access_logger_get_header_value: Some(get_header_value),
        access_logger_get_attribute_string: Some(get_string),
        access_logger_get_response_code: Some(get_response_code),
        access_logger_get_timing_info: Some(get_timing),
        access_logger_get_bytes_info: Some(get_sizes),
        access_logger_get_downstream_remote_address: Some(get_address),
        bootstrap_extension_config_signal_init_complete: Some(super::admin::signal),
        bootstrap_extension_register_admin_handler: Some(super::admin::add),
        bootstrap_extension_remove_admin_handler: Some(super::admin::remove),
        bootstrap_extension_admin_set_response: Some(super::admin::respond),
        bootstrap_extension_config_scheduler_new: Some(super::calls::scheduler_new),
        bootstrap_extension_config_scheduler_commit: Some(super::calls::scheduler_commit),
        bootstrap_extension_config_scheduler_delete: Some(super::calls::scheduler_delete),
        network_filter_config_define_counter: Some(define_metric),
        network_filter_config_define_gauge: Some(define_metric),
        network_filter_config_define_histogram: Some(define_metric),
        network_filter_config_increment_counter: update_callback!(increment_counter),
        network_filter_config_increment_gauge: update_callback!(increment_gauge),
        network_filter_config_decrement_gauge: update_callback!(decrement_gauge),
        network_filter_config_set_gauge: update_callback!(set_gauge),
        network_filter_config_record_histogram_value: update_callback!(record_histogram),
        network_filter_config_scheduler_new: Some(super::calls::scheduler_new),
        network_filter_config_scheduler_commit: Some(super::calls::scheduler_commit),
        network_filter_config_scheduler_delete: Some(super::calls::scheduler_delete),
        network_filter_increment_counter: update_callback!(increment_counter),
        network_filter_increment_gauge: update_callback!(increment_gauge),
        network_filter_decrement_gauge: update_callback!(decrement_gauge),
        network_filter_set_gauge: update_callback!(set_gauge),
        network_filter_record_histogram_value: update_callback!(record_histogram),
        network_filter_get_read_buffer_size: Some(read_size),
        network_filter_get_read_buffer_chunks_size: Some(read_count),
        network_filter_get_read_buffer_chunks: Some(read_chunks),
        network_filter_drain_read_buffer: Some(read_drain),
        network_filter_prepend_read_buffer: Some(read_prepend),
        network_filter_append_read_buffer: Some(read_append),
        network_filter_get_write_buffer_size: Some(write_size),
        network_filter_get_write_buffer_chunks_size: Some(write_count),
        network_filter_get_write_buffer_chunks: Some(write_chunks),
        network_filter_drain_write_buffer: Some(write_drain),
        network_filter_prepend_write_buffer: Some(write_prepend),
        network_filter_append_write_buffer: Some(write_append),
        network_filter_get_remote_address: Some(get_address),
        network_filter_get_attribute_string: Some(get_string),
        network_filter_close_with_details: Some(close),
        network_filter_continue_reading: Some(continue_reading),
        network_filter_http_callout: Some(super::calls::start_whole),
        ..Callbacks::default()
    }
}
