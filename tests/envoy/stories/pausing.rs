//! Plugins hold streams, and other streams resume them.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Response, Upstream, eventually,
};

/// A listener whose plugin holds the first `callback` of each stream.
fn holding(callback: &str, stream: &str) -> Listener {
    let plugin = Plugin::scripted(
        callback,
        &format!("{callback}: if-nth 1 continue-later {stream}\n{callback}: if-nth 1 return 1"),
    );
    Listener::new(callback).plugin(Host::Graft, &plugin)
}

/// A listener whose plugin resumes whatever is held: it has the same code and so shares the VM.
fn resuming() -> Listener {
    Listener::new("resuming")
        .plugin(Host::Graft, &Plugin::scripted("resuming", "request_headers: continue-parked"))
}

/// Sends a request, waits until it is held, resumes it, and gives its response.
fn hold_and_resume(envoy: &Envoy, listener: &str, request: &Request) -> Response {
    let client = envoy.client(listener);
    let parked = || envoy.plugin_log().iter().filter(|line| line.ends_with(" parked")).count();
    let before = parked();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| client.send(request));
        eventually("the stream to be held", || (parked() > before).then_some(()));
        assert_eq!(envoy.client("resuming").send(&Request::new("HEAD", "/resumes")).status, 200);
        held.join().expect("the client")
    })
}

on_each_envoy! {
    fn a_held_request_goes_on_when_it_is_resumed(version) {
        let callbacks = ["request_headers", "request_body", "request_trailers"];
        let upstream = Upstream::http1("upstream");
        let bootstrap = callbacks
            .iter()
            .fold(Bootstrap::new().upstream(&upstream).listener(resuming()), |bootstrap, callback| {
                bootstrap.listener(holding(callback, "request"))
            });
        let envoy = Envoy::start(version, &bootstrap);
        let request = Request::post("/held", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")]);
        for callback in callbacks {
            let response = hold_and_resume(&envoy, callback, &request);
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"), "{callback}");
            let seen = upstream.take_seen().into_iter().find(|seen| seen.path == "/held").expect("the request");
            assert_eq!(seen.body, b"one two", "{callback}");
            assert_eq!(seen.trailers, crate::harness::headers(&[("x-trailer", "value")]), "{callback}");
        }
    }

    fn a_held_response_goes_on_when_it_is_resumed(version) {
        let callbacks = ["response_headers", "response_body", "response_trailers"];
        let upstream = Upstream::http1("upstream");
        let bootstrap = callbacks
            .iter()
            .fold(Bootstrap::new().upstream(&upstream).listener(resuming()), |bootstrap, callback| {
                bootstrap.listener(holding(callback, "response"))
            });
        let envoy = Envoy::start(version, &bootstrap);
        upstream.answer(Answer::ok(&[b"three ", b"four"]).trailers(&[("x-trailer", "value")]));
        for callback in callbacks {
            let response = hold_and_resume(&envoy, callback, &Request::get("/held"));
            assert_eq!((response.status, response.text().as_str()), (200, "three four"), "{callback}");
            assert_eq!(response.trailer("x-trailer"), Some("value"), "{callback}");
        }
    }

    fn a_stream_that_nobody_resumes_is_ended_by_envoy(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("holds", "request_headers: return 1");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin).idle_timeout("0.3s");
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let response = envoy.client("main").get("/");
        assert_eq!(response.status, 504);
        assert!(upstream.take_seen().is_empty());
        envoy.await_plugin_log("on_delete stream");
    }

    fn headers_wait_for_the_body_if_the_plugin_may_stop_iteration(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("late", "
            request_headers: return 1
            request_body: if-not-eos return 1
            request_body: if-eos add request x-late late
            request_body: if-eos return 0
        ").set("allow_on_headers_stop_iteration", true)]);
        let response = envoy.client("main").send(&Request::post("/", &[b"one ", b"two"]));
        assert_eq!(response.status, 200);
        assert_eq!(upstream.take_one().body, b"one two");
    }

    /// Envoy itself crashes when it is told to go on with a response that there is not yet.
    fn what_does_not_wait_is_not_resumed(version) {
        let callbacks = ["context_create", "request_headers", "request_body", "response_headers", "response_body"];
        let script: String = callbacks
            .iter()
            .flat_map(|callback| {
                ["continue request", "continue response"].map(|operation| format!("{callback}: {operation}\n"))
            })
            .collect();
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("eager", &script)]);
        for _ in 0..3 {
            let response = envoy.client("main").send(&Request::post("/", &[b"one ", b"two"]));
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"));
        }
        assert!(envoy.stop().status.success());
    }

    /// The stream that waits hears of it when the VM dies under another one.
    fn a_held_stream_does_not_wait_for_a_dead_vm(version) {
        let script = "
            request_headers: if-header request x-do hold return 1
            request_headers: if-header request x-do die panic now
        ";
        let upstream = Upstream::http1("upstream");
        let listener = |policy: &str| {
            let plugin = Plugin::scripted(policy, script)
                .set("failure_policy", policy)
                .set("vm_config.vm_id", policy);
            Listener::new(policy).plugin(Host::Graft, &plugin)
        };
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener("FAIL_CLOSED")).listener(listener("FAIL_OPEN"));
        let envoy = Envoy::start(version, &bootstrap);
        for (policy, status) in [("FAIL_CLOSED", 503), ("FAIL_OPEN", 200)] {
            let client = envoy.client(policy);
            let lines = || {
                let prefix = format!("wasm log {policy} {policy}: on_request_headers");
                envoy.plugin_log().iter().filter(|line| line.starts_with(&prefix)).count()
            };
            std::thread::scope(|scope| {
                let held = scope.spawn(|| client.send(&Request::get("/").header("x-do", "hold")));
                eventually("the stream to be held", || (lines() > 0).then_some(()));
                envoy.client(policy).send(&Request::get("/").header("x-do", "die"));
                assert_eq!(held.join().expect("the client").status, status, "{policy}");
            });
        }
        assert!(envoy.stop().status.success());
    }
}
