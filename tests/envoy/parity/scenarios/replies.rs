//! Answers that a plugin gives itself, from each callback, and streams that it closes.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script, scripts};

/// What the plugin sees of an answer.
const LOOK: &str = "
    response_headers: pairs response
    response_body: buffer-get response 0 100
    log: get response :status
    log: property response.code_details
";

/// The plugin answers in `callback`, in three ways, and says what it sees of its own answer.
fn reply_from(about: &'static str, callback: &str) -> Scenario {
    let ways = [
        ("plain", "reply 403 \"not for you\""),
        ("full", "reply-full 418 \"with details\" -1 \"a teapot\" x-plugin yes X-Capital Yes"),
        ("empty", "reply 204"),
    ];
    ways.iter().fold(scripts(about), |scenario, (name, operation)| {
        scenario.case(name, &format!("{callback}: if-nth 1 {operation}{LOOK}")).everything()
    })
}

pub fn reply_from_request_headers() -> Scenario {
    reply_from("a local response from on_request_headers", "request_headers")
        .case(
            "by-client",
            &format!("request_headers: reply-full 418 details -1 \"a teapot\" x-plugin yes{LOOK}"),
        )
        .get("/")
        .step(Request::new("HEAD", "/"), Answer::status(200))
        .step(Request::get("/").over_http2(), Answer::status(200))
}

pub fn reply_from_request_body() -> Scenario {
    reply_from("a local response from on_request_body", "request_body")
}

pub fn reply_from_request_trailers() -> Scenario {
    reply_from("a local response from on_request_trailers", "request_trailers")
}

pub fn reply_from_response_headers() -> Scenario {
    reply_from("a local response from on_response_headers", "response_headers")
}

pub fn reply_from_response_body() -> Scenario {
    reply_from("a local response from on_response_body", "response_body")
}

pub fn reply_from_response_trailers() -> Scenario {
    reply_from("a local response from on_response_trailers", "response_trailers")
}

pub fn reply_to_grpc() -> Scenario {
    let look =
        "response_headers: pairs response\nlog: get response grpc-status\nlog: get response grpc-message";
    let call = |scenario: Scenario| {
        let answer = Answer::ok(&[b"\0\0\0\0\x02ok"])
            .header("content-type", "application/grpc")
            .trailers(&[("grpc-status", "0")]);
        scenario.step(Request::grpc("/package.Service/Method"), answer)
    };
    let codes = [200, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504];
    let scenario = codes.iter().fold(
        scripts("a local response to a gRPC call: its grpc-status and grpc-message").http2_upstream(),
        |scenario, code| {
            call(
                scenario.case(&format!("http-{code}"), &format!("request_headers: reply {code} why\n{look}")),
            )
        },
    );
    let others = [
        ("explicit", "request_headers: reply-full 403 d 7 \"a message with % and \\x01\""),
        ("ok", "request_headers: reply-full 200 d 0 \"\""),
        ("beyond", "request_headers: reply-full 403 d 17 why"),
        (
            "with-headers",
            "request_headers: reply-full 403 d 7 why x-plugin yes grpc-status 3 content-type text/plain",
        ),
        ("from-response", "response_headers: reply-full 403 d 7 why"),
        ("from-response-body", "response_body: reply-full 403 d 7 why"),
    ];
    others.iter().fold(scenario, |scenario, (name, operation)| {
        call(scenario.case(name, &format!("{operation}\n{look}")))
    })
}

pub fn reply_with_odd_arguments() -> Scenario {
    let cases = [
        ("zero", "reply 0 zero"),
        ("ninety-nine", "reply 99 low"),
        ("thousand", "reply 1000 high"),
        ("negative", "reply -1 negative"),
        ("length", "reply-full 200 d -1 body content-length 99"),
        ("status", "reply-full 200 d -1 body :status 201"),
        ("type", "reply-full 200 d -1 body content-type application/json"),
        ("spaces", "reply-full 200 \"some  spaced details\" -1 body"),
        ("no-details", "reply-full 200 \"\" -1 body"),
        ("same-twice", "reply-full 200 d -1 body x-a 1 x-a 2"),
        ("grpc-without-grpc", "reply-full 403 d 7 body"),
        ("empty-value", "reply-full 200 d -1 body x-empty \"\""),
        ("large", "reply-full 200 d -1 \"body \"**50000"),
    ];
    cases.iter().fold(
        scripts("statuses out of range, headers that Envoy sets itself, details with spaces"),
        |scenario, (name, operation)| {
            scenario
                .case(name, &format!("request_headers: {operation}\nlog: property response.code_details"))
                .get("/")
        },
    )
}

/// With a body to come: a request that was sent on before the answer is then never whole at the upstream, and
/// how far it came does not count.
pub fn reply_twice() -> Scenario {
    let cases = [
        ("in-one-callback", "request_headers: reply 401 first\nrequest_headers: reply 402 second"),
        ("in-two-callbacks", "request_headers: reply 401 first\nresponse_headers: reply 402 second"),
        ("then-resumed", "request_headers: reply 401 first\nrequest_headers: continue request"),
        ("after-resume", "request_headers: continue request\nrequest_headers: reply 401 second"),
        ("then-written", "request_headers: reply 401 first\nrequest_headers: add request x-after 1"),
        ("then-continue", "request_headers: reply 401 first\nrequest_headers: return 0"),
    ];
    cases.iter().fold(
        scripts("two local responses, in one callback and in two; one with a resume, one with Continue"),
        |scenario, (name, lines)| scenario.case(name, &format!("{lines}{LOOK}")).everything(),
    )
}

pub fn answers_of_others() -> Scenario {
    let lines = format!("{LOOK}\nresponse_headers: add response x-seen yes");
    script("answers that Envoy gives itself, and an upstream that breaks off", &lines)
        .step(Request::get("/"), Answer::ok(&[b"half"]).broken())
        .step(Request::get("/"), Answer::status(200).broken())
        .step(Request::get("/").header("host", ""), Answer::status(200))
        .step(Request::get("/"), Answer::status(503))
}

/// Not from the trailers of a response: there the built-in filter takes Envoy down with it. The story
/// `closing` shows what Graft does.
pub fn close_from_each_callback() -> Scenario {
    let callbacks =
        ["request_headers", "request_body", "request_trailers", "response_headers", "response_body"];
    callbacks.iter().fold(
        scripts("close_stream, of either direction, from each callback"),
        |scenario, callback| {
            ["request", "response"].iter().fold(scenario, |scenario, stream| {
                let lines =
                    format!("{callback}: if-nth 1 close {stream}\nlog: property response.code_details");
                scenario.case(&format!("{callback}-{stream}"), &lines).everything()
            })
        },
    )
}
