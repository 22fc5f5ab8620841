//! gRPC calls and streams, against a real gRPC server.

use crate::parity::scenario::{Scenario, script, scripts};

/// What the plugin sees of an answer, in each of the four callbacks.
const LOOK: &str = "
    grpc_receive_initial_metadata: pairs grpc-initial
    grpc_receive: buffer-get grpc 0 2000
    grpc_receive: call-status
    grpc_receive_trailing_metadata: pairs grpc-trailing
    grpc_close: call-status
";

/// Lets the request go on at the end of the call.
const RESUME: &str = "
    grpc_receive: effective caller
    grpc_receive: continue request
    grpc_close: effective caller
    grpc_close: continue request
";

/// A message for the method `Say`, with whatever stands before and after.
fn say(message: &str) -> String {
    format!("grpc-call grpc graft.test.Echo Say {message} 5000")
}

/// One exchange for each case, each of which waits for a call.
fn each_waits(about: &'static str, calls: &[(&str, &str)]) -> Scenario {
    calls.iter().fold(scripts(about).callouts(), |scenario, (name, call)| {
        scenario
            .case(name, &format!("request_headers: {call}\nrequest_headers: return 1\n{LOOK}{RESUME}"))
            .get("/")
    })
}

pub fn grpc_calls() -> Scenario {
    each_waits(
        "gRPC calls that are answered",
        &[
            ("text", &say("\"a message\"")),
            ("empty", &say("\"\"")),
            ("binary", &say("\"\\x00\\xff\\n\"")),
            ("large", &say("\"0123456789\"**20000")),
            ("slow", &say("\"slow 100\"")),
            ("large-answer", &say("\"bytes 200000\"")),
            ("no-timeout", "grpc-call grpc graft.test.Echo Say unhurried 0"),
        ],
    )
}

pub fn grpc_metadata() -> Scenario {
    let with = |metadata: &str, call: &str| {
        format!(
            "request_headers: with-metadata {metadata}\nrequest_headers: {call}\nrequest_headers: with-metadata
             request_headers: return 1\n{LOOK}{RESUME}"
        )
    };
    scripts("metadata of gRPC calls, both ways, as the server sees it")
        .callouts()
        .case("none", &with("", &say("metadata")))
        .get("/")
        .case("some", &with("x-one 1 X-Two 2 x-one 3", &say("metadata")))
        .get("/")
        .case("binary", &with("x-data-bin AAEC", &say("metadata")))
        .get("/")
        .case("reserved", &with("grpc-timeout 3S user-agent me grpc-accept-encoding gzip", &say("metadata")))
        .get("/")
}

pub fn grpc_calls_that_fail() -> Scenario {
    let codes: Vec<_> = [1, 7, 13, 16, 17]
        .iter()
        .map(|code| (format!("status-{code}"), say(&format!("\"fail {code} because of {code}\""))))
        .collect();
    let mut calls: Vec<_> = codes.iter().map(|(name, call)| (name.as_str(), call.as_str())).collect();
    let message = say("\"fail 3 a message with % and \\xc3\\xa4\"");
    calls.extend([
        ("no-message", "grpc-call grpc graft.test.Echo Say \"fail 5\" 5000"),
        ("odd-message", message.as_str()),
        ("unknown-method", "grpc-call grpc graft.test.Echo Nothing message 5000"),
        ("unknown-service", "grpc-call grpc graft.test.Nothing Say message 5000"),
        ("silent", "grpc-call grpc graft.test.Echo Say hang 100"),
        ("refused", "grpc-call nobody graft.test.Echo Say message 1000"),
        // These servers speak HTTP/1.
        ("no-grpc", "grpc-call callout graft.test.Echo Say message 1000"),
    ]);
    each_waits("gRPC calls that fail: a status, time, nobody there, a server that speaks no gRPC", &calls)
}

/// A `GrpcService` as bytes: `envoy_grpc` (field 1) with a cluster name (field 1).
pub fn grpc_services() -> Scenario {
    let lines: String = [
        "nowhere",
        "\"\\x0a\\x06\\x0a\\x04grpc\"",
        "\"\\x0a\\x09\\x0a\\x07nowhere\"",
        "\"\\x0a\\x00\"",
        "\"\\x0a\\xff\"",
        "\"\\x0a\\x06\\x0a\\x04grpc\\x1a\\x02\\x08\\x05\"",
    ]
    .iter()
    .map(|service| {
        format!(
            "request_headers: grpc-call {service} graft.test.Echo Say message 5000
             request_headers: grpc-cancel
             request_headers: grpc-stream {service} graft.test.Echo Chat
             request_headers: grpc-cancel\n"
        )
    })
    .collect::<Vec<_>>()
    .concat();
    let authority = "\"\\x0a\\x12\\x0a\\x04grpc\\x12\\x0aother.test\"";
    let initial = "\"\\x0a\\x06\\x0a\\x04grpc\\x2a\\x0a\\x0a\\x05x-key\\x12\\x01v\"";
    let waits = |service: &str| {
        format!(
            "request_headers: grpc-call {service} graft.test.Echo Say metadata 5000
             request_headers: return 1\n{LOOK}{RESUME}"
        )
    };
    scripts("how the server of a gRPC call is named: a cluster, or a GrpcService as bytes")
        .callouts()
        .case("statuses", &lines)
        .get("/")
        .case("authority", &waits(authority))
        .get("/")
        .case("initial-metadata", &waits(initial))
        .get("/")
}

pub fn grpc_calls_cancelled() -> Scenario {
    let call = say("hang");
    let odd = format!(
        "request_headers: grpc-cancel
         request_headers: grpc-close
         request_headers: grpc-send message 1
         request_headers: {call}
         request_headers: grpc-send message 0
         request_headers: grpc-close
         request_headers: grpc-cancel
         request_headers: grpc-cancel
         request_headers: grpc-close
         {LOOK}"
    );
    let answered = format!(
        "request_headers: {}
         request_headers: return 1
         grpc_receive: grpc-cancel
         {LOOK}{RESUME}
         response_headers: grpc-cancel
         response_headers: grpc-close",
        say("hello")
    );
    let of_http = "
        request_headers: http-call callout 1000 \"\" :method GET :authority a :path /gate
        request_headers: grpc-cancel
        request_headers: grpc-close
        request_headers: grpc-send message 1
    ";
    scripts("gRPC calls cancelled, closed and sent to, while they last and after")
        .callouts()
        .case("odd", &odd)
        .get("/")
        .case("answered", &answered)
        .get("/")
        .case("http", of_http)
        .get("/")
        .until("on_http_call_response")
}

pub fn grpc_streams() -> Scenario {
    let two = format!(
        "request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-send one 0
         request_headers: return 1
         grpc_receive: if-nth 1 grpc-send \"metadata\" 0
         grpc_receive: if-nth 2 grpc-send last 1
         {LOOK}
         grpc_close: grpc-send more 0
         grpc_close: grpc-close
         grpc_close: effective caller
         grpc_close: continue request"
    );
    let server_ends = format!(
        "request_headers: with-metadata x-one 1
         request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: with-metadata
         request_headers: grpc-send \"\" 0
         request_headers: return 1
         grpc_receive: if-nth 1 grpc-send bye 0
         {LOOK}
         grpc_close: effective caller
         grpc_close: continue request"
    );
    let nothing_said = format!(
        "request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-send \"\" 1
         request_headers: return 1
         {LOOK}
         grpc_close: effective caller
         grpc_close: continue request"
    );
    let large = format!(
        "request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-send \"0123456789\"**20000 0
         request_headers: return 1
         grpc_receive: if-nth 1 grpc-send bye 1
         {LOOK}
         grpc_close: effective caller
         grpc_close: continue request"
    );
    scripts("gRPC streams: messages both ways, metadata, either side that ends first")
        .callouts()
        .case("two", &two)
        .get("/")
        .case("server-ends", &server_ends)
        .get("/")
        .case("one-message", &nothing_said)
        .get("/")
        .case("large", &large)
        .get("/")
}

pub fn grpc_streams_that_fail() -> Scenario {
    let opened = |target: &str, message: &str| {
        format!(
            "request_headers: grpc-stream {target}
             request_headers: grpc-send {message} 0
             request_headers: return 1
             {LOOK}
             grpc_close: effective caller
             grpc_close: continue request"
        )
    };
    let chat = "grpc graft.test.Echo Chat";
    [
        ("status", opened(chat, "\"fail 7 not for you\"")),
        ("unknown-method", opened("grpc graft.test.Echo Nothing", "message")),
        ("refused", opened("nobody graft.test.Echo Chat", "message")),
    ]
    .into_iter()
    .fold(scripts("gRPC streams that end with a failure").callouts(), |scenario, (name, lines)| {
        scenario.case(name, &lines).get("/")
    })
}

pub fn grpc_streams_cancelled() -> Scenario {
    // A request that closes its side of a stream waits for the end: a VM of its own would not be there any more.
    let with = |end: &str, last: &str| {
        format!(
            "request_headers: grpc-stream grpc graft.test.Echo Chat
             request_headers: grpc-send one 0
             request_headers: return 1
             {LOOK}
             grpc_receive: {end}
             grpc_receive: {end}
             grpc_receive: grpc-send two 0
             grpc_close: grpc-cancel
             {last}: effective caller
             {last}: continue request"
        )
    };
    let at_once = format!(
        "request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-close
         request_headers: grpc-send one 0
         request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-cancel
         request_headers: grpc-send one 0
         request_headers: return 1
         {LOOK}
         grpc_close: effective caller
         grpc_close: continue request"
    );
    scripts("gRPC streams cancelled and closed by the plugin")
        .callouts()
        .by_place()
        .case("cancelled", &with("grpc-cancel", "grpc_receive"))
        .get("/")
        .case("closed", &with("grpc-close", "grpc_close"))
        .get("/")
        .case("at-once", &at_once)
        .get("/")
}

pub fn grpc_reads_at_wrong_times() -> Scenario {
    let operations = [
        "pairs grpc-initial",
        "get grpc-initial x-initial",
        "size grpc-initial",
        "pairs grpc-trailing",
        "get grpc-trailing x-final",
        "size grpc-trailing",
        "buffer-get grpc 0 100",
        "buffer-status grpc",
        "buffer-set grpc 0 3 new",
        "add grpc-initial x-new 1",
        "add grpc-trailing x-new 1",
        "call-status",
        "pairs call",
        "buffer-get call 0 10",
    ];
    let callbacks = [
        "request_headers",
        "grpc_receive_initial_metadata",
        "grpc_receive",
        "grpc_receive_trailing_metadata",
        "grpc_close",
        "log",
    ];
    let reads: String = callbacks
        .iter()
        .flat_map(|callback| operations.iter().map(move |operation| format!("{callback}: {operation}\n")))
        .collect();
    let lines = format!(
        "request_headers: grpc-stream grpc graft.test.Echo Chat
         request_headers: grpc-send \"fail 9 over\" 0
         {reads}
         request_headers: return 1
         grpc_close: effective caller
         grpc_close: continue request"
    );
    let call = format!(
        "request_headers: {}
         request_headers: return 1
         {}{RESUME}",
        say("hello"),
        operations.map(|operation| format!("grpc_receive: {operation}\n")).concat(),
    );
    scripts("the maps, the buffer and the status of gRPC, in each callback")
        .callouts()
        .case("stream", &lines)
        .get("/")
        .case("call", &call)
        .get("/")
}

/// How many VMs start is a matter of the host: what they do is compared as a set.
pub fn grpc_of_root_contexts() -> Scenario {
    let lines = format!(
        "configure: {}
         configure: tick-period 100
         tick: tick-period 0
         tick: grpc-stream grpc graft.test.Echo Chat
         tick: grpc-send \"fail 7 from the tick\" 1
         {LOOK}
         grpc_receive: log info \"call is over\"
         grpc_close: log info \"stream is over\"",
        say("\"from configure\"")
    );
    script("gRPC from on_configure and on_tick", &lines)
        .callouts()
        .settled("call is over")
        .settled("stream is over")
}
