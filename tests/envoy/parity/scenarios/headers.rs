//! Header maps, read and written.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script, scripts};

/// A request and a response with repeated, mixed-case and long headers.
fn exchange(scenario: Scenario) -> Scenario {
    let request = Request::get("/path?query=1")
        .header("x-one", "1")
        .header("X-Mixed-Case", "Mixed Value")
        .header("x-twice", "first")
        .header("x-twice", "second")
        .header("x-gone", "to be removed")
        .header("cookie", "a=1; b=2");
    let answer = Answer::ok(&[b"body"])
        .header("x-one", "1")
        .header("X-Mixed-Case", "Mixed Value")
        .header("set-cookie", "first")
        .header("set-cookie", "second")
        .header("x-gone", "to be removed");
    scenario.step(request, answer)
}

pub fn header_reads() -> Scenario {
    let reads = ["request_headers", "request_body", "response_headers", "response_body", "log", "done"].map(
        |callback| {
            format!(
                "
            {callback}: get request :method
            {callback}: get request :path
            {callback}: get request x-one
            {callback}: get request X-ONE
            {callback}: get request x-mixed-case
            {callback}: get request x-twice
            {callback}: get request x-missing
            {callback}: get request \"\"
            {callback}: get response :status
            {callback}: get response x-one
            {callback}: get response set-cookie
            {callback}: get response x-missing
            {callback}: pairs request
            {callback}: pairs response
            {callback}: size request
            {callback}: size response
            "
            )
        },
    );
    exchange(script(
        "reading headers in every callback: present, missing, repeated, in capitals",
        &reads.join("\n"),
    ))
    .step(Request::post("/post", &[b"body"]), Answer::status(204))
}

pub fn request_header_writes() -> Scenario {
    exchange(script(
        "adding, replacing and removing request headers, and setting the whole map",
        "
        request_headers: add request x-new added
        request_headers: add request x-one again
        request_headers: add request X-Capital Added
        request_headers: get request x-capital
        request_headers: replace request x-twice replaced
        request_headers: replace request x-fresh fresh
        request_headers: remove request x-gone
        request_headers: remove request x-missing
        request_headers: pairs request
        response_headers: add request x-late late
        response_headers: get request x-late
        ",
    ))
    .step(Request::get("/second").header("x-map", "1"), Answer::status(200))
}

pub fn response_header_writes() -> Scenario {
    exchange(script(
        "adding, replacing and removing response headers, and setting the whole map",
        "
        request_headers: add response x-early early
        response_headers: add response x-new added
        response_headers: add response x-one again
        response_headers: add response X-Capital Added
        response_headers: replace response set-cookie replaced
        response_headers: replace response x-fresh fresh
        response_headers: remove response x-gone
        response_headers: remove response x-missing
        response_headers: pairs response
        response_body: add response x-late late
        log: add response x-too-late late
        log: get response x-too-late
        ",
    ))
}

pub fn pseudo_header_writes() -> Scenario {
    scripts("changing method, path, authority and status; setting whole maps")
        .case(
            "replaced",
            "
            request_headers: replace request :method PUT
            request_headers: replace request :path /changed?by=plugin
            request_headers: replace request :authority other.test
            request_headers: pairs request
            response_headers: replace response :status 201
            response_headers: pairs response
            ",
        )
        .get("/")
        .everything()
        .case(
            "set",
            "
            request_headers: set-pairs request :method GET :path /set :authority set.test :scheme http x-only one
            request_headers: pairs request
            response_headers: set-pairs response :status 202 x-only two
            response_headers: pairs response
            ",
        )
        .get("/")
        .case("removed-path", "request_headers: remove request :path")
        .get("/")
        .case("removed-status", "response_headers: remove response :status")
        .get("/")
        .case("bad-status", "response_headers: replace response :status 9999")
        .get("/")
        .case("no-status", "response_headers: replace response :status teapot")
        .get("/")
}

pub fn empty_header_values() -> Scenario {
    exchange(script(
        "headers with an empty value",
        "
        request_headers: add request x-empty \"\"
        request_headers: get request x-empty
        request_headers: replace request x-one \"\"
        request_headers: get request x-one
        response_headers: add response x-empty \"\"
        response_headers: get response x-empty
        response_headers: replace response x-one \"\"
        response_headers: get response x-one
        ",
    ))
    .step(Request::get("/").header("x-sent-empty", ""), Answer::status(200).header("x-sent-empty", ""))
}

pub fn odd_header_pairs() -> Scenario {
    let scenario = [
        ("empty", "set-pairs-raw request \"\""),
        ("zero", "set-pairs-raw request \"\\0\\0\\0\\0\""),
        ("short", "set-pairs-raw request \"\\x01\\0\\0\\0\\x05\\0\\0\\0\""),
        ("huge", "set-pairs-raw request \"\\xff\\xff\\xff\\xff\""),
        ("bytes", "add request x-bytes \"\\x80\\xff\""),
        ("long", "add request x-long \"v\"**5000"),
    ]
    .iter()
    .fold(
        scripts("encoded pairs that are short, long, empty or wrong; values that are not text"),
        |scenario, (name, operation)| {
            let lines = format!("request_headers: {operation}\nrequest_headers: pairs request");
            scenario.case(name, &lines).get("/")
        },
    );
    scenario
        .case(
            "response-bytes",
            "response_headers: add response x-bytes \"\\x80\\xfe\"\nresponse_headers: get response x-bytes",
        )
        .get("/")
        .case("response-empty", "response_headers: set-pairs-raw response \"\"")
        .get("/")
}
