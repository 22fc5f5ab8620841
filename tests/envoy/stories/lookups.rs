//! A plugin asks for the addresses of names, and streams wait for them. No name server is needed.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream};

on_each_envoy! {
    fn a_request_waits_for_the_address_of_a_name(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("waits", "
            request_headers: resolve-dns localhost
            request_headers: return 1
            resolve_dns: effective caller
            resolve_dns: add request x-resolved 1
            resolve_dns: continue request");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        for _ in 0..3 {
            assert_eq!(envoy.client("main").get("/").status, 200);
            let seen = upstream.take_one();
            assert!(seen.headers.iter().any(|(name, _)| name == "x-resolved"), "{:?}", seen.headers);
        }
        envoy.await_plugin_log("on_resolve_dns root some");
        assert!(envoy.complaints().is_empty(), "{:?}", envoy.complaints());
        assert!(envoy.stop().status.success());
    }

    fn root_contexts_resolve_names_and_are_told_of_those_that_nobody_has(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("asks", "
            configure: resolve-dns nowhere.invalid
            configure: tick-period 20
            tick: tick-period 0
            tick: resolve-dns \"no name\"
            resolve_dns: buffer-get foreign 0 10");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        envoy.await_plugin_log("on_resolve_dns root 4");
        envoy.await_plugin_log(r#"buffer-get foreign 0 10 -> 0 "\x00\x00\x00\x00""#);
        envoy.await_plugin_log("on_resolve_dns root 0");
        envoy.await_plugin_log("buffer-get foreign 0 10 -> 0 (null)");
        assert!(envoy.stop().status.success());
    }
}
