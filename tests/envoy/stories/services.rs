//! Services: plugins that run without a filter, as Envoy's bootstrap extension.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version};

on_each_envoy! {
    fn a_service_reads_what_filters_queue(version) {
        let reader = Plugin::scripted("reader", "
            configure: queue-register work
            queue_ready: dequeue")
        .set("vm_config.vm_id", "reader");
        let writer = Plugin::scripted("writer", "
            request_headers: queue-resolve reader work
            request_headers: enqueue message");
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &writer);
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener).service(&reader, true).concurrency(2);
        let envoy = Envoy::start(version, &bootstrap);
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.await_plugin_log("dequeue -> 0 \"message\"");
        assert_eq!(envoy.count_plugin_log("queue-register work -> 0"), 1, "a singleton has one VM");
        assert!(envoy.stop().status.success());
    }

    /// Also without any HTTP filter of Graft's.
    fn a_service_ticks_and_calls_once_clusters_are_ready(version) {
        let caller = Plugin::scripted("caller", "
            configure: tick-period 20
            configure: http-call upstream 5000 \"\" :method GET :path /keys :authority keys
            http_call_response: get call :status");
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(Listener::new("main")).service(&caller, true);
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_lines(3, "on_tick root");
        if version == Version::V1_37 {
            envoy.await_plugin_log("-> 10");
        } else {
            envoy.await_plugin_log("get call :status -> 0 \"200\"");
            assert_eq!(upstream.take_one().path, "/keys");
        }
        assert!(envoy.stop().status.success());
    }

    fn a_service_that_is_no_singleton_runs_for_each_worker(version) {
        let plugin = Plugin::scripted("each", "configure: log info configured");
        let upstream = Upstream::http1("upstream");
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("main"))
            .service(&plugin, false)
            .concurrency(2);
        let envoy = Envoy::start(version, &bootstrap);
        // Envoy 1.37 does not say how many workers it has.
        let workers = if version == Version::V1_37 { 1 } else { 2 };
        envoy.await_plugin_lines(workers, ": configured");
        assert_eq!(envoy.count_plugin_log(": configured"), workers);
    }

    fn envoy_refuses_to_start_with_a_wrong_service(version) {
        let plugin = Plugin::scripted("wrong", "configure: return 0");
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(Listener::new("main")).service(&plugin, true);
        match Envoy::try_start(version, &bootstrap) {
            Ok(envoy) => panic!("it was accepted: {:?}", envoy.log()),
            Err(ended) => {
                let line = ended.line("plugin \"wrong\"");
                assert!(line.contains("configuration: the plugin refused its configuration"), "{line}");
            }
        }
    }
}
