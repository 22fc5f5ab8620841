//! A route gives a plugin another configuration, or turns it off.

use serde_json::json;

use crate::harness::config::string_value;
use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Route, Upstream};

on_each_envoy! {
    fn a_route_has_a_configuration_of_its_own(version) {
        let upstream = Upstream::http1("upstream");
        let other = string_value("response_headers: add response x-plugin other");
        let text = "response_headers: add response x-plugin text";
        let listener = Listener::new("main")
            .plugin(Host::Graft, &Plugin::scripted("routed", "response_headers: add response x-plugin usual"))
            .route(
                Route::new("/other", "upstream")
                    .with_filter_config("routed", &json!({ "configuration": other })),
            )
            .route(
                Route::new("/text", "upstream")
                    .with_filter_config("routed", &json!({ "configuration": text })),
            )
            .route(Route::new("/off", "upstream").with_filter_config("routed", &json!({ "disabled": true })));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let client = envoy.client("main");
        for _ in 0..3 {
            assert_eq!(client.get("/").header("x-plugin"), Some("usual"));
            assert_eq!(client.get("/other").header("x-plugin"), Some("other"));
            assert_eq!(client.get("/text").header("x-plugin"), Some("text"));
            let off = client.get("/off");
            assert_eq!((off.status, off.header("x-plugin")), (200, None));
        }
    }

    fn a_wrong_configuration_of_a_route_is_refused(version) {
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main")
            .plugin(Host::Graft, &Plugin::scripted("routed", ""))
            .route(Route::new("/other", "upstream").with_filter_config("routed", &json!({ "disable": true })));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
        let ended = Envoy::try_start(version, &bootstrap).expect_err("Envoy refuses");
        let line = ended.line("per-route configuration");
        assert!(line.contains("unknown field") && line.contains("disabled"), "{line}");
    }
}
