//! Plugins read what Envoy knows of a stream. What an Envoy cannot serve is `NOT_FOUND`, never a failure.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Route, Upstream};

/// Properties that every supported Envoy serves, with what is read of them.
const EVERYWHERE: [(&str, &str, &str); 16] = [
    ("request_headers", "property request.path", r#"0 "/path?x=1""#),
    ("request_headers", "property request.url_path", r#"0 "/path""#),
    ("request_headers", "property request.query", r#"0 "x=1""#),
    ("request_headers", "property request.method", r#"0 "GET""#),
    ("request_headers", "property request.host", r#"0 "example.test""#),
    ("request_headers", "property request.scheme", r#"0 "http""#),
    ("request_headers", "property request.protocol", r#"0 "HTTP/1.1""#),
    ("request_headers", "property request headers x-request", r#"0 "value""#),
    ("request_headers", "property-status request.time", "0"),
    ("request_headers", "property-status source.address", "0"),
    ("request_headers", "property-status source.port", "0"),
    ("request_headers", "property-status connection.id", "0"),
    ("response_headers", "property-int response.code", "0 202"),
    ("response_headers", "property response headers x-response", r#"0 "value""#),
    ("response_headers", "property-status upstream.address", "0"),
    ("response_headers", "property xds.route_name", r#"0 "the-route""#),
];

/// Properties of the plugin, and names that nobody knows.
const OF_THE_PLUGIN: [(&str, &str, &str); 5] = [
    ("request_headers", "property plugin_name", r#"0 "properties""#),
    ("request_headers", "property plugin_root_id", r#"0 "the-root""#),
    ("request_headers", "property plugin_vm_id", r#"0 "the-vm""#),
    ("request_headers", "property nobody.knows.this", "1"),
    ("request_headers", "property request.unknown", "1"),
];

/// A value that the plugin sets is there until the stream ends, on every Envoy, however often it is set.
const SET_BY_THE_PLUGIN: [(&str, &str, &str); 7] = [
    ("request_headers", "property own_key", "1"),
    ("request_headers", "set-property own_key first", "0"),
    ("request_headers", "property own_key", r#"0 "first""#),
    ("response_headers", "set-property own_key second", "0"),
    ("response_headers", "property own_key", r#"0 "second""#),
    ("log", "property own_key", r#"0 "second""#),
    ("request_headers", "set-property empty \"\"", "0"),
];

on_each_envoy! {
    fn a_plugin_reads_and_sets_properties(version) {
        let reads = || EVERYWHERE.iter().chain(&OF_THE_PLUGIN).chain(&SET_BY_THE_PLUGIN);
        let script: Vec<_> = reads().map(|(callback, read, _)| format!("{callback}: {read}")).collect();
        let plugin = Plugin::scripted("properties", &script.join("\n"))
            .set("root_id", "the-root")
            .set("vm_config.vm_id", "the-vm");
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main")
            .plugin(Host::Graft, &plugin)
            .route(Route::new("/path", "upstream").set("name", "the-route"))
            .access_log("%FILTER_STATE(wasm.own_key:PLAIN)%");
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        upstream.answer(Answer::status(202).header("x-response", "value"));
        envoy.client("main").send(&Request::get("/path?x=1").header("x-request", "value"));
        envoy.await_plugin_log("on_delete stream");
        let log = envoy.plugin_log();
        let wrong: Vec<_> = reads()
            .filter(|(_, read, answer)| {
                let expected = format!(": {read} -> {answer}");
                !log.iter().any(|line| line.ends_with(&expected))
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}\n{log:#?}");
        // What a plugin sets is filter state, for access logs and other filters.
        let value = &envoy.await_access_log("main", 1)[0];
        assert!(value.contains("first") || value.contains("second"), "{value}");
    }

    fn properties_of_the_whole_stream_are_there_at_its_end(version) {
        let (envoy, upstream) = Envoy::with_plugins(version, &[Plugin::scripted("properties", "
            log: property-int response.code
            log: property-int request.size
            log: property-int response.size
            log: property request.path
            log: property response headers x-response
        ")]);
        upstream.answer(Answer::ok(&[b"answer"]).header("x-response", "value"));
        envoy.client("main").send(&Request::post("/", &[b"request"]));
        envoy.await_plugin_log("property-int response.code -> 0 200");
        envoy.await_plugin_log("property-int request.size -> 0 7");
        envoy.await_plugin_log("property-int response.size -> 0 6");
        envoy.await_plugin_log(r#"property request.path -> 0 "/""#);
        envoy.await_plugin_log(r#"property response headers x-response -> 0 "value""#);
    }

    fn a_header_that_a_plugin_adds_decides_the_route(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("routes", "
            request_headers: property xds.route_name
            request_headers: if-header request x-want other add request x-other-route 1
            response_headers: property xds.route_name
        ");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin)
            .route(
                Route::by_header("x-other-route", "upstream")
                    .set("name", "other")
                    .set("route.prefix_rewrite", "/other"),
            )
            .route(Route::new("/", "upstream").set("name", "first"));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        envoy.client("main").get("/");
        assert_eq!(upstream.take_one().path, "/");
        envoy.client("main").send(&Request::get("/").header("x-want", "other"));
        assert_eq!(upstream.take_one().path, "/other");
        envoy.await_plugin_log(r#"property xds.route_name -> 0 "other""#);
    }
}
