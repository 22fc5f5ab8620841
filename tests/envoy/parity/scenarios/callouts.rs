//! HTTP callouts: who may make one, what is sent, what the reply shows, what it may do to the stream.

use crate::harness::{Answer, Request};
use crate::parity::scenario::{Scenario, script, scripts};

/// Every callback of a stream.
const CALLBACKS: [&str; 9] = [
    "context_create",
    "request_headers",
    "request_body",
    "request_trailers",
    "response_headers",
    "response_body",
    "response_trailers",
    "log",
    "delete",
];

/// A callout to the path that follows.
const CALL: &str = "http-call callout 5000 \"\" :method GET :authority callout.test :path";

/// What the plugin sees of a reply.
const LOOK: &str = "
    http_call_response: pairs call
    http_call_response: buffer-get call 0 2000
    http_call_response: pairs call-trailers
    http_call_response: call-status
";

/// Lets the stream go on that made the callout.
const RESUME: &str = "
    http_call_response: effective caller
    http_call_response: continue request
";

/// A request that waits for the reply to `call`.
fn waits_for(call: &str) -> String {
    format!("request_headers: {call}\nrequest_headers: return 1\n{LOOK}{RESUME}\nresponse_headers: call-status")
}

/// One exchange for each case, each of which waits for the reply to a callout.
fn each_waits(about: &'static str, calls: &[(&str, &str)]) -> Scenario {
    calls.iter().fold(scripts(about).callouts(), |scenario, (name, call)| {
        scenario.case(name, &waits_for(call)).get("/")
    })
}

/// The reply comes when the stream is over, so that what it does there cannot mix with the stream.
pub fn http_callouts_from_each_callback() -> Scenario {
    let about = "a callout from each callback of a stream; the reply comes after its end";
    CALLBACKS.iter().fold(scripts(about).callouts(), |scenario, callback| {
        let call = format!(
            "http-call callout 5000 \"from {callback}\" :method POST :authority callout.test :path /gate x-one 1"
        );
        scenario
            .case(callback, &format!("{callback}: if-stream if-nth 1 {call}{LOOK}"))
            .everything()
            .until("call-status ->")
    })
}

pub fn http_callouts_refused_at_once() -> Scenario {
    let calls = [
        "http-call nowhere 1000 \"\" :method GET :authority a :path /echo",
        "http-call \"\" 1000 \"\" :method GET :authority a :path /echo",
        "http-call callout 1000 \"\" :authority a :path /echo",
        "http-call callout 1000 \"\" :method GET :path /echo",
        "http-call callout 1000 \"\" :method GET :authority a",
        "http-call callout 1000 \"\"",
        "http-call callout -1 \"\" :method GET :authority a :path /echo",
        "http-call callout 0x80000000 \"\" :method GET :authority a :path /echo",
    ];
    let lines: String = calls
        .iter()
        .flat_map(|call| ["request_headers", "response_headers", "log"].map(|on| format!("{on}: {call}\n")))
        .collect();
    script("callouts that the hostcall refuses: clusters, headers and times that are none", &lines)
        .callouts()
        .get("/")
}

pub fn http_callouts_that_fail() -> Scenario {
    each_waits(
        "callouts that fail: refused, reset, broken off, timed out; the status of the failure",
        &[
            ("refused", "http-call nobody 1000 \"\" :method GET :authority a :path /"),
            ("reset", &format!("{CALL} /reset")),
            ("half", &format!("{CALL} /half")),
            ("silent", "http-call callout 100 \"\" :method GET :authority a :path /hang"),
            ("late", "http-call callout 100 body :method POST :authority a :path /slow/1000"),
        ],
    )
}

pub fn http_callout_messages() -> Scenario {
    let post = |path: &str, body: &str| {
        format!("http-call callout 5000 {body} :method POST :authority callout.test :path {path}")
    };
    let scenario = each_waits(
        "what callouts send and what their replies show: headers, bodies, trailers, statuses",
        &[
            ("headers", &format!("{CALL} /headers x-one 1 X-Two 2 x-one 3 cookie a=b")),
            ("headers-of-post", &post("/headers", "\"a body\"")),
            ("forwarded", &format!("{CALL} /forwarded")),
            ("no-timeout", "http-call callout 0 \"\" :method GET :authority callout.test :path /headers"),
            ("echo", &format!("{} x-one 1 x-one 2", post("/echo?x=1", "\"a body\""))),
            ("large", &post("/echo", "\"0123456789\"**20000")),
            ("own-length", &format!("{} content-length 3", post("/echo", "abc"))),
            ("head", "http-call callout 5000 \"\" :method HEAD :authority callout.test :path /echo"),
            ("connect", "http-call callout 5000 \"\" :method OPTIONS :authority callout.test :path /echo"),
            ("not-found", &format!("{CALL} /status/404")),
            ("error", &format!("{CALL} /status/503")),
            ("empty", &format!("{CALL} /bytes/0")),
            ("chunked", &format!("{CALL} /chunked/100000")),
            ("scheme", &format!("{CALL} /headers :scheme https")),
        ],
    );
    let trailers = |name: &str, body: &str| {
        let call = post("/echo", body);
        (name.to_owned(), format!("request_headers: with-trailers x-sum 6 x-end yes\n{}", waits_for(&call)))
    };
    [trailers("trailers", "\"a body\""), trailers("trailers-alone", "\"\"")]
        .into_iter()
        .fold(scenario, |scenario, (name, lines)| {
            scenario.case(&name, &format!("{lines}\nhttp_call_response: with-trailers")).get("/")
        })
}

pub fn parallel_http_callouts() -> Scenario {
    let lines = format!(
        "request_headers: {CALL} /slow/3000
         request_headers: {CALL} /echo
         request_headers: {CALL} /slow/300
         request_headers: http-call callout 1500 \"\" :method GET :authority a :path /hang
         request_headers: return 1
         http_call_response: size call
         http_call_response: if-header call :status 200 buffer-get call 0 10
         http_call_response: if-nth 4 effective caller
         http_call_response: if-nth 4 continue request"
    );
    script("four callouts at a time; the request waits for all", &lines).callouts().get("/")
}

pub fn http_callouts_in_replies() -> Scenario {
    let chain = format!(
        "request_headers: {CALL} /status/201
         request_headers: return 1
         http_call_response: get call :status
         http_call_response: if-header call :status 201 {CALL} /status/202
         http_call_response: if-header call :status 202 effective root
         http_call_response: if-header call :status 202 {CALL} /status/203
         http_call_response: if-header call :status 203 continue-parked"
    );
    let parked = chain.replace(
        "request_headers: return 1",
        "request_headers: continue-later request\nrequest_headers: return 1",
    );
    let failing = format!(
        "request_headers: http-call nobody 1000 \"\" :method GET :authority a :path /
         request_headers: return 1
         http_call_response: if-nth 1 http-call nobody 1000 \"\" :method GET :authority a :path /
         http_call_response: if-nth 2 http-call nowhere 1000 \"\" :method GET :authority a :path /
         http_call_response: if-nth 2 {CALL} /echo
         http_call_response: call-status
         http_call_response: if-header call :status 200 continue-parked"
    );
    let failing = failing.replace(
        "request_headers: return 1",
        "request_headers: continue-later request\nrequest_headers: return 1",
    );
    scripts("callouts in the replies to callouts")
        .callouts()
        .case("chain", &parked)
        .get("/")
        .case("failing", &failing)
        .get("/")
}

pub fn replies_read_at_wrong_times() -> Scenario {
    let operations = [
        "get call :status",
        "pairs call",
        "size call",
        "pairs call-trailers",
        "size call-trailers",
        "buffer-get call 0 10",
        "buffer-status call",
        "call-status",
        "add call x-new 1",
        "replace call :status 404",
        "remove call :status",
        "set-pairs call x-only 1",
        "add call-trailers x-new 1",
        "buffer-set call 0 3 new",
    ];
    let on = |callback: &str| operations.map(|operation| format!("{callback}: {operation}\n")).concat();
    let lines = format!(
        "request_headers: {CALL} /echo x-seen 1
         request_headers: return 1
         {}{}{}{}
         http_call_response: pairs call
         http_call_response: pairs request
         http_call_response: buffer-get request 0 10
         http_call_response: property request.path
         http_call_response: continue request
         http_call_response: reply 403 no
         http_call_response: property plugin_name{RESUME}",
        on("http_call_response").replace('\n', "\n         "),
        on("configure"),
        on("response_headers"),
        on("log"),
    );
    script("the reply's maps, buffer and status: in other callbacks, written, from the root context", &lines)
        .callouts()
        .get("/")
}

/// Each waits at the end of its part, so that nothing can come while it waits. None resumes a response that there
/// is not yet: under the built-in filter that takes Envoy down.
pub fn replies_that_resume() -> Scenario {
    let waits = |on: &str, direction: &str| {
        format!(
            "{on} {CALL} /echo
             {on} return 1
             http_call_response: effective caller
             http_call_response: pairs request
             http_call_response: pairs response
             http_call_response: buffer-get request 0 100
             http_call_response: buffer-get response 0 100
             http_call_response: pairs request-trailers
             http_call_response: pairs response-trailers
             http_call_response: continue {direction}"
        )
    };
    let short = || Answer::status(200).header("x-response", "response value");
    scripts("streams that wait in each callback for a reply, which looks at them and lets them go on")
        .callouts()
        .case("request_headers", &waits("request_headers:", "request"))
        .get("/")
        .case("request_body", &waits("request_body: if-eos", "request"))
        .two_chunks()
        .case("request_trailers", &waits("request_trailers:", "request"))
        .everything()
        .case("response_headers", &waits("response_headers:", "response"))
        .step(Request::get("/"), short())
        .case("response_body", &waits("response_body: if-eos", "response"))
        .two_chunks()
        .case("response_trailers", &waits("response_trailers:", "response"))
        .everything()
}

pub fn replies_that_edit() -> Scenario {
    let edits = "
        http_call_response: effective caller
        http_call_response: add request x-new one
        http_call_response: replace request x-request replaced
        http_call_response: remove request user-agent
        http_call_response: replace request :path /other/path
        http_call_response: get request :path
        http_call_response: property request.path
        http_call_response: add response x-early one
        http_call_response: set-property own.value kept
        http_call_response: property own.value
        http_call_response: continue request
    ";
    let body_edits = "
        http_call_response: effective caller
        http_call_response: buffer-get request 0 100
        http_call_response: buffer-set request 0 3 REP
        http_call_response: add request x-late late
        http_call_response: continue request
    ";
    let response_edits = "
        http_call_response: effective caller
        http_call_response: replace response :status 202
        http_call_response: add response x-new one
        http_call_response: remove response x-response
        http_call_response: pairs response
        http_call_response: continue response
    ";
    scripts("edits that a reply makes to the stream that waits for it")
        .callouts()
        .case(
            "request-headers",
            &format!(
                "request_headers: {CALL} /echo\nrequest_headers: return 1{edits}\nlog: property own.value\nlog: property xds.route_name"
            ),
        )
        .step(Request::get("/").header("x-request", "one").header("user-agent", "test"), Answer::ok(&[b"body"]))
        .case(
            "request-body",
            &format!("request_body: if-eos {CALL} /echo\nrequest_body: return 1{body_edits}"),
        )
        .two_chunks()
        .case(
            "response-headers",
            &format!("response_headers: {CALL} /echo\nresponse_headers: return 1{response_edits}"),
        )
        .step(Request::get("/"), Answer::status(200).header("x-response", "one"))
}

/// To go on with a stream that was answered at a body takes Envoy down under the built-in filter, so that is tried
/// at the headers alone.
pub fn replies_that_answer() -> Scenario {
    let answers = "
        http_call_response: effective caller
        http_call_response: reply-full 403 \"from the reply\" -1 \"not for you\" x-plugin yes
        http_call_response: add request x-after 1
        log: property response.code
        log: property response.code_details
        log: get response x-plugin
    ";
    let from = |on: &str| format!("{on} {CALL} /echo\n{on} return 1{answers}");
    let at_once = format!("request_headers: {CALL} /gate\nrequest_headers: reply 401 first{answers}");
    let twice = format!(
        "{}
         http_call_response: reply 404 again
         http_call_response: continue request",
        from("request_headers:")
    );
    let closes = format!(
        "request_headers: {CALL} /echo
         request_headers: return 1
         http_call_response: effective caller
         http_call_response: close request"
    );
    scripts("local responses in the reply to a callout, and after one")
        .callouts()
        .case("request_headers", &from("request_headers:"))
        .get("/")
        .case("request_body", &from("request_body: if-eos"))
        .two_chunks()
        .case("request_trailers", &from("request_trailers:"))
        .everything()
        .case("response_headers", &from("response_headers:"))
        .step(Request::get("/"), Answer::status(200))
        .case("response_body", &from("response_body: if-eos"))
        .two_chunks()
        .case("answered-before", &at_once)
        .get("/")
        .until("add request")
        .case("twice", &twice)
        .get("/")
        .case("closes", &closes)
        .get("/")
}

pub fn replies_after_the_stream() -> Scenario {
    let late = "
        http_call_response: effective caller
        http_call_response: pairs request
        http_call_response: add request x-late 1
        http_call_response: continue request
        http_call_response: reply 403 late
        http_call_response: property request.path
        http_call_response: effective self
        http_call_response: continue response
        http_call_response: get call :status
    ";
    script(
        "the reply to a callout of a stream that is over",
        &format!("request_headers: {CALL} /gate{late}"),
    )
    .callouts()
    .get("/")
    .until("get call :status ->")
}

/// How many VMs start is a matter of the host: what they do is compared as a set.
pub fn http_callouts_of_root_contexts() -> Scenario {
    scripts("callouts from on_configure and on_tick, and from the replies to them")
        .callouts()
        .case(
            "configure",
            &format!(
                "configure: {CALL} /echo x-from configure
                 configure: http-call nobody 1000 \"\" :method GET :authority a :path /
                 configure: http-call nowhere 1000 \"\" :method GET :authority a :path /
                 http_call_response: if-header call x-from configure {CALL} /echo x-from reply
                 http_call_response: get call :status
                 http_call_response: call-status
                 http_call_response: if-header call x-from reply log info \"configure is over\""
            ),
        )
        .case(
            "tick",
            &format!(
                "configure: tick-period 100
                 tick: if-nth 1 tick-period 0
                 tick: {CALL} /echo x-from tick
                 http_call_response: get call x-from
                 http_call_response: log info \"tick is over\""
            ),
        )
        .settled("configure is over")
        .settled("tick is over")
}

/// Names for which no name server is asked.
pub fn names_resolved() -> Scenario {
    let names = [
        ("localhost", "localhost", "buffer-get foreign 0 4"),
        ("older", "127.0.0.1", "buffer-get foreign 0 1000"),
        ("newer", "::1", "buffer-get foreign 0 1000"),
        ("range", "127.0.0.1", "buffer-get foreign 8 4"),
        ("port", "127.0.0.1:80", "buffer-get foreign 0 1000"),
        ("brackets", "[::1]", "buffer-get foreign 0 1000"),
        ("empty", "\"\"", "buffer-get foreign 0 1000"),
        ("spaces", "\"not a name\"", "buffer-get foreign 0 1000"),
        ("dots", "a..b", "buffer-get foreign 0 1000"),
        ("long-label", "a**64", "buffer-get foreign 0 1000"),
        ("long-name", "a.**200", "buffer-get foreign 0 1000"),
        ("bytes", "\"\\xff\"", "buffer-get foreign 0 1000"),
        ("zero", "\"localhost\\0x\"", "buffer-get foreign 0 1000"),
        ("write", "::1", "buffer-set foreign 0 1 x"),
        ("other-buffer", "::1", "buffer-get call 0 1000"),
        ("map", "::1", "get call :status"),
        ("status", "::1", "call-status"),
    ];
    let about = "names and addresses resolved by a root context, without a name server";
    let scenario = names.iter().fold(scripts(about), |scenario, (case, name, line)| {
        let lines = format!(
            "configure: tick-period 20
            tick: tick-period 0
            tick: resolve-dns {name}
            resolve_dns: {line}
            resolve_dns: log info \"{case} is told\""
        );
        scenario.case(case, &lines)
    });
    names.iter().fold(scenario.isolated(), |scenario, (case, ..)| {
        // A text of its own: all of them have to be told.
        scenario.settled(Box::leak(format!("{case} is told").into_boxed_str()))
    })
}

/// The built-in host tells an address inside the hostcall, before the plugin has its token and before the stream waits.
pub fn names_resolved_for_streams() -> Scenario {
    script(
        "a request that waits for the address of a name",
        "
        request_headers: resolve-dns 127.0.0.1
        request_headers: return 1
        resolve_dns: effective caller
        resolve_dns: add request x-resolved 1
        resolve_dns: continue request
        ",
    )
    .get("/")
}
