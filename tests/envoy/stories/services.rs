//! Services: plugins that run without a filter, as Envoy's bootstrap extension.

use std::time::Duration;

use crate::harness::envoy::on_each_envoy;
use crate::harness::grpc_upstream::GrpcUpstream;
use crate::harness::upstream::Protocol;
use crate::harness::{
    Bootstrap, CalloutUpstream, Envoy, Host, Listener, Plugin, Upstream, Version, eventually, within,
};

/// Calls while it is configured: it is made as soon as clusters are ready.
const GRPC: &str = "
    configure: grpc-call grpc graft.test.Echo Say hello 5000
    grpc_receive: buffer-get grpc 0 100";

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

    /// Without any HTTP filter of Graft's; the names are those that a filter gives.
    fn the_metrics_of_a_service_show(version) {
        let service = Plugin::scripted("counts", "
            configure: define-metric counter service_counter
            configure: define-metric gauge service_gauge
            configure: define-metric histogram service_histogram
            configure: increment-metric service_counter 5
            configure: tick-period 20
            tick: if-nth 1 increment-metric service_counter 100
            tick: record-metric service_gauge 42
            tick: record-metric service_histogram 7
            tick: if-nth 1 define-metric counter service_late
            tick: if-nth 1 increment-metric service_late 3");
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(Listener::new("main")).service(&service, true);
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_lines(3, "on_tick root");
        let stat = |name: &str| envoy.admin().stat(&format!("dynamicmodulescustom.{name}"));
        if version == Version::V1_37 {
            // There is no way at all without a filter.
            let shown = within(Duration::from_millis(400), || stat("service_counter"));
            assert_eq!(shown, None);
        } else {
            eventually("the counter", || stat("service_counter").filter(|value| *value == 105));
            eventually("the gauge", || stat("service_gauge").filter(|value| *value == 42));
            eventually("the late one", || stat("wasm_counter.metric.service_late").filter(|value| *value == 3));
            eventually("the histogram", || {
                let stats = envoy.admin().stats("service_histogram$");
                stats.into_values().any(|value| value.starts_with("P0(")).then_some(())
            });
        }
        assert!(envoy.stop().status.success());
    }

    /// A filter of another plugin is there as well.
    fn the_metrics_of_a_service_show_beside_a_filter(version) {
        let service = Plugin::scripted("counts", "
            configure: define-metric counter service_counter
            configure: tick-period 20
            tick: if-nth 1 increment-metric service_counter 7");
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &Plugin::scripted("other", ""));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).service(&service, true);
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_log("increment-metric service_counter 7 -> 0");
        let name = if version == Version::V1_37 {
            assert_eq!(envoy.client("main").get("/").status, 200);
            "dynamicmodulescustom.wasm_counter.metric.service_counter"
        } else {
            "dynamicmodulescustom.service_counter"
        };
        eventually("the counter", || envoy.admin().stat(name).filter(|value| *value == 7));
        assert!(envoy.stop().status.success());
    }

    /// An extension's calls have no trailers, and without them there is no status of a gRPC call.
    fn a_grpc_call_of_a_service_alone_fails_with_a_reason(version) {
        let (grpc, caller) = (GrpcUpstream::start(), Plugin::scripted("caller", GRPC));
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main");
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).service(&caller, true);
        let envoy = Envoy::start(version, &grpc.add_to(bootstrap));
        if version == Version::V1_37 {
            envoy.await_plugin_log("grpc-call grpc graft.test.Echo Say hello 5000 -> 10");
            envoy.await_log("this Envoy lets only streams make calls");
        } else {
            envoy.await_plugin_log("grpc-call grpc graft.test.Echo Say hello 5000 -> 0");
            envoy.await_plugin_log("on_grpc_close root 14");
            envoy.await_log("only an HTTP filter of Graft's can make gRPC calls");
        }
        assert_eq!(grpc.seen(), [""; 0]);
        assert!(envoy.stop().status.success());
    }

    fn a_grpc_call_of_a_service_goes_through_any_filter(version) {
        let (grpc, caller) = (GrpcUpstream::start(), Plugin::scripted("caller", GRPC));
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &Plugin::scripted("other", ""));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).service(&caller, true);
        let envoy = Envoy::start(version, &grpc.add_to(bootstrap));
        if version == Version::V1_37 {
            envoy.await_log("this Envoy lets only streams make calls");
        } else {
            envoy.await_plugin_log("buffer-get grpc 0 100 -> 0 \"hello\"");
            assert_eq!(grpc.seen(), ["Say: hello"]);
        }
        assert!(envoy.stop().status.success());
    }

    /// One has the only connection, the other waits for it.
    fn an_envoy_with_a_service_ends_whatever_callouts_wait_for(version) {
        let (upstream, callouts) = (Upstream::http1("upstream"), CalloutUpstream::start());
        let caller = Plugin::scripted("caller", "
            request_headers: http-call small 60000 \"\" :method GET :path /hang :authority a
        ");
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("main").plugin(Host::Graft, &caller))
            .service(&Plugin::scripted("service", ""), true)
            .cluster("small", callouts.address(), Protocol::Http1)
            .with_room_for_one();
        let envoy = Envoy::start(version, &bootstrap);
        assert_eq!(envoy.client("main").get("/").status, 200);
        if version != Version::V1_37 {
            eventually("the first callout to wait", || (callouts.waiting() == 1).then_some(()));
        }
        assert_eq!(envoy.client("main").get("/").status, 200);
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    /// No stream comes by that would want another VM.
    fn a_service_that_traps_in_a_tick_ticks_again(version) {
        let plugin = Plugin::scripted("fragile", "
            configure: tick-period 20
            tick: if-nth 2 trap
            tick: log info ticked");
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(Listener::new("main")).service(&plugin, true);
        let envoy = Envoy::start(version, &bootstrap);
        // Each VM ticks once before it traps.
        envoy.await_plugin_lines(3, ": ticked");
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
