//! Ordinary plugins of each SDK, and of the oldest ABI.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Code, Scenario};

/// What a plugin of an SDK is asked: bodies, trailers, an answer of its own.
fn requests(scenario: Scenario) -> Scenario {
    let marked = Request::post("/change?x=1", &[b"request one, ", b"request two"])
        .header("x-repeated", "first")
        .header("x-repeated", "second")
        .header("x-unwanted", "yes")
        .trailers(&[("x-check", "sum")]);
    let answer = Answer::ok(&[b"answer one, ", b"answer two"]).trailers(&[("x-checked", "not yet")]);
    scenario
        .get("/")
        .everything()
        .step(marked, answer)
        .step(
            Request::post("/length", &[b"in one piece"]).header("content-length", "12"),
            Answer::ok(&[b"also in one piece"]).header("content-length", "17"),
        )
        .get("/local")
        .step(Request::get("/local").over_http2(), Answer::status(200))
}

pub fn rust_sdk() -> Scenario {
    let scenario = Scenario::new("the Rust SDK: traits, safe hostcalls, log macros", Code::Built("sdk-http"));
    requests(scenario.case("rust", "Hello"))
}

pub fn go_sdk() -> Scenario {
    let scenario = requests(
        Scenario::new("the Go SDK, built by standard Go as a reactor", Code::Built("sdk-go"))
            .case("go", "Hello"),
    );
    ["/append", "/prepend", "/empty"].into_iter().fold(scenario, |scenario, path| {
        scenario.step(Request::post(path, &[b"the ", b"body"]), Answer::echo())
    })
}

pub fn assemblyscript() -> Scenario {
    let scenario =
        Scenario::new("AssemblyScript", Code::Built("sdk-assemblyscript")).case("assemblyscript", "Hello");
    requests(scenario)
}

pub fn cpp() -> Scenario {
    requests(
        Scenario::new("C++ with static objects and the standard library", Code::Built("journal"))
            .case("cpp", " > "),
    )
}

pub fn abi_0_1_0() -> Scenario {
    let scenario = Scenario::new("a plugin of ABI 0.1.0, in C", Code::Built("legacy"))
        .case("legacy", "the configuration")
        .get("/")
        .everything();
    ["resume", "pause", "resume-response"].into_iter().fold(scenario, |scenario, what| {
        scenario.step(Request::get("/").header("x-do", what), Answer::ok(&[b"answer"]))
    })
}

pub fn example_add_header() -> Scenario {
    Scenario::new("the example add-header (Rust)", Code::Built("add-header"))
        .case("configured", r#"{"header": "x-added", "value": "by the plugin"}"#)
        .get("/")
        .everything()
}

pub fn example_request_id_guard() -> Scenario {
    Scenario::new("the example request-id-guard (C)", Code::Built("request-id-guard"))
        .case("guard", "x-request-id")
        .get("/without")
        .step(Request::get("/with").header("x-request-id", "1"), Answer::ok(&[b"answer"]))
        .step(Request::post("/body", &[b"one", b"two"]), Answer::ok(&[b"answer"]))
}

pub fn example_redact_body() -> Scenario {
    let answer = Answer::ok(&[br#"{"user": "ann", "#, br#""password": "secret", "n": 1}"#])
        .header("content-type", "application/json")
        .header("content-length", "45");
    Scenario::new("the example redact-body (AssemblyScript)", Code::Built("redact-body"))
        .case("redact", "password")
        .step(Request::get("/json"), answer)
        .get("/text")
        .step(Request::get("/none"), Answer::status(204))
}
