//! Plugins read and change headers in both directions.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Envoy, Headers, Plugin, Request, header};

/// All values of a header.
fn values<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
}

on_each_envoy! {
    fn a_plugin_changes_request_headers(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("headers", "
            request_headers: get request x-kept
            request_headers: get request x-missing
            request_headers: add request x-added one
            request_headers: add request X-Added two
            request_headers: replace request x-replaced new
            request_headers: replace request :path /elsewhere?by=plugin
            request_headers: remove request x-removed
        ")]);
        let request = Request::get("/somewhere")
            .header("x-kept", "as it was")
            .header("x-replaced", "old")
            .header("x-replaced", "older")
            .header("x-removed", "gone");
        assert_eq!(envoy.client("main").send(&request).status, 200);
        let seen = upstream.take_one();
        assert_eq!(seen.path, "/elsewhere?by=plugin");
        assert_eq!(header(&seen.headers, "x-kept"), Some("as it was"));
        assert_eq!(values(&seen.headers, "x-added"), ["one", "two"]);
        assert_eq!(values(&seen.headers, "x-replaced"), ["new"]);
        assert_eq!(header(&seen.headers, "x-removed"), None);
        envoy.await_plugin_log(r#"get request x-kept -> 0 "as it was""#);
        envoy.await_plugin_log("get request x-missing -> 1");
    }

    fn a_plugin_changes_response_headers(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("headers", "
            response_headers: get response :status
            response_headers: add response x-added one
            response_headers: replace response x-replaced new
            response_headers: replace response :status 202
            response_headers: remove response x-removed
            response_headers: pairs response
        ")]);
        upstream.answer(Answer::status(201).header("x-replaced", "old").header("x-removed", "gone"));
        let response = envoy.client("main").get("/");
        assert_eq!(response.status, 202);
        assert_eq!(response.header("x-added"), Some("one"));
        assert_eq!(response.header("x-replaced"), Some("new"));
        assert_eq!(response.header("x-removed"), None);
        envoy.await_plugin_log(r#"get response :status -> 0 "201""#);
        envoy.await_plugin_log("[:status=202, content-length=0, x-added=one, x-replaced=new]");
    }

    fn a_whole_map_is_set_at_once(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("headers", "
            response_headers: set-pairs response :status 203 x-only one x-only two
            response_headers: size response
        ")]);
        upstream.answer(Answer::status(200).header("x-old", "gone"));
        let response = envoy.client("main").get("/");
        assert_eq!(response.status, 203);
        assert_eq!(values(&response.headers, "x-only"), ["one", "two"]);
        assert_eq!(response.header("x-old"), None);
    }
}
