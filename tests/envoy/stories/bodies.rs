//! Plugins read, hold and replace bodies; Envoy's buffer limits hold.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, header};

/// A body of this size, that tells its parts apart.
fn body(size: usize) -> Vec<u8> {
    (0..size).map(|index| b'a' + u8::try_from(index / 1000 % 26).unwrap_or(0)).collect()
}

on_each_envoy! {
    fn each_chunk_is_seen_and_edited(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("bodies", "
            request_body: if-not-eos buffer-set request 0 0 <
            request_body: if-not-eos buffer-set request 1000 0 >
            response_body: buffer-get response 0 100
            response_body: if-not-eos buffer-set response 0 100 chunk
        ")]);
        upstream.answer(Answer::ok(&[b"one", b"two", b"three"]));
        let response = envoy.client("main").send(&Request::post("/", &[b"first", b"second"]));
        assert_eq!(response.text(), "chunkchunkchunk");
        assert_eq!(upstream.take_one().body, b"<first><second>");
        let lines: Vec<_> = envoy.plugin_log().into_iter().filter(|line| line.contains("buffer-get")).collect();
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[2].ends_with(r#"-> 0 "three""#));
    }

    fn a_whole_body_is_held_and_replaced(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("bodies", "
            request_headers: remove request content-length
            request_body: if-not-eos return 1
            request_body: buffer-get request 0 1000
            request_body: buffer-set request 0 1000 \"the whole request\"
            response_headers: remove response content-length
            response_body: if-not-eos return 1
            response_body: buffer-get response 0 1000
            response_body: buffer-set response 0 3 THE
        ")]);
        upstream.answer(Answer::ok(&[b"the ", b"whole ", b"answer"]));
        let response = envoy.client("main").send(&Request::post("/", &[b"in ", b"three ", b"parts"]));
        assert_eq!(response.text(), "THE whole answer");
        assert_eq!(upstream.take_one().body, b"the whole request");
        envoy.await_plugin_log(r#"buffer-get request 0 1000 -> 0 "in three parts""#);
        envoy.await_plugin_log(r#"buffer-get response 0 1000 -> 0 "the whole answer""#);
    }

    fn large_bodies_pass_unharmed(version) {
        let upstream = Upstream::http1("upstream");
        let through = Plugin::scripted("through", "
            request_body: buffer-status request
            response_body: buffer-status response
        ");
        let held = Plugin::scripted("held", "
            request_body: if-not-eos return 1
            response_body: if-not-eos return 1
        ");
        let envoy = Envoy::start(version, &Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("through").plugin(Host::Graft, &through))
            .listener(Listener::new("held").plugin(Host::Graft, &held).buffer_limit(4 * 1024 * 1024)));
        upstream.answer(Answer::echo());
        let body = body(1024 * 1024);
        for listener in ["through", "held"] {
            for wire in [Request::post("/", &[&body]), Request::post("/", &[&body]).over_http2()] {
                let response = envoy.client(listener).send(&wire);
                assert_eq!(response.status, 200, "{listener}");
                assert!(response.body == body, "{listener}: the body came back changed");
            }
        }
    }

    fn buffer_limits_hold(version) {
        let upstream = Upstream::http1("upstream");
        let request = Plugin::scripted("request", "request_body: if-not-eos return 1");
        // Once the headers of a response are out there is no other answer to give; so they are held as well.
        let response = Plugin::scripted("response", "
            response_headers: return 1
            response_body: if-not-eos return 1
        ")
            .set("allow_on_headers_stop_iteration", true);
        let envoy = Envoy::start(version, &Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("request").plugin(Host::Graft, &request).buffer_limit(65_536))
            .listener(Listener::new("response").plugin(Host::Graft, &response).buffer_limit(65_536)));
        let body = body(1024 * 1024);
        assert_eq!(envoy.client("request").send(&Request::post("/", &[&body])).status, 413);
        upstream.answer(Answer::ok(&[&body]));
        assert_eq!(envoy.client("response").get("/").status, 500);
        // Both listeners serve on.
        upstream.answer(Answer::ok(&[b"small"]));
        assert_eq!(envoy.client("request").send(&Request::post("/", &[b"small"])).status, 200);
        assert_eq!(envoy.client("response").get("/").text(), "small");
        assert!(envoy.stop().status.success());
    }

    fn a_length_that_stays_right_is_kept(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("bodies", "
            request_body: buffer-set request 0 4 BODY
        ")]);
        let request = Request::post("/", &[b"body"]).header("content-length", "4");
        assert_eq!(envoy.client("main").send(&request).status, 200);
        let seen = upstream.take_one();
        assert_eq!(seen.body, b"BODY");
        assert_eq!(header(&seen.headers, "content-length"), Some("4"));
    }

    /// Envoy answers or resets a stream whose guest writes too much while that guest still runs.
    fn a_guest_that_writes_over_the_limit_ends_its_own_stream(version) {
        let upstream = Upstream::http1("upstream");
        let scripts = [
            ("request_body", "request_body: return 1\nrequest_body: buffer-set request 999999 0 x**100000"),
            ("request_trailers", "request_body: return 1\nrequest_trailers: buffer-set request 999999 0 x**100000"),
            ("response_body", "response_body: return 1\nresponse_body: buffer-set response 999999 0 x**100000"),
            ("response_trailers", "response_body: return 1\nresponse_trailers: buffer-set response 999999 0 x**100000"),
        ];
        let bootstrap = scripts.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, (name, script)| {
            let plugin = Plugin::scripted(name, script);
            bootstrap.listener(Listener::new(name).plugin(Host::Graft, &plugin).buffer_limit(16_384))
        });
        let envoy = Envoy::start(version, &bootstrap);
        upstream.answer(Answer::ok(&[b"three ", b"four"]).trailers(&[("x-trailer", "value")]));
        for (name, _) in scripts {
            let request = Request::post("/", &[b"one ", b"two"]).trailers(&[("x-trailer", "value")]);
            // What comes of it is Envoy's to say; it must come, and leave nothing behind.
            envoy.client(name).send(&request);
            envoy.await_quiet(name);
        }
        assert!(envoy.stop().status.success());
    }
}
