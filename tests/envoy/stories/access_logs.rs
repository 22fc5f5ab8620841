//! A plugin as access logger sees every exchange of its listener in its final state.

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Route, Upstream, Version, eventually,
};

/// Envoy with a listener whose exchanges a scripted plugin logs.
fn logged(version: Version, script: &str) -> (Envoy, std::sync::Arc<Upstream>) {
    let upstream = Upstream::http1("upstream");
    let listener = Listener::new("main")
        .route(Route::new("/teapot", "upstream").set("name", "teapot"))
        .access_logger(Host::Graft, &Plugin::scripted("logger", script).set("root_id", "root"));
    let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
    (envoy, upstream)
}

on_each_envoy! {
    fn the_final_state_of_an_exchange_is_seen(version) {
        let (envoy, upstream) = logged(version, "
            log: get request :path
            log: get request x-sent
            log: get response :status
            log: get response x-answered
            log: get response-trailers x-trailer
            log: property-int response.code
            log: property response.code_details
            log: property-int response.flags
            log: property-int request.size
            log: property-int response.size
            log: property-size request.duration
            log: property-size response.backend_latency
            log: property request.method
            log: property request.protocol
            log: property upstream.address
            log: property-status source.address
            log: property xds.route_name
            log: property xds.cluster_name
        ");
        upstream.answer(
            Answer::ok(&[b"three ", b"four"]).header("x-answered", "yes").trailers(&[("x-trailer", "last")]),
        );
        let request = Request::post("/teapot?short=1", &[b"one ", b"two"]).header("x-sent", "yes");
        assert_eq!(envoy.client("main").send(&request).status, 200);
        let address = format!("property upstream.address -> 0 \"{}\"", upstream.address());
        for line in [
            "get request :path -> 0 \"/teapot?short=1\"",
            "get request x-sent -> 0 \"yes\"",
            "get response :status -> 0 \"200\"",
            "get response x-answered -> 0 \"yes\"",
            "get response-trailers x-trailer -> 0 \"last\"",
            "property-int response.code -> 0 200",
            "property response.code_details -> 0 \"via_upstream\"",
            "property-int response.flags -> 0 0",
            "property-int request.size -> 0 7",
            "property-int response.size -> 0 10",
            "property-size request.duration -> 0 8 bytes",
            "property-size response.backend_latency -> 0 8 bytes",
            "property request.method -> 0 \"POST\"",
            "property request.protocol -> 0 \"HTTP/1.1\"",
            address.as_str(),
            "property-status source.address -> 0",
            "property xds.route_name -> 0 \"teapot\"",
            "property xds.cluster_name -> 0 \"upstream\"",
        ] {
            envoy.await_plugin_log(line);
        }
        assert!(envoy.complaints().is_empty(), "{:?}", envoy.complaints());
    }

    fn an_exchange_is_logged_by_the_root_context_and_once(version) {
        let (envoy, _upstream) = logged(version, "log: get request :path");
        for path in ["/one", "/two", "/three"] {
            envoy.client("main").get(path);
        }
        envoy.await_plugin_log("get request :path -> 0 \"/three\"");
        let lines = envoy.plugin_log();
        let logs: Vec<_> = lines.iter().filter(|line| line.contains("on_log")).collect();
        assert_eq!(logs, ["wasm log root: on_log root"; 3], "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("context_create stream")), "{lines:?}");
    }

    fn an_upstream_that_breaks_off_shows_in_flags_and_details(version) {
        let (envoy, upstream) = logged(version, "
            log: property-int response.code
            log: property-int response.flags
            log: property response.code_details
        ");
        upstream.answer(Answer::ok(&[b"half"]).broken());
        envoy.client("main").get("/");
        envoy.await_plugin_log("property-int response.code -> 0 200");
        // The upstream broke the protocol (UPE, bit 23).
        envoy.await_plugin_log(&format!("property-int response.flags -> 0 {}", 1 << 23));
        let line = envoy.await_log("property response.code_details -> 0");
        assert!(line.of_plugin().is_some_and(|line| line.contains("upstream_reset_after_response_started")), "{line:?}");
    }

    fn exchanges_that_go_on_are_not_logged(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("logger", "log: get request :path");
        let listener = Listener::new("main")
            .access_logger(Host::Graft, &plugin)
            .set("access_log_options", json!({ "flush_access_log_on_new_request": true }));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        envoy.client("main").get("/");
        envoy.await_plugin_log("get request :path -> 0 \"/\"");
        // The file has a line for the beginning as well.
        assert_eq!(envoy.await_access_log("main", 2).len(), 2);
        let logs = envoy.plugin_log().iter().filter(|line| line.contains("on_log")).count();
        assert_eq!(logs, 1, "{:?}", envoy.plugin_log());
    }

    fn a_filter_and_a_logger_of_the_same_plugin_share_a_root_context(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("both", "
            log: get request :path
        ");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin).access_logger(Host::Graft, &plugin);
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        envoy.client("main").get("/");
        envoy.await_plugin_log("on_log root");
        // In the worker's VM and in the spare.
        envoy.await_plugin_lines(2, "on_configure");
        let lines = envoy.plugin_log();
        // The filter's stream logs and the root logs for the logger; the plugin was configured once in each VM.
        assert_eq!(lines.iter().filter(|line| line.ends_with("on_log stream")).count(), 1, "{lines:?}");
        assert_eq!(lines.iter().filter(|line| line.ends_with("on_log root")).count(), 1, "{lines:?}");
        let without_logger = {
            let listener = Listener::new("main").plugin(Host::Graft, &plugin);
            let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
            envoy.await_plugin_lines(2, "on_configure");
            envoy.plugin_log().iter().filter(|line| line.contains("on_configure")).count()
        };
        let configured = lines.iter().filter(|line| line.contains("on_configure")).count();
        assert_eq!(configured, without_logger, "{lines:?}");
    }

    fn metrics_of_a_logger_are_in_the_statistics(version) {
        let (envoy, _upstream) = logged(version, "
            configure: define-metric counter logger_lines
            configure: define-metric gauge logger_level
            configure: define-metric histogram logger_sizes
            log: increment-metric logger_lines 2
            log: record-metric logger_level 40
            log: increment-metric logger_level -1
            log: record-metric logger_sizes 7
            log: get-metric logger_lines
        ");
        envoy.client("main").get("/");
        envoy.client("main").get("/");
        envoy.await_plugin_log("get-metric logger_lines -> 0 4");
        let stat = |name: &str| -> Option<u64> {
            envoy.admin().stats(&format!("{name}$")).into_values().find_map(|value| value.parse().ok())
        };
        eventually("the counter", || stat("logger_lines").filter(|value| *value == 4));
        assert_eq!(stat("logger_level"), Some(39));
    }

    fn a_logger_that_traps_hurts_no_exchange(version) {
        let (envoy, _upstream) = logged(version, "
            log: if-header request x-do panic panic \"as told\"
            log: get request :path
        ");
        let client = envoy.client("main");
        assert_eq!(client.send(&Request::get("/first").header("x-do", "panic")).status, 200);
        envoy.await_log("Function: proxy_on_log failed");
        assert_eq!(client.get("/second").status, 200);
        envoy.await_plugin_log("get request :path -> 0 \"/second\"");
    }

    fn a_logger_that_cannot_be_loaded_is_refused(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("refused", "no such callback");
        let listener = Listener::new("main").access_logger(Host::Graft, &plugin);
        let ended = Envoy::try_start(version, &Bootstrap::new().upstream(&upstream).listener(listener))
            .expect_err("a configuration that the plugin refuses");
        assert!(ended.line("graft: plugin \"refused\"").contains("refused"), "{ended}");
    }
}
