//! One hostcall with one set of arguments, called from every entry point of a plugin's life.

use graft::host::types::{Direction, Status};

use crate::guest::{Guest, exchange, say};

/// The entry points in the order of a life in which nothing is held: the root begins, a stream lives, the root ends.
const LIFE: [&str; 15] = [
    "root create",
    "vm start",
    "configure",
    "create",
    "request headers",
    "request body",
    "request trailers",
    "response headers",
    "response body",
    "response trailers",
    "log",
    "done",
    "delete",
    "root done",
    "root delete",
];

const ENTRY_POINTS: [&str; 12] = [
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_log",
    "proxy_on_done",
    "proxy_on_delete",
];

/// What a hostcall answers in each entry point, where that is not `usual`.
///
/// The exchange is [`exchange`]: it has every map and body, so what is not available is so because of the phase.
pub fn unusual(
    guest: Guest,
    usual: Status,
    hostcall: &str,
    arguments: &[i64],
) -> Vec<(&'static str, String)> {
    let call = say(hostcall, arguments);
    let mut vm = ENTRY_POINTS.iter().fold(guest, |guest, name| guest.on(name, &call)).start();
    let stream = vm.open(exchange());
    for direction in [Direction::Request, Direction::Response] {
        vm.vm.on_headers(stream, direction, false).unwrap();
        vm.vm.on_body(stream, direction, true).unwrap();
        vm.vm.on_trailers(stream, direction).unwrap();
    }
    vm.vm.on_log(stream).unwrap();
    vm.vm.end_stream(stream);
    let root = vm.root();
    vm.vm.retire_root(root);
    let said = vm.said();
    assert_eq!(said.len(), LIFE.len(), "{said:?}");
    let usual = (usual as u32).to_string();
    LIFE.into_iter().zip(said).filter(|(_, status)| *status != usual).collect()
}
