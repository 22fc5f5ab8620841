//! Trailers: read, written, removed, created.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script, scripts};

pub fn trailer_reads_and_writes() -> Scenario {
    let lines = [("request_trailers", "request-trailers"), ("response_trailers", "response-trailers")].map(
        |(callback, map)| {
            format!(
                "
                {callback}: pairs {map}
                {callback}: size {map}
                {callback}: get {map} x-request-trailer
                {callback}: get {map} x-response-trailer
                {callback}: get {map} x-missing
                {callback}: add {map} x-new added
                {callback}: add {map} x-new again
                {callback}: replace {map} x-request-trailer replaced
                {callback}: replace {map} x-response-trailer replaced
                {callback}: replace {map} x-fresh fresh
                {callback}: remove {map} x-missing
                {callback}: pairs {map}
                {callback}: get request x-request
                {callback}: get response x-response
                {callback}: buffer-get request 0 100
                {callback}: buffer-get response 0 100
                log: pairs {map}
                log: get {map} x-new
                "
            )
        },
    );
    script("reading and writing trailers in both directions", &lines.join("\n")).everything()
}

pub fn trailers_removed() -> Scenario {
    let lines = |operation: &str, arguments: &str| {
        ["request", "response"].map(|side| {
            let arguments = arguments.replace("SIDE", side);
            format!(
                "
                {side}_trailers: {operation} {side}-trailers {arguments}
                {side}_trailers: pairs {side}-trailers
                "
            )
        })
    };
    scripts("removing all trailers, and setting the whole map")
        .case("removed", &lines("remove", "x-SIDE-trailer").concat())
        .everything()
        .case("set", &lines("set-pairs", "x-set 1 x-also 2").concat())
        .everything()
}

pub fn trailers_created() -> Scenario {
    let lines = |hold: &str| {
        format!(
            "
            request_body: if-not-eos add request-trailers x-early early
            request_body: if-eos add request-trailers x-created created
            request_body: if-eos pairs request-trailers
            response_body: if-not-eos add response-trailers x-early early
            response_body: if-eos add response-trailers x-created created
            response_body: if-eos pairs response-trailers
            request_headers: if-eos add request-trailers x-header-only created
            response_headers: if-eos add response-trailers x-header-only created
            {hold}
            "
        )
    };
    scripts("adding trailers in the last body callback of a message that has none, and before it")
        .case("through", &lines(""))
        .two_chunks()
        .get("/")
        .step(Request::get("/"), Answer::status(200))
        .case("held", &lines("request_body: if-not-eos return 1\nresponse_body: if-not-eos return 1"))
        .two_chunks()
}

pub fn trailers_over_http2() -> Scenario {
    let script = script(
        "headers, bodies and trailers over HTTP/2, and a gRPC-like call, to an HTTP/2 upstream",
        "
        request_headers: pairs request
        request_body: buffer-get request 0 100
        request_trailers: pairs request-trailers
        request_trailers: add request-trailers x-new added
        response_headers: pairs response
        response_body: buffer-get response 0 100
        response_trailers: pairs response-trailers
        response_trailers: add response-trailers x-new added
        ",
    )
    .http2_upstream();
    let answer = Answer::ok(&[b"answer"]).trailers(&[("x-response-trailer", "value")]);
    let request = Request::post("/", &[b"body"]).trailers(&[("x-request-trailer", "value")]).over_http2();
    let grpc = Answer::ok(&[b"\0\0\0\0\x02ok"])
        .header("content-type", "application/grpc")
        .trailers(&[("grpc-status", "0"), ("grpc-message", "fine")]);
    script
        .step(request, answer)
        .step(Request::grpc("/package.Service/Method"), grpc)
        .step(Request::get("/").over_http2(), Answer::status(200))
}
