//! Plugins answer themselves.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, End, Envoy, Host, Listener, Plugin, Request, Upstream};

/// A request with everything: a body in two chunks, and trailers.
fn request() -> Request {
    Request::post("/", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")])
}

const REPLY: &str = "reply-full 403 \"no entry\" -1 \"not for you\" x-plugin yes";

fn listener(name: &str, script: &str) -> Listener {
    Listener::new(name).plugin(Host::Graft, &Plugin::scripted(name, script))
}

on_each_envoy! {
    fn a_plugin_answers_in_the_request_phase(version) {
        let upstream = Upstream::http1("upstream");
        let phases = ["request_headers", "request_body", "request_trailers"];
        let bootstrap = phases.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, phase| {
            bootstrap.listener(listener(phase, &format!("{phase}: if-nth 1 {REPLY}")))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for phase in phases {
            for request in [request(), request().over_http2()] {
                let response = envoy.client(phase).send(&request);
                assert_eq!((response.status, response.end), (403, End::Complete), "{phase}");
                assert_eq!(response.text(), "not for you", "{phase}");
                assert_eq!(response.header("x-plugin"), Some("yes"), "{phase}");
                assert_eq!(response.header("content-length"), Some("11"), "{phase}");
            }
            let log = envoy.await_access_log(phase, 2);
            assert!(log[0].starts_with("403 no_entry"), "{log:?}");
        }
        assert!(upstream.take_seen().iter().all(|seen| !seen.complete), "nothing whole reached the upstream");
    }

    fn a_plugin_answers_in_the_response_phase(version) {
        let upstream = Upstream::http1("upstream");
        let envoy = Envoy::start(version, &Bootstrap::new()
            .upstream(&upstream)
            .listener(listener("headers", &format!("response_headers: {REPLY}")))
            .listener(listener("body", &format!("response_body: if-nth 1 {REPLY}"))));
        upstream.answer(Answer::ok(&[b"secret ", b"answer"]).header("x-secret", "yes"));
        let response = envoy.client("headers").get("/");
        assert_eq!((response.status, response.text().as_str()), (403, "not for you"));
        assert_eq!(response.header("x-plugin"), Some("yes"));
        assert_eq!(response.header("x-secret"), None);
        // When the headers are out there is no other answer to give: the stream breaks.
        let response = envoy.client("body").get("/");
        assert_eq!((response.status, response.end), (200, End::Broken));
        assert_eq!(response.text(), "");
        assert_eq!(envoy.client("headers").get("/").status, 403);
    }

    /// With the headers held until the body is whole, there is still another answer to give.
    fn a_plugin_that_holds_the_response_answers_in_its_place(version) {
        let script = format!("
            response_headers: return 1
            response_body: if-eos {REPLY}
            response_body: return 1
        ");
        let plugin = Plugin::scripted("main", &script).set("allow_on_headers_stop_iteration", true);
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        upstream.answer(Answer::ok(&[b"secret ", b"answer"]).header("x-secret", "yes"));
        let response = envoy.client("main").get("/");
        assert_eq!((response.status, response.end), (403, End::Complete));
        assert_eq!((response.text().as_str(), response.header("x-secret")), ("not for you", None));
    }

    fn a_grpc_call_gets_a_grpc_status(version) {
        let upstream = Upstream::http2("upstream");
        let envoy = Envoy::start(version, &Bootstrap::new()
            .upstream(&upstream)
            .listener(listener("mapped", "request_headers: reply 403 \"not for you\""))
            .listener(listener("explicit", "request_headers: reply-full 403 denied 9 \"100% no\"")));
        let call = Request::grpc("/package.Service/Method");
        let response = envoy.client("mapped").send(&call);
        assert_eq!(response.status, 200);
        assert_eq!(response.header("content-type"), Some("application/grpc"));
        // PERMISSION_DENIED, as gRPC maps 403.
        assert_eq!(response.header("grpc-status"), Some("7"));
        assert_eq!(response.header("grpc-message"), Some("not for you"));
        let response = envoy.client("explicit").send(&call);
        assert_eq!(response.header("grpc-status"), Some("9"));
        assert_eq!(response.header("grpc-message"), Some("100%25 no"));
        // A client that does not speak gRPC gets the status that was meant for it.
        assert_eq!(envoy.client("explicit").get("/").status, 403);
    }

    fn the_first_of_two_answers_is_given(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("twice", "
            request_headers: reply 401 first
            request_headers: reply 402 second
            request_headers: continue request
            request_headers: return 0
        ")]);
        let response = envoy.client("main").get("/");
        assert_eq!((response.status, response.text().as_str()), (401, "first"));
        assert!(upstream.take_seen().is_empty());
        assert_eq!(envoy.await_access_log("main", 1).len(), 1);
    }

    /// Whatever else a plugin asks for in the same callback, also if it panics then and may fail open.
    fn a_denial_stays_a_denial(version) {
        let upstream = Upstream::http1("upstream");
        let scripts = ["request_headers", "request_body", "request_trailers"].map(|callback| {
            let resumed = format!("{callback}: continue request\n{callback}: reply 403 no");
            let panics = format!("{callback}: reply 403 no\n{callback}: panic after");
            [(format!("{callback}-resumed"), resumed), (format!("{callback}-panics"), panics)]
        });
        let scripts: Vec<_> = scripts.into_iter().flatten().collect();
        let bootstrap = scripts.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, (name, script)| {
            let plugin = Plugin::scripted(name, script)
                .set("failure_policy", "FAIL_OPEN")
                .set("vm_config.vm_id", name.as_str());
            bootstrap.listener(Listener::new(name).plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for (name, _) in &scripts {
            let request = Request::post("/", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")]);
            assert_eq!(envoy.client(name).send(&request).status, 403, "{name}");
        }
    }
}
