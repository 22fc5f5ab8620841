//! What an entry point returns: every number from 0 to 9, in every callback; holding and resuming.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, scripts};

/// For each number, a case in which `callback` returns it. Envoy ends what is held by its idle timeout.
fn each_number(about: &'static str, callback: &str) -> Scenario {
    (0..=9).fold(scripts(about), |scenario, number| {
        scenario.case(&format!("returns-{number}"), &format!("{callback}: return {number}")).everything()
    })
}

pub fn actions_without_bodies() -> Scenario {
    (0..=9).fold(
        scripts("0 to 9 from on_request_headers and on_response_headers, without a body"),
        |scenario, number| {
            scenario
                .case(&format!("request-{number}"), &format!("request_headers: return {number}"))
                .step(Request::get("/"), Answer::status(204))
                .case(&format!("response-{number}"), &format!("response_headers: return {number}"))
                .step(Request::get("/"), Answer::status(204))
        },
    )
}

pub fn actions_of_request_headers() -> Scenario {
    each_number("0 to 9 from on_request_headers, with body and trailers", "request_headers")
}

pub fn actions_of_request_headers_that_stop_iteration() -> Scenario {
    each_number("the same with allow_on_headers_stop_iteration", "request_headers")
        .set("allow_on_headers_stop_iteration", true)
}

pub fn actions_of_request_body() -> Scenario {
    each_number("0 to 9 from every on_request_body", "request_body")
}

pub fn actions_of_request_trailers() -> Scenario {
    each_number("0 to 9 from on_request_trailers", "request_trailers")
}

pub fn actions_of_response_headers() -> Scenario {
    each_number("0 to 9 from on_response_headers", "response_headers")
}

pub fn actions_of_response_headers_that_stop_iteration() -> Scenario {
    each_number("the same with allow_on_headers_stop_iteration", "response_headers")
        .set("allow_on_headers_stop_iteration", true)
}

pub fn actions_of_response_body() -> Scenario {
    each_number("0 to 9 from every on_response_body", "response_body")
}

pub fn actions_of_response_trailers() -> Scenario {
    each_number("0 to 9 from on_response_trailers", "response_trailers")
}

// A stream that resumes another one closes itself, or it would be held as well.

/// Each callback of a message, and the direction that it holds.
const CALLBACKS: [(&str, &str); 6] = [
    ("request_headers", "request"),
    ("request_body", "request"),
    ("request_trailers", "request"),
    ("response_headers", "response"),
    ("response_body", "response"),
    ("response_trailers", "response"),
];

pub fn held_streams_resumed() -> Scenario {
    CALLBACKS.iter().fold(
        scripts("a stream held in each callback, resumed by another stream"),
        |scenario, (callback, stream)| {
            let hold = match *callback {
                // The last chunk, so that nothing is on its way while the stream is resumed.
                "request_body" | "response_body" => format!(
                    "
                {callback}: if-not-eos return 1
                {callback}: continue-later {stream}
                {callback}: return 1
                "
                ),
                _ => format!("{callback}: continue-later {stream}\n{callback}: return 1"),
            };
            let lines = format!(
                "
            request_headers: if-header request x-resume 1 continue-parked
            request_headers: if-header request x-resume 1 close request
            request_headers: if-header request x-resume 1 return 0
            {hold}
            "
            );
            let (request, answer) = match *callback {
                "request_headers" => (Request::get("/held"), Answer::ok(&[b"answer"])),
                "request_body" => {
                    (Request::post("/held", &[b"request one, ", b"request two"]), Answer::ok(&[b"answer"]))
                }
                "response_headers" => (Request::get("/held"), Answer::status(204)),
                "response_body" => (Request::get("/held"), Answer::ok(&[b"answer one, ", b"answer two"])),
                _ => (
                    Request::post("/held", &[b"request one, ", b"request two"])
                        .trailers(&[("x-request-trailer", "value")]),
                    Answer::ok(&[b"answer one, ", b"answer two"])
                        .trailers(&[("x-response-trailer", "value")]),
                ),
            };
            let resumes = Request::get("/resumes").header("x-resume", "1");
            scenario.case(callback, &lines).held_until(" parked", request, answer, resumes)
        },
    )
}

pub fn resumed_in_the_same_callback() -> Scenario {
    CALLBACKS.iter().fold(
        scripts("continue_stream and then a pause, in one and the same callback"),
        |scenario, (callback, stream)| {
            let lines = format!(
                "
                {callback}: continue {stream}
                {callback}: pairs {stream}
                {callback}: buffer-get {stream} 0 100
                {callback}: return 1
                "
            );
            scenario.case(callback, &lines).everything()
        },
    )
}
