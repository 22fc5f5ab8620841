//! The callbacks of the fake Envoy, and the table of them.
//!
//! They take the other side of the line, so the facts that they lean on are those of the real callers turned around.

use std::ffi::{c_char, c_void};
use std::ptr;

use super::super::buffer::envoy_bytes;
use super::super::raw;
use super::super::table::Callbacks;
use super::super::types::Level;
use super::calls;
use super::{FakeStream, MetricUpdate, PROCESS, Pair, SentResponse};

type EnvoyBuffer = raw::envoy_dynamic_module_type_envoy_buffer;
type ModuleBuffer = raw::envoy_dynamic_module_type_module_buffer;
type ModuleHeader = raw::envoy_dynamic_module_type_module_http_header;
type EnvoyHeader = raw::envoy_dynamic_module_type_envoy_http_header;
type Number = std::ffi::c_uint;

/// The stream behind a pointer that a callback got.
pub(super) fn stream<'a>(envoy: *mut c_void) -> &'a mut FakeStream {
    // SAFETY: F3, the tests pass `FakeStream::as_envoy`, and the fake keeps no reference across a re-entry.
    unsafe { &mut *envoy.cast::<FakeStream>() }
}

/// The bit that tells a child span from its stream's, whose address is the stream's.
const CHILD: usize = 1;

fn stream_of_span<'a>(span: *mut c_void) -> (&'a mut FakeStream, &'static str) {
    let child = if span.addr() & CHILD == 0 { "" } else { "child " };
    (stream(span.map_addr(|address| address & !CHILD)), child)
}

pub(super) fn reenter(envoy: *mut c_void) {
    let action = stream(envoy).on_reenter.take();
    if let Some(mut action) = action {
        action();
        stream(envoy).on_reenter = Some(action);
    }
}

pub(super) fn read<'a>(buffer: ModuleBuffer) -> &'a [u8] {
    // SAFETY: F6 and F9 turned around, both kinds of buffer have one layout.
    unsafe { envoy_bytes(EnvoyBuffer { ptr: buffer.ptr, length: buffer.length }) }
}

pub(super) fn lend(bytes: &[u8]) -> EnvoyBuffer {
    EnvoyBuffer { ptr: bytes.as_ptr().cast::<c_char>(), length: bytes.len() }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) fn write<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: F8 turned around, the caller passes room for it.
        unsafe { out.write(value) };
    }
}

/// Writes all or answers false; how the callbacks that fill arrays work.
pub(super) fn fill<T>(out: *mut T, values: impl Iterator<Item = T>) -> bool {
    for (index, value) in values.enumerate() {
        // SAFETY: F8 turned around, the caller has asked for the number before.
        let slot = unsafe { out.add(index) };
        write(slot, value);
    }
    true
}

/// Writes the value, if there is one.
pub(super) fn answer<T>(out: *mut T, value: Option<T>) -> bool {
    value.map(|value| write(out, value)).is_some()
}

fn list<'a, T>(pointer: *const T, length: usize) -> &'a [T] {
    // SAFETY: F9 turned around.
    unsafe { std::slice::from_raw_parts(pointer, length) }
}

pub(super) fn pairs(headers: *const ModuleHeader, length: usize) -> Vec<Pair> {
    let pair = |header: &ModuleHeader| {
        let key = ModuleBuffer { ptr: header.key_ptr, length: header.key_length };
        let value = ModuleBuffer { ptr: header.value_ptr, length: header.value_length };
        (read(key).to_vec(), read(value).to_vec())
    };
    list(headers, length).iter().map(pair).collect()
}

pub(super) fn describe(pairs: &[Pair]) -> String {
    let described: Vec<_> =
        pairs.iter().map(|(key, value)| format!("{}={}", text(key), text(value))).collect();
    described.join(",")
}

fn metadata<'a>(envoy: *mut c_void, namespace: ModuleBuffer, key: ModuleBuffer) -> Option<&'a [u8]> {
    let found =
        stream(envoy).metadata.iter().find(|entry| entry.0 == read(namespace) && entry.1 == read(key));
    found.map(|entry| entry.2.as_slice())
}

pub(super) fn define(name: ModuleBuffer, id_out: *mut usize) -> Number {
    PROCESS.with_borrow_mut(|process| {
        if process.is_frozen {
            return raw::envoy_dynamic_module_type_metrics_result_Frozen;
        }
        write(id_out, process.metrics.len());
        process.metrics.push(text(read(name)));
        raw::envoy_dynamic_module_type_metrics_result_Success
    })
}

pub(super) fn update(what: &'static str, id: usize, labels: &[ModuleBuffer], value: u64) -> Number {
    PROCESS.with_borrow_mut(|process| {
        if id >= process.metrics.len() {
            return raw::envoy_dynamic_module_type_metrics_result_MetricNotFound;
        }
        let labels = labels.iter().map(|label| text(read(*label))).collect();
        process.updates.push(MetricUpdate { what, id, labels, value });
        raw::envoy_dynamic_module_type_metrics_result_Success
    })
}

/// A callback that updates a metric, named in Rust as in the log of updates.
macro_rules! update_callback {
    ($what:ident) => {{
        unsafe extern "C" fn $what(
            _: *mut c_void,
            id: usize,
            labels: *mut ModuleBuffer,
            n: usize,
            value: u64,
        ) -> Number {
            update(stringify!($what), id, list(labels, n), value)
        }
        Some($what as unsafe extern "C" fn(*mut c_void, usize, *mut ModuleBuffer, usize, u64) -> Number)
    }};
}

/// Every callback but those that no test needs.
#[allow(clippy::too_many_lines, reason = "one table, one entry after the other")]
pub(super) fn complete_table() -> Callbacks {
    unsafe extern "C" fn define_metric(
        _: *mut c_void,
        name: ModuleBuffer,
        _: *mut ModuleBuffer,
        _: usize,
        id_out: *mut usize,
    ) -> Number {
        define(name, id_out)
    }
    unsafe extern "C" fn log(level: Number, message: ModuleBuffer) {
        let line = (Level::try_from(level).unwrap(), text(read(message)));
        PROCESS.with_borrow_mut(|process| process.lines.push(line));
    }
    unsafe extern "C" fn log_enabled(level: Number) -> bool {
        PROCESS.with_borrow(|process| process.level.number() <= level)
    }
    unsafe extern "C" fn get_log_level() -> Number {
        PROCESS.with_borrow(|process| process.level.number())
    }
    unsafe extern "C" fn log_v2(level: Number, message: ModuleBuffer, _: ModuleBuffer, _: u32) {
        // SAFETY: F2, F9.
        unsafe { log(level, message) }
    }
    unsafe extern "C" fn get_concurrency() -> u32 {
        2
    }
    unsafe extern "C" fn is_validation_mode() -> bool {
        true
    }
    unsafe extern "C" fn get_header(
        envoy: *mut c_void,
        map: Number,
        key: ModuleBuffer,
        value_out: *mut EnvoyBuffer,
        index: usize,
        count_out: *mut usize,
    ) -> bool {
        let empty = Vec::new();
        let map = stream(envoy).headers[map as usize].as_ref().unwrap_or(&empty);
        let values: Vec<_> = map.iter().filter(|pair| pair.0 == read(key)).collect();
        write(count_out, values.len());
        answer(value_out, values.get(index).map(|pair| lend(&pair.1)))
    }
    unsafe extern "C" fn get_headers_size(envoy: *mut c_void, map: Number) -> usize {
        stream(envoy).headers[map as usize].as_ref().map_or(0, Vec::len)
    }
    unsafe extern "C" fn get_headers(envoy: *mut c_void, map: Number, out: *mut EnvoyHeader) -> bool {
        let Some(map) = &stream(envoy).headers[map as usize] else { return false };
        let header = |(key, value): &Pair| {
            let (key, value) = (lend(key), lend(value));
            EnvoyHeader {
                key_ptr: key.ptr,
                key_length: key.length,
                value_ptr: value.ptr,
                value_length: value.length,
            }
        };
        fill(out, map.iter().map(header))
    }
    unsafe extern "C" fn add_header(
        envoy: *mut c_void,
        map: Number,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool {
        let Some(map) = &mut stream(envoy).headers[map as usize] else { return false };
        map.push((read(key).to_vec(), read(value).to_vec()));
        true
    }
    unsafe extern "C" fn set_header(
        envoy: *mut c_void,
        map: Number,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool {
        let Some(map) = &mut stream(envoy).headers[map as usize] else { return false };
        let first = map.iter().position(|pair| pair.0 == read(key)).unwrap_or(map.len());
        map.retain(|pair| pair.0 != read(key));
        if !value.ptr.is_null() && value.length > 0 {
            map.insert(first, (read(key).to_vec(), read(value).to_vec()));
        }
        true
    }
    unsafe extern "C" fn get_body_size(envoy: *mut c_void, body: Number) -> usize {
        stream(envoy).bodies[body as usize].as_ref().map_or(0, |chunks| chunks.iter().map(Vec::len).sum())
    }
    unsafe extern "C" fn get_body_chunks_size(envoy: *mut c_void, body: Number) -> usize {
        stream(envoy).bodies[body as usize].as_ref().map_or(0, Vec::len)
    }
    unsafe extern "C" fn get_body_chunks(envoy: *mut c_void, body: Number, out: *mut EnvoyBuffer) -> bool {
        let Some(chunks) = &stream(envoy).bodies[body as usize] else { return false };
        fill(out, chunks.iter().map(|chunk| lend(chunk)))
    }
    unsafe extern "C" fn append_body(envoy: *mut c_void, body: Number, data: ModuleBuffer) -> bool {
        let is_received = body.is_multiple_of(2);
        let body = &mut stream(envoy).bodies[body as usize];
        if is_received && body.is_none() {
            return false;
        }
        body.get_or_insert_default().push(read(data).to_vec());
        true
    }
    unsafe extern "C" fn drain_body(envoy: *mut c_void, body: Number, length: usize) -> bool {
        let Some(chunks) = &mut stream(envoy).bodies[body as usize] else { return false };
        let mut all = chunks.concat();
        all.drain(..length.min(all.len()));
        *chunks = vec![all];
        true
    }
    unsafe extern "C" fn is_received_buffered(envoy: *mut c_void) -> bool {
        stream(envoy).is_received_buffered
    }
    unsafe extern "C" fn get_string(envoy: *mut c_void, id: Number, out: *mut EnvoyBuffer) -> bool {
        answer(
            out,
            stream(envoy).strings.iter().find(|entry| entry.0.number() == id).map(|entry| lend(&entry.1)),
        )
    }
    unsafe extern "C" fn get_int(envoy: *mut c_void, id: Number, out: *mut u64) -> bool {
        answer(out, stream(envoy).integers.iter().find(|entry| entry.0.number() == id).map(|entry| entry.1))
    }
    unsafe extern "C" fn get_bool(_: *mut c_void, _: Number, _: *mut bool) -> bool {
        false
    }
    unsafe extern "C" fn get_metadata_string(
        envoy: *mut c_void,
        _: Number,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        out: *mut EnvoyBuffer,
    ) -> bool {
        answer(out, metadata(envoy, namespace, key).map(lend))
    }
    unsafe extern "C" fn get_metadata_keys_count(
        envoy: *mut c_void,
        _: Number,
        namespace: ModuleBuffer,
    ) -> usize {
        stream(envoy).metadata.iter().filter(|entry| entry.0 == read(namespace)).count()
    }
    unsafe extern "C" fn get_metadata_keys(
        envoy: *mut c_void,
        _: Number,
        namespace: ModuleBuffer,
        out: *mut EnvoyBuffer,
    ) -> bool {
        let entries = stream(envoy).metadata.iter().filter(|entry| entry.0 == read(namespace));
        fill(out, entries.map(|entry| lend(&entry.1)))
    }
    unsafe extern "C" fn get_filter_state(
        envoy: *mut c_void,
        key: ModuleBuffer,
        out: *mut EnvoyBuffer,
    ) -> bool {
        answer(
            out,
            stream(envoy).filter_state.iter().find(|pair| pair.0 == read(key)).map(|pair| lend(&pair.1)),
        )
    }
    unsafe extern "C" fn set_filter_state(
        envoy: *mut c_void,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool {
        stream(envoy).filter_state.push((read(key).to_vec(), read(value).to_vec()));
        true
    }
    unsafe extern "C" fn get_typed_state(_: *mut c_void, _: ModuleBuffer, _: *mut EnvoyBuffer) -> bool {
        false
    }
    unsafe extern "C" fn set_typed_state(_: *mut c_void, _: ModuleBuffer, _: ModuleBuffer) -> bool {
        false
    }
    unsafe extern "C" fn send_response(
        envoy: *mut c_void,
        status: u32,
        headers: *mut ModuleHeader,
        n: usize,
        body: ModuleBuffer,
        details: ModuleBuffer,
    ) {
        stream(envoy).responses.push(SentResponse {
            status,
            headers: pairs(headers, n),
            body: read(body).to_vec(),
            details: read(details).to_vec(),
        });
        reenter(envoy);
    }
    unsafe extern "C" fn send_headers(envoy: *mut c_void, headers: *mut ModuleHeader, n: usize, _: bool) {
        stream(envoy).told.push(format!("headers {}", describe(&pairs(headers, n))));
    }
    unsafe extern "C" fn send_data(envoy: *mut c_void, data: ModuleBuffer, _: bool) {
        stream(envoy).told.push(format!("data {}", text(read(data))));
    }
    unsafe extern "C" fn send_trailers(envoy: *mut c_void, trailers: *mut ModuleHeader, n: usize) {
        stream(envoy).told.push(format!("trailers {}", describe(&pairs(trailers, n))));
    }
    unsafe extern "C" fn continue_decoding(envoy: *mut c_void) {
        stream(envoy).told.push("continue_decoding".to_owned());
        reenter(envoy);
    }
    unsafe extern "C" fn continue_encoding(envoy: *mut c_void) {
        stream(envoy).told.push("continue_encoding".to_owned());
        reenter(envoy);
    }
    unsafe extern "C" fn reset_stream(envoy: *mut c_void, _: Number, details: ModuleBuffer) {
        stream(envoy).told.push(format!("reset {}", text(read(details))));
        reenter(envoy);
    }
    unsafe extern "C" fn set_metadata_string(
        envoy: *mut c_void,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) {
        let entry = (read(namespace).to_vec(), read(key).to_vec(), read(value).to_vec());
        stream(envoy).metadata.push(entry);
    }
    unsafe extern "C" fn get_span(envoy: *mut c_void) -> *mut c_void {
        if stream(envoy).has_span { envoy } else { ptr::null_mut() }
    }
    unsafe extern "C" fn set_tag(span: *mut c_void, key: ModuleBuffer, value: ModuleBuffer) {
        let (stream, child) = stream_of_span(span);
        stream.told.push(format!("{child}tag {}={}", text(read(key)), text(read(value))));
    }
    unsafe extern "C" fn log_to_span(envoy: *mut c_void, _: *mut c_void, event: ModuleBuffer) {
        stream(envoy).told.push(format!("event {}", text(read(event))));
    }
    unsafe extern "C" fn start_child(
        envoy: *mut c_void,
        span: *mut c_void,
        operation: ModuleBuffer,
    ) -> *mut c_void {
        stream(envoy).told.push(format!("child {}", text(read(operation))));
        span.map_addr(|address| address | CHILD)
    }
    unsafe extern "C" fn finish_child(span: *mut c_void) {
        let (stream, child) = stream_of_span(span);
        stream.told.push(format!("{child}finished"));
    }
    unsafe extern "C" fn override_host(envoy: *mut c_void, host: ModuleBuffer, is_strict: bool) -> bool {
        stream(envoy).told.push(format!("host {} {is_strict}", text(read(host))));
        true
    }
    unsafe extern "C" fn clear_route_cache(envoy: *mut c_void) {
        stream(envoy).told.push("clear_route_cache".to_owned());
    }
    unsafe extern "C" fn get_buffer_limit(envoy: *mut c_void) -> u64 {
        stream(envoy).buffer_limit
    }
    unsafe extern "C" fn set_buffer_limit(envoy: *mut c_void, bytes: u64) {
        stream(envoy).buffer_limit = bytes;
    }
    unsafe extern "C" fn get_timing(_: *mut c_void, out: *mut raw::envoy_dynamic_module_type_timing_info) {
        let timing = raw::envoy_dynamic_module_type_timing_info {
            start_time_unix_ns: 1,
            last_downstream_tx_byte_sent_ns: -1,
            ..Default::default()
        };
        write(out, timing);
    }
    unsafe extern "C" fn get_route_config(envoy: *mut c_void) -> *const c_void {
        stream(envoy).route_config
    }

    Callbacks {
        log: Some(log),
        log_enabled: Some(log_enabled),
        get_log_level: Some(get_log_level),
        log_v2: Some(log_v2),
        get_concurrency: Some(get_concurrency),
        is_validation_mode: Some(is_validation_mode),
        http_filter_config_define_counter: Some(define_metric),
        http_filter_config_define_gauge: Some(define_metric),
        http_filter_config_define_histogram: Some(define_metric),
        http_filter_config_increment_counter: update_callback!(increment_counter),
        http_filter_config_increment_gauge: update_callback!(increment_gauge),
        http_filter_config_decrement_gauge: update_callback!(decrement_gauge),
        http_filter_config_set_gauge: update_callback!(set_gauge),
        http_filter_config_record_histogram_value: update_callback!(record_histogram),
        http_get_header: Some(get_header),
        http_get_headers_size: Some(get_headers_size),
        http_get_headers: Some(get_headers),
        http_add_header: Some(add_header),
        http_set_header: Some(set_header),
        http_get_body_size: Some(get_body_size),
        http_get_body_chunks_size: Some(get_body_chunks_size),
        http_get_body_chunks: Some(get_body_chunks),
        http_append_body: Some(append_body),
        http_drain_body: Some(drain_body),
        http_received_buffered_request_body: Some(is_received_buffered),
        http_received_buffered_response_body: Some(is_received_buffered),
        http_filter_get_attribute_string: Some(get_string),
        http_filter_get_attribute_int: Some(get_int),
        http_filter_get_attribute_bool: Some(get_bool),
        http_get_metadata_string: Some(get_metadata_string),
        http_get_metadata_keys_count: Some(get_metadata_keys_count),
        http_get_metadata_keys: Some(get_metadata_keys),
        http_get_filter_state_bytes: Some(get_filter_state),
        http_set_filter_state_bytes: Some(set_filter_state),
        http_get_filter_state_typed: Some(get_typed_state),
        http_set_filter_state_typed: Some(set_typed_state),
        http_set_dynamic_metadata_string: Some(set_metadata_string),
        http_get_active_span: Some(get_span),
        http_span_set_tag: Some(set_tag),
        http_span_log: Some(log_to_span),
        http_span_spawn_child: Some(start_child),
        http_child_span_finish: Some(finish_child),
        http_set_upstream_override_host: Some(override_host),
        http_send_response: Some(send_response),
        http_send_response_headers: Some(send_headers),
        http_send_response_data: Some(send_data),
        http_send_response_trailers: Some(send_trailers),
        http_filter_continue_decoding: Some(continue_decoding),
        http_filter_continue_encoding: Some(continue_encoding),
        http_filter_reset_stream: Some(reset_stream),
        http_clear_route_cache: Some(clear_route_cache),
        http_get_buffer_limit: Some(get_buffer_limit),
        http_set_buffer_limit: Some(set_buffer_limit),
        http_get_timing_info: Some(get_timing),
        http_filter_increment_counter: update_callback!(increment_counter),
        http_filter_increment_gauge: update_callback!(increment_gauge),
        http_filter_decrement_gauge: update_callback!(decrement_gauge),
        http_filter_set_gauge: update_callback!(set_gauge),
        http_filter_record_histogram_value: update_callback!(record_histogram),
        get_most_specific_route_config: Some(get_route_config),
        http_filter_http_callout: Some(calls::start_whole),
        http_filter_start_http_stream: Some(calls::start),
        http_filter_reset_http_stream: Some(calls::reset),
        http_stream_send_data: Some(calls::send_data),
        http_stream_send_trailers: Some(calls::send_trailers),
        http_filter_scheduler_new: Some(calls::scheduler_new),
        http_filter_scheduler_commit: Some(calls::scheduler_commit),
        http_filter_scheduler_delete: Some(calls::scheduler_delete),
        http_filter_config_start_http_stream: Some(calls::start),
        http_filter_config_reset_http_stream: Some(calls::reset),
        http_filter_config_stream_send_data: Some(calls::send_data),
        http_filter_config_stream_send_trailers: Some(calls::send_trailers),
        http_filter_config_scheduler_new: Some(calls::scheduler_new),
        http_filter_config_scheduler_commit: Some(calls::scheduler_commit),
        http_filter_config_scheduler_delete: Some(calls::scheduler_delete),
        bootstrap_extension_config_define_counter: Some(define_metric),
        bootstrap_extension_config_define_gauge: Some(define_metric),
        bootstrap_extension_config_define_histogram: Some(define_metric),
        bootstrap_extension_config_increment_counter: update_callback!(increment_counter),
        bootstrap_extension_config_increment_gauge: update_callback!(increment_gauge),
        bootstrap_extension_config_decrement_gauge: update_callback!(decrement_gauge),
        bootstrap_extension_config_set_gauge: update_callback!(set_gauge),
        bootstrap_extension_config_record_histogram_value: update_callback!(record_histogram),
        ..super::others::table()
    }
}
