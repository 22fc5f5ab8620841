//! Plugins ask other services over HTTP, and streams wait for the answers.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Bootstrap, CalloutUpstream, Envoy, Host, Listener, Plugin, Request, Upstream, Version, eventually,
};

/// Asks for each request, as external authorisation does: the service says 200 or 403, the plugin obeys.
const AUTHORISER: &str = "
    request_headers: if-header request x-token good http-call callout 5000 \"\" :method GET :authority a :path /status/200
    request_headers: if-header request x-token bad http-call callout 5000 \"\" :method GET :authority a :path /status/403
    request_headers: return 1
    http_call_response: effective caller
    http_call_response: if-header call :status 200 add request x-authorised yes
    http_call_response: if-header call :status 200 continue request
    http_call_response: if-header call :status 403 reply-full 403 denied -1 \"not for you\" x-why token
";

/// A call that is answered when the test says so.
const GATED: &str = "http-call callout 20000 \"\" :method GET :authority a :path /gate";
/// A call that is never answered.
const HANGING: &str = "http-call callout 20000 \"\" :method GET :authority a :path /hang";

/// An Envoy with some plugins, an upstream of requests and one of callouts.
fn start(version: Version, workers: u32, plugins: &[Plugin]) -> (Envoy, Arc<Upstream>, Arc<CalloutUpstream>) {
    let (upstream, callouts) = (Upstream::http1("upstream"), CalloutUpstream::start());
    let bootstrap = plugins.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, plugin| {
        bootstrap.listener(Listener::new(plugin.name()).plugin(Host::Graft, plugin))
    });
    let envoy = Envoy::start(version, &callouts.add_to(bootstrap).concurrency(workers));
    (envoy, upstream, callouts)
}

/// A connection that has sent `GET /` and does not read.
fn silent_client(envoy: &Envoy, listener: &str) -> TcpStream {
    let address = eventually("the listener to serve", || envoy.address(listener));
    let mut stream = TcpStream::connect(address).expect("connecting to Envoy");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sending a request");
    stream
}

on_each_envoy! {
    fn a_request_waits_for_what_a_service_says_of_it(version) {
        let (envoy, upstream, callouts) = start(version, 1, &[Plugin::scripted("authoriser", AUTHORISER)]);
        let client = envoy.client("authoriser");
        let good = client.send(&Request::get("/").header("x-token", "good"));
        assert_eq!((good.status, good.text().as_str()), (200, "from the upstream"));
        let seen = upstream.take_one();
        assert_eq!(crate::harness::header(&seen.headers, "x-authorised"), Some("yes"));
        let bad = client.send(&Request::get("/").header("x-token", "bad"));
        assert_eq!((bad.status, bad.text().as_str()), (403, "not for you"));
        assert_eq!(bad.header("x-why"), Some("token"));
        assert!(upstream.take_seen().is_empty());
        assert_eq!(callouts.seen(), ["GET /status/200", "GET /status/403"]);
        assert!(envoy.stop().status.success());
    }

    fn each_of_many_requests_gets_its_own_answer(version) {
        let (envoy, _upstream, _callouts) = start(version, 2, &[Plugin::scripted("authoriser", AUTHORISER)]);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let client = envoy.client("authoriser");
                scope.spawn(move || {
                    for request in 0..25 {
                        let (token, status) = if (thread + request) % 2 == 0 { ("good", 200) } else { ("bad", 403) };
                        let response = client.send(&Request::get("/").header("x-token", token));
                        assert_eq!(response.status, status, "{token}");
                    }
                });
            }
        });
        envoy.await_quiet("authoriser");
        assert!(envoy.complaints().is_empty(), "{:?}", envoy.complaints());
        assert!(envoy.stop().status.success());
    }

    fn a_request_body_is_held_while_its_callout_lasts(version) {
        let script = format!(
            "request_headers: {GATED}
             request_headers: return 1
             http_call_response: effective caller
             http_call_response: continue request"
        );
        let (envoy, upstream, callouts) = start(version, 1, &[Plugin::scripted("holds", &script)]);
        let client = envoy.client("holds");
        std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                let request = Request::post("/", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")]);
                client.send(&request)
            });
            eventually("the callout to wait", || (callouts.waiting() == 1).then_some(()));
            assert!(upstream.take_seen().is_empty());
            callouts.open();
            assert_eq!(held.join().expect("the client").status, 200);
        });
        let seen = upstream.take_one();
        assert_eq!((seen.body.as_slice(), seen.trailers.len()), (b"one two".as_slice(), 1));
    }

    fn a_callout_ends_with_the_request_that_waits_for_it(version) {
        let script = format!(
            "request_headers: {HANGING}
             request_headers: return 1
             http_call_response: call-status"
        );
        let (envoy, upstream, callouts) = start(version, 1, &[Plugin::scripted("waits", &script)]);
        let client = silent_client(&envoy, "waits");
        eventually("the callout to wait", || (callouts.waiting() == 1).then_some(()));
        drop(client);
        envoy.await_quiet("waits");
        eventually("the callout to end", || (callouts.waiting() == 0).then_some(()));
        envoy.await_plugin_log("on_http_call_response root 0 0 0");
        envoy.await_plugin_log("call-status -> 0 11 \"reset\"");
        assert!(upstream.take_seen().is_empty());
        assert!(envoy.stop().status.success());
    }

    fn the_reply_to_a_stream_that_is_over_goes_to_the_root_context(version) {
        let script = format!(
            "request_headers: {GATED}
             http_call_response: effective caller
             http_call_response: get call :status"
        );
        let (envoy, _upstream, callouts) = start(version, 1, &[Plugin::scripted("leaves", &script)]);
        let client = envoy.client("leaves");
        assert_eq!(client.get("/").status, 200);
        envoy.await_quiet("leaves");
        if version == Version::V1_37 {
            // A call that outlives its stream needs a client that is the configuration's: here it ends with the stream.
            envoy.await_plugin_log("on_http_call_response root 0 0 0");
            envoy.await_plugin_log("get call :status -> 2");
            eventually("the callout to end", || (callouts.waiting() == 0).then_some(()));
        } else {
            callouts.open();
            envoy.await_plugin_log("get call :status -> 0 \"200\"");
            assert_eq!(envoy.count_plugin_log("effective caller -> 2"), 1);
        }
        assert!(envoy.stop().status.success());
    }

    fn root_contexts_make_callouts(version) {
        let call = |from: &str| {
            format!("http-call callout 5000 \"\" :method GET :authority a :path /echo x-from {from}")
        };
        let script = format!(
            "configure: {}
             configure: tick-period 50
             tick: {}
             tick: tick-period 0
             http_call_response: if-header call x-from configure log info \"configured\"
             http_call_response: if-header call x-from tick log info \"ticked\"",
            call("configure"),
            call("tick"),
        );
        let (envoy, _upstream, callouts) = start(version, 1, &[Plugin::scripted("root", &script)]);
        if version == Version::V1_37 {
            envoy.await_plugin_log("x-from configure -> 10");
            envoy.await_plugin_log("x-from tick -> 10");
            assert!(callouts.seen().is_empty());
            assert!(!envoy.complaints().is_empty(), "the log says why");
        } else {
            envoy.await_plugin_log(": configured");
            envoy.await_plugin_log(": ticked");
        }
        assert_eq!(envoy.client("root").get("/").status, 200);
        assert!(envoy.stop().status.success());
    }

    fn an_envoy_that_ends_does_not_wait_for_callouts(version) {
        let waits = format!("request_headers: {HANGING}\nrequest_headers: return 1");
        let ticks = format!("configure: tick-period 20\ntick: tick-period 0\ntick: {HANGING}");
        let plugins = [
            Plugin::scripted("waits", &waits).set("vm_config.vm_id", "one"),
            Plugin::scripted("ticks", &ticks).set("vm_config.vm_id", "two"),
        ];
        let (envoy, _upstream, callouts) = start(version, 1, &plugins);
        let client = silent_client(&envoy, "waits");
        let expected = if version == Version::V1_37 { 1 } else { 2 };
        eventually("the callouts to wait", || (callouts.waiting() >= expected).then_some(()));
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
        drop(client);
    }
}
