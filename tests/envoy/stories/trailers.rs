//! Plugins read and change trailers, over HTTP/1 and HTTP/2.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, header};

const SCRIPT: &str = "
    request_trailers: get request-trailers x-sum
    request_trailers: add request-trailers x-added request
    request_trailers: remove request-trailers x-gone
    response_trailers: get response-trailers x-sum
    response_trailers: replace response-trailers x-sum changed
    response_trailers: add response-trailers x-added response
";

fn request() -> Request {
    Request::post("/", &[b"one ", b"two"]).trailers(&[("x-sum", "request sum"), ("x-gone", "gone")])
}

fn answer() -> Answer {
    Answer::ok(&[b"three ", b"four"]).trailers(&[("x-sum", "response sum")])
}

on_each_envoy! {
    fn trailers_are_read_and_changed(version) {
        for upstream in [Upstream::http1("upstream"), Upstream::http2("upstream")] {
            let listener = Listener::new("main").plugin(Host::Graft, &Plugin::scripted("trailers", SCRIPT));
            let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
            upstream.answer(answer());
            for request in [request(), request().over_http2()] {
                let response = envoy.client("main").send(&request);
                assert_eq!(response.text(), "three four");
                assert_eq!(response.trailer("x-sum"), Some("changed"));
                assert_eq!(response.trailer("x-added"), Some("response"));
                let seen = upstream.take_one();
                assert_eq!(header(&seen.trailers, "x-sum"), Some("request sum"));
                assert_eq!(header(&seen.trailers, "x-added"), Some("request"));
                assert_eq!(header(&seen.trailers, "x-gone"), None);
            }
            envoy.await_plugin_log(r#"get request-trailers x-sum -> 0 "request sum""#);
            envoy.await_plugin_log(r#"get response-trailers x-sum -> 0 "response sum""#);
        }
    }

    fn a_grpc_call_passes_through(version) {
        let upstream = Upstream::http2("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &Plugin::scripted("grpc", "
            request_headers: get request content-type
            response_trailers: get response-trailers grpc-status
            response_trailers: replace response-trailers grpc-message changed
        "));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        upstream.answer(
            Answer::ok(&[b"\0\0\0\0\x02ok"])
                .header("content-type", "application/grpc")
                .trailers(&[("grpc-status", "5"), ("grpc-message", "not there")]),
        );
        let response = envoy.client("main").send(&Request::grpc("/package.Service/Method"));
        assert_eq!(response.body, b"\0\0\0\0\x02ok");
        assert_eq!(response.trailer("grpc-status"), Some("5"));
        assert_eq!(response.trailer("grpc-message"), Some("changed"));
        assert_eq!(upstream.take_one().body, b"\0\0\0\0\x02hi");
    }
}
