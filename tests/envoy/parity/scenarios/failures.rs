//! Plugins that fail while they serve: in each callback, and in each way.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script, scripts};

/// A request that tells the plugin what to do.
fn exchange(what: &str) -> Request {
    Request::post("/", &[b"request one, ", b"request two"])
        .header("x-do", what)
        .trailers(&[("x-request-trailer", "value")])
}

fn answer() -> Answer {
    Answer::ok(&[b"answer one, ", b"answer two"]).trailers(&[("x-response-trailer", "value")])
}

/// Callbacks of a stream in which a plugin can panic, and what they mean for the stream.
const CALLBACKS: [&str; 9] = [
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

pub fn panic_in_each_callback() -> Scenario {
    CALLBACKS.iter().fold(scripts("a panic in each callback of a stream").isolated(), |scenario, callback| {
        scenario.case(callback, &format!("{callback}: panic \"as told\"")).everything()
    })
}

pub fn panic_in_a_later_callback() -> Scenario {
    ["request_body", "response_body"].iter().fold(
        scripts("a panic in the second chunk: the first is already through, or held").isolated(),
        |scenario, callback| {
            scenario
                .case(&format!("{callback}-through"), &format!("{callback}: if-nth 2 panic \"as told\""))
                .everything()
                .case(
                    &format!("{callback}-held"),
                    &format!("{callback}: if-nth 1 return 1\n{callback}: if-nth 2 panic \"as told\""),
                )
                .everything()
        },
    )
}

pub fn panic_in_context_create() -> Scenario {
    script("a panic in on_context_create of a stream", "context_create: if-stream panic \"as told\"")
        .everything()
}

pub fn streams_after_a_panic() -> Scenario {
    script(
        "the streams after one that panicked",
        "request_headers: if-header request x-do panic panic \"as told\"",
    )
    .step(exchange("panic"), answer())
    .step(exchange("nothing"), answer())
    .step(exchange("nothing"), answer())
}

pub fn traps_of_all_kinds() -> Scenario {
    ["trap", "bad-access", "recurse", "exit 3"].iter().fold(
        scripts("unreachable, a read beyond the memory, recursion without end, proc_exit").isolated(),
        |scenario, kind| {
            let name = kind.split(' ').next().unwrap_or_default();
            scenario.case(name, &format!("request_headers: {kind}")).step(exchange("trap"), answer())
        },
    )
}

pub fn failures_that_pass() -> Scenario {
    CALLBACKS
        .iter()
        .take(6)
        .fold(
            scripts("FAIL_OPEN: a panic in each callback, and the stream after it").isolated(),
            |scenario, callback| {
                scenario
                    .case(callback, &format!("{callback}: panic \"as told\""))
                    .everything()
                    .step(exchange("nothing"), answer())
            },
        )
        .set("failure_policy", "FAIL_OPEN")
}
