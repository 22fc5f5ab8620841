//! Bodies: read, edited, replaced, held, over the limit.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Code, Scenario, script, scripts};

/// What a plugin that changes the size of a body has to do.
const FORGET_LENGTH: &str = "
    request_headers: remove request content-length
    response_headers: remove response content-length
";

pub fn body_reads() -> Scenario {
    let reads = [("request_body", "request"), ("response_body", "response")].map(|(callback, buffer)| {
        format!(
            "
            {callback}: buffer-status {buffer}
            {callback}: buffer-get {buffer} 0 1000
            {callback}: buffer-get {buffer} 0 3
            {callback}: buffer-get {buffer} 2 4
            {callback}: buffer-get {buffer} 2 1000
            {callback}: buffer-get {buffer} 12 1
            {callback}: buffer-get {buffer} 1000 1
            {callback}: buffer-get {buffer} 0 0
            {callback}: buffer-get {buffer} 0 -1
            {callback}: buffer-get {buffer} -1 1
            {callback}: buffer-get {buffer} -1 -1
            "
        )
    });
    script("reading ranges of a chunk: inside, past the end, wrapping around", &reads.join("\n"))
        .two_chunks()
        .everything()
}

pub fn body_edits_of_each_chunk() -> Scenario {
    let edits = [
        ("prepend", "0 0 \"<\""),
        ("append", "1000 0 \">\""),
        ("append-at-the-end", "-1 0 \">\""),
        ("replace", "0 1000 \"other\""),
        ("replace-start", "0 7 \"other\""),
        ("splice", "3 2 \"|\""),
        ("cut-nothing", "0 0 \"\""),
        ("cut-end", "3 1000 \"\""),
        ("wrap", "1 -1 \"|\""),
    ];
    edits.iter().fold(
        scripts("editing each chunk: before, after, instead, inside"),
        |scenario, (name, arguments)| {
            let lines = ["request", "response"].map(|buffer| {
                format!(
                    "
                {buffer}_body: buffer-set {buffer} {arguments}
                {buffer}_body: buffer-status {buffer}
                {buffer}_body: buffer-get {buffer} 0 1000
                "
                )
            });
            scenario.case(name, &format!("{FORGET_LENGTH}{}", lines.concat())).two_chunks()
        },
    )
}

pub fn whole_bodies_replaced() -> Scenario {
    script(
        "holding a body until it is whole, then replacing it",
        &format!(
            "{FORGET_LENGTH}
            request_body: buffer-get request 0 1000
            request_body: if-not-eos return 1
            request_body: buffer-set request 0 1000 \"the whole request\"
            request_body: buffer-get request 0 1000
            response_body: buffer-get response 0 1000
            response_body: if-not-eos return 1
            response_body: buffer-set response 0 7 \"the start\"
            response_body: buffer-set response 1000 0 \" and the end\"
            response_body: buffer-get response 0 1000
            "
        ),
    )
    .two_chunks()
    .everything()
    .step(
        Request::post("/three", &[b"one ", b"two ", b"three"]),
        Answer::ok(&[b"answer ", b"in three ", b"parts"]),
    )
    .step(
        Request::post("/length", &[b"in one piece"]).header("content-length", "12"),
        Answer::ok(&[b"also in one piece"]).header("content-length", "17"),
    )
}

pub fn bodies_emptied() -> Scenario {
    let empty = "
        request_body: buffer-set request 0 1000 \"\"
        request_body: buffer-status request
        response_body: buffer-set response 0 1000 \"\"
        response_body: buffer-status response
    ";
    let hold = "
        request_body: if-not-eos return 1
        response_body: if-not-eos return 1
    ";
    scripts("removing a body: each chunk, and whole")
        .case("each", &format!("{FORGET_LENGTH}{empty}"))
        .two_chunks()
        .everything()
        .case("whole", &format!("{FORGET_LENGTH}{hold}{empty}"))
        .two_chunks()
}

pub fn chunks_held_and_dropped() -> Scenario {
    let firsts = [1, 2, 3];
    firsts.iter().fold(
        scripts(
            "the first chunk answered with 1 (buffer), 2 (watermark), 3 (do not buffer), the next with 0",
        ),
        |scenario, first| {
            let lines = ["request", "response"].map(|buffer| {
                format!(
                    "
                    {buffer}_body: buffer-status {buffer}
                    {buffer}_body: buffer-get {buffer} 0 1000
                    {buffer}_body: if-nth 1 return {first}
                    "
                )
            });
            scenario.case(&format!("first-{first}"), &lines.concat()).two_chunks().everything().step(
                Request::post("/three", &[b"one ", b"two ", b"three"]),
                Answer::ok(&[b"answer ", b"in three ", b"parts"]),
            )
        },
    )
}

/// Thirty-two chunks of 32 KiB, each of another letter.
fn mebibyte() -> Vec<Vec<u8>> {
    (0..32).map(|index| vec![b'a' + index % 26; 32 * 1024]).collect()
}

pub fn bodies_of_a_mebibyte() -> Scenario {
    let chunks = mebibyte();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    scripts("1 MiB in 32 chunks each way: through, and held until it is whole")
        .buffer_limit(2 * 1024 * 1024)
        .case(
            "through",
            "request_body: buffer-get request 0 2000000\nresponse_body: buffer-get response 0 2000000",
        )
        .step(Request::post("/", &chunks), Answer::ok(&chunks))
        .case(
            "whole",
            &format!(
                "{FORGET_LENGTH}
                request_body: if-not-eos return 1
                request_body: buffer-set request 1048576 0 \" and the end\"
                request_body: buffer-get request 0 2000000
                response_body: if-not-eos return 1
                response_body: buffer-set response 0 0 \"the start and \"
                response_body: buffer-get response 0 2000000
                "
            ),
        )
        .step(Request::post("/", &chunks), Answer::ok(&chunks))
}

pub fn request_body_over_the_limit() -> Scenario {
    let chunks: Vec<Vec<u8>> = mebibyte();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    Scenario::new("1 MiB held with a buffer limit of 64 KiB: 413", Code::Text(HOLDS_REQUESTS))
        .buffer_limit(64 * 1024)
        .case("plugin", "")
        .step(Request::post("/", &chunks), Answer::status(200))
        .get("/next")
}

/// A guest that holds request bodies and says nothing: how many chunks Envoy reads before the limit is a
/// matter of time.
const HOLDS_REQUESTS: &str = r#"
    (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) (i32.const 1))
"#;

pub fn response_body_over_the_limit() -> Scenario {
    let chunks: Vec<Vec<u8>> = mebibyte();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    Scenario::new(
        "1 MiB held with a buffer limit of 64 KiB: 500 while the headers are held, too",
        Code::Text(HOLDS_RESPONSES),
    )
    .buffer_limit(64 * 1024)
    .set("allow_on_headers_stop_iteration", true)
    .case("plugin", "")
    .step(Request::get("/"), Answer::ok(&chunks))
    .get("/next")
}

const HOLDS_RESPONSES: &str = r#"
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 1))
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
      (i32.eqz (local.get 2)))
"#;

pub fn response_body_over_the_limit_after_its_headers() -> Scenario {
    let chunks: Vec<Vec<u8>> = mebibyte();
    let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
    Scenario::new("the same when the headers are out: the response breaks", Code::Text(HOLDS_RESPONSE_BODIES))
        .buffer_limit(64 * 1024)
        .case("plugin", "")
        .step(Request::get("/"), Answer::ok(&chunks))
        .get("/next")
}

const HOLDS_RESPONSE_BODIES: &str = r#"
    (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
      (i32.eqz (local.get 2)))
"#;

pub fn bodies_without_chunks() -> Scenario {
    script(
        "a length instead of chunks, no body, HEAD, 204, 304",
        "
        request_body: buffer-get request 0 100
        response_headers: pairs response
        response_body: buffer-get response 0 100
        ",
    )
    .step(
        Request::post("/", &[b"request"]).header("content-length", "7"),
        Answer::ok(&[b"answer"]).header("content-length", "6"),
    )
    .step(Request::post("/", &[b""]).header("content-length", "0"), Answer::status(200))
    .step(Request::new("HEAD", "/"), Answer::ok(&[b"answer"]).header("content-length", "6"))
    .get("/no-content")
    .step(Request::get("/"), Answer::status(204))
    .step(Request::get("/"), Answer::status(304).header("etag", "tag"))
}
