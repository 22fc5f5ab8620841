//! Calls and schedulers of the fake Envoy, of streams and of configurations alike: they are numbers, and what is asked of
//! them is told in order.

use std::ffi::c_void;
use std::ptr;

use super::super::CallRefusal;
use super::super::raw;
use super::PROCESS;
use super::callbacks::{describe, pairs, read, text, write};

type ModuleBuffer = raw::envoy_dynamic_module_type_module_buffer;
type ModuleHeader = raw::envoy_dynamic_module_type_module_http_header;

fn tell(what: String) {
    PROCESS.with_borrow_mut(|process| process.told.push(what));
}

fn next_number() -> u64 {
    PROCESS.with_borrow_mut(|process| {
        process.last_number = process.last_number.saturating_add(1);
        process.last_number
    })
}

pub(super) unsafe extern "C" fn start(
    _owner: *mut c_void,
    number_at: *mut u64,
    cluster: ModuleBuffer,
    headers: *mut ModuleHeader,
    length: usize,
    body: ModuleBuffer,
    end_of_stream: bool,
    timeout: u64,
) -> raw::envoy_dynamic_module_type_http_callout_init_result {
    match PROCESS.with_borrow(|process| process.refusal) {
        None => {}
        Some(CallRefusal::MissingHeaders) => {
            return raw::envoy_dynamic_module_type_http_callout_init_result_MissingRequiredHeaders;
        }
        Some(CallRefusal::NoCluster) => {
            return raw::envoy_dynamic_module_type_http_callout_init_result_ClusterNotFound;
        }
        Some(CallRefusal::Failed) => {
            return raw::envoy_dynamic_module_type_http_callout_init_result_CannotCreateRequest;
        }
    }
    let number = next_number();
    write(number_at, number);
    let (cluster, headers, body) = (text(read(cluster)), describe(&pairs(headers, length)), text(read(body)));
    tell(format!("start {number}: {cluster} [{headers}] {body:?} {end_of_stream} {timeout}"));
    raw::envoy_dynamic_module_type_http_callout_init_result_Success
}

/// A call that has one answer.
pub(super) unsafe extern "C" fn start_whole(
    owner: *mut c_void,
    number_at: *mut u64,
    cluster: ModuleBuffer,
    headers: *mut ModuleHeader,
    length: usize,
    body: ModuleBuffer,
    timeout: u64,
) -> raw::envoy_dynamic_module_type_http_callout_init_result {
    // SAFETY: F2, with the arguments of the caller.
    unsafe { start(owner, number_at, cluster, headers, length, body, true, timeout) }
}

pub(super) unsafe extern "C" fn reset(_owner: *mut c_void, number: u64) {
    tell(format!("reset {number}"));
}

pub(super) unsafe extern "C" fn send_data(
    _owner: *mut c_void,
    number: u64,
    data: ModuleBuffer,
    end_of_stream: bool,
) -> bool {
    tell(format!("data {number}: {:?} {end_of_stream}", text(read(data))));
    true
}

pub(super) unsafe extern "C" fn send_trailers(
    _owner: *mut c_void,
    number: u64,
    trailers: *mut ModuleHeader,
    length: usize,
) -> bool {
    tell(format!("trailers {number}: {}", describe(&pairs(trailers, length))));
    true
}

pub(super) unsafe extern "C" fn scheduler_new(_owner: *mut c_void) -> *mut c_void {
    let number = next_number();
    tell(format!("new scheduler {number}"));
    ptr::without_provenance_mut(usize::try_from(number).unwrap())
}

pub(super) unsafe extern "C" fn scheduler_commit(scheduler: *mut c_void, event_id: u64) {
    tell(format!("scheduler {}: {event_id}", scheduler.addr()));
}

pub(super) unsafe extern "C" fn scheduler_delete(scheduler: *mut c_void) {
    tell(format!("delete scheduler {}", scheduler.addr()));
}
