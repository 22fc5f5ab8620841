//! Hostcalls in callbacks in which what they are about is not there.

use crate::harness::Request;
use crate::parity::scenario::{Scenario, script};

/// All callbacks of a plugin and of its streams.
const CALLBACKS: [&str; 12] = [
    "context_create",
    "vm_start",
    "configure",
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "log",
    "done",
    "delete",
];

/// The operations, in each of the callbacks. The script is the VM's configuration as well, or it would not
/// be known before `on_configure`.
fn in_each(callbacks: &[&str], operations: &[String]) -> String {
    callbacks
        .iter()
        .flat_map(|callback| operations.iter().map(move |operation| format!("{callback}: {operation}")))
        .collect::<Vec<_>>()
        .join("\n")
}

const MAPS: [&str; 10] = [
    "request",
    "request-trailers",
    "response",
    "response-trailers",
    "grpc-initial",
    "grpc-trailing",
    "call",
    "call-trailers",
    "8",
    "-1",
];

const BUFFERS: [&str; 11] = [
    "request",
    "response",
    "downstream",
    "upstream",
    "call",
    "grpc",
    "vm-config",
    "plugin-config",
    "foreign",
    "9",
    "-1",
];

pub fn header_maps_in_wrong_phases() -> Scenario {
    let operations: Vec<_> = MAPS
        .iter()
        .flat_map(|map| [format!("get {map} x-missing"), format!("pairs {map}"), format!("size {map}")])
        .collect();
    script("reading every header map in every callback", "")
        .everywhere(&in_each(&CALLBACKS, &operations))
        .everything()
}

pub fn header_map_writes_in_wrong_phases() -> Scenario {
    // Maps that are there are written in other scenarios: here each write is to a name of its own.
    let operations: Vec<_> = MAPS
        .iter()
        .flat_map(|map| {
            [
                format!("add {map} x-added 1"),
                format!("replace {map} x-replaced 1"),
                format!("remove {map} x-missing"),
            ]
        })
        .collect();
    script("writing every header map in every callback", "")
        .everywhere(&in_each(&CALLBACKS, &operations))
        .everything()
}

pub fn buffers_in_wrong_phases() -> Scenario {
    let operations: Vec<_> = BUFFERS
        .iter()
        // What is in the configurations is this script: its size is enough.
        .flat_map(|buffer| [format!("buffer-get {buffer} 0 1"), format!("buffer-status {buffer}")])
        .collect();
    script("reading every buffer in every callback", "")
        .everywhere(&in_each(&CALLBACKS, &operations))
        .everything()
}

pub fn buffer_writes_in_wrong_phases() -> Scenario {
    let operations: Vec<_> = BUFFERS.iter().map(|buffer| format!("buffer-set {buffer} 0 0 x")).collect();
    script("writing every buffer in every callback", "")
        .everywhere(&in_each(&CALLBACKS, &operations))
        .everything()
}

const STREAMS: [&str; 6] = ["request", "response", "downstream", "upstream", "4", "-1"];

fn stream_control() -> Vec<String> {
    let mut operations: Vec<_> =
        STREAMS.iter().flat_map(|stream| [format!("continue {stream}"), format!("close {stream}")]).collect();
    operations.extend(["reply 418 teapot".to_owned(), "finish".to_owned()]);
    operations
}

pub fn stream_control_at_the_start() -> Scenario {
    script("resuming, closing and answering where there is no stream", "")
        .everywhere(&in_each(&["vm_start", "configure"], &stream_control()))
        .everything()
}

/// Without closing: there the built-in filter never comes back. The story `closing` shows what Graft does.
pub fn stream_control_at_the_end() -> Scenario {
    let operations: Vec<_> = stream_control()
        .into_iter()
        .filter(|operation| !operation.starts_with("close") && !operation.starts_with("reply"))
        .collect();
    script("resuming and answering when the stream is over", "")
        .everywhere(&in_each(&["log", "done", "delete"], &operations))
        .everything()
}

pub fn unknown_numbers() -> Scenario {
    script(
        "log levels, metric kinds, metrics and foreign functions that do not exist",
        "
        request_headers: log 6 \"beyond critical\"
        request_headers: log -1 \"below trace\"
        request_headers: define-metric 3 unknown_kind
        request_headers: define-metric -1 unknown_kind
        request_headers: increment-metric 4000 1
        request_headers: record-metric 4000 1
        request_headers: get-metric 4000
        request_headers: effective 4000
        request_headers: effective -1
        request_headers: finish
        ",
    )
    .step(Request::get("/"), crate::harness::Answer::status(200))
}

pub fn other_contexts() -> Scenario {
    script(
        "acting for the root context from a stream, and for no context",
        "
        request_headers: effective root
        request_headers: get request :path
        request_headers: pairs request
        request_headers: add request x-from-root 1
        request_headers: property plugin_name
        request_headers: log info \"as root\"
        request_headers: effective 0
        request_headers: get request :path
        request_headers: effective self
        request_headers: get request :path
        request_headers: add request x-from-self 1
        response_headers: effective root
        response_headers: reply 418 \"from the root\"
        ",
    )
    .everything()
}
