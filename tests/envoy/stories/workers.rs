//! Several workers serve at once.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream};

on_each_envoy! {
    fn every_worker_serves_a_plugin(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("workers", "response_headers: add response x-plugin ran");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).concurrency(3);
        let envoy = Envoy::start(version, &bootstrap);
        let client = envoy.client("main");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let response = client.get("/");
                        assert_eq!((response.status, response.header("x-plugin")), (200, Some("ran")));
                    }
                });
            }
        });
        envoy.await_quiet("main");
        // Every stream has one life: no context is left behind, and none dies twice.
        let log = envoy.plugin_log();
        let count = |text: &str| log.iter().filter(|line| line.ends_with(text)).count();
        assert_eq!(count("on_context_create stream"), 80);
        envoy.await_plugin_log("on_delete stream");
        crate::harness::eventually("every context to be deleted", || {
            let deleted = envoy.plugin_log().iter().filter(|line| line.ends_with("on_delete stream")).count();
            (deleted == 80).then_some(())
        });
        assert!(envoy.stop().status.success());
    }
}
