//! Graft's own statistics are in `/stats`: what fails, what there is, what has ended.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, eventually};

/// A statistic by its name and labels; 0 if Envoy does not have it.
fn stat(envoy: &Envoy, name: &str) -> u64 {
    envoy.admin().stat(&format!("dynamicmodulescustom.graft_{name}")).unwrap_or(0)
}

/// Waits for a statistic to have a value. To Envoy 1.38 streams alone bring what has changed elsewhere.
fn await_stat(envoy: &Envoy, listener: &str, name: &str, value: u64) {
    eventually(&format!("{name} to be {value}"), || {
        assert_eq!(envoy.client(listener).get("/").status, 200);
        (stat(envoy, name) == value).then_some(())
    });
}

/// Whether a histogram has samples. Envoy adds them up every five seconds.
fn has_samples(envoy: &Envoy, name: &str) -> bool {
    let stats = envoy.admin().stats(&format!("graft_{name}$"));
    stats.into_values().any(|value| value.starts_with("P0("))
}

fn watched(script: &str) -> Plugin {
    // VMs that plugins share are counted under one of them.
    Plugin::scripted("watched", script).set("vm_config.vm_id", "watched")
}

const TROUBLE: &str = "
    request_headers: if-header request x-do panic panic \"as told\"
    request_headers: if-header request x-do loop loop
    response_headers: add response x-plugin ran
";

on_each_envoy! {
    fn what_fails_is_counted_by_its_cause(version) {
        let plugin = watched(TROUBLE).set("graft.limits.call_deadline", "0.5s");
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        let client = envoy.client("main");
        for what in ["panic", "loop", "panic"] {
            assert_eq!(client.send(&Request::get("/").header("x-do", what)).status, 503);
            assert_eq!(client.get("/").status, 200);
        }
        let main = "main";
        await_stat(&envoy, main, "traps.plugin.watched.cause.unreachable", 2);
        await_stat(&envoy, main, "traps.plugin.watched.cause.deadline", 1);
        await_stat(&envoy, main, "deadline_hits.plugin.watched.deadline.call", 1);
        await_stat(&envoy, main, "streams_failed.plugin.watched.policy.closed", 3);
        await_stat(&envoy, main, "vms_retired.plugin.watched", 3);
        await_stat(&envoy, main, "breakers_open.plugin.watched", 0);
        assert!(stat(&envoy, "vms_active.plugin.watched") >= 1);
        assert!(stat(&envoy, "vms_created.plugin.watched") >= 4);
        assert!(stat(&envoy, "memory_bytes.plugin.watched") > 64 * 1024);
        let line = envoy.await_log("graft.limits.call_deadline");
        assert!(line.text.contains("graft: plugin \"watched\": stream "), "{line:?}");
        // Each 64th call is timed.
        for _ in 0..200 {
            assert_eq!(client.get("/").status, 200);
        }
        eventually("the times", || {
            assert_eq!(client.get("/").status, 200);
            (has_samples(&envoy, "vm_start_us.plugin.watched")
                && !envoy.admin().stats("graft_call_us.plugin.watched.entry_point.proxy_on_").is_empty())
            .then_some(())
        });
        assert!(envoy.stop().status.success());
    }

    fn waits_are_counted_and_timed(version) {
        let plugin = watched("response_headers: add response x-plugin ran")
            .set("graft.isolation", "stream")
            .set("graft.pool.max_vms", 1)
            .set("graft.pool.max_wait", "0.2s");
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        let gate = upstream.hold();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| envoy.client("main").get("/"));
            eventually("the first request to arrive", || (gate.arrived() == 1).then_some(()));
            assert_eq!(envoy.client("main").get("/").status, 503, "it waits for too long");
            gate.open();
            assert_eq!(first.join().unwrap().status, 200);
        });
        let main = "main";
        await_stat(&envoy, main, "waits.plugin.watched", 1);
        await_stat(&envoy, main, "wait_timeouts.plugin.watched", 1);
        await_stat(&envoy, main, "streams_failed.plugin.watched.policy.closed", 1);
        await_stat(&envoy, main, "streams_waiting.plugin.watched", 0);
        await_stat(&envoy, main, "stream_vms_active.plugin.watched", 0);
        eventually("the time", || {
            assert_eq!(envoy.client("main").get("/").status, 200);
            has_samples(&envoy, "wait_ms.plugin.watched").then_some(())
        });
        assert!(envoy.stop().status.success());
    }

    /// Another plugin is there all the time, so that Envoy has somebody to take the news from.
    fn a_plugin_that_is_swapped_and_then_gone_goes_down_in_the_gauges(version) {
        let upstream = Upstream::http1("upstream");
        let with = |script: &str| Listener::new("main").plugin(Host::Graft, &watched(script));
        let other = Listener::new("other")
            .plugin(Host::Graft, &Plugin::scripted("other", "response_headers: add response x-plugin other"));
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(other)
            .listener(with("response_headers: add response x-plugin old"))
            .listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        await_stat(&envoy, "other", "generations_active.plugin.watched", 1);
        assert!(stat(&envoy, "vms_active.plugin.watched") >= 1);
        let other = || {
            Listener::new("other")
                .plugin(Host::Graft, &Plugin::scripted("other", "response_headers: add response x-plugin other"))
        };
        envoy.publish(&[other(), with("response_headers: add response x-plugin new")]);
        eventually("the new version to serve", || {
            (envoy.client("main").get("/").header("x-plugin") == Some("new")).then_some(())
        });
        await_stat(&envoy, "other", "generations_active.plugin.watched", 1);
        envoy.publish(&[other()]);
        for gauge in ["generations_active", "vms_active", "vms_spare", "memory_bytes", "streams_waiting"] {
            await_stat(&envoy, "other", &format!("{gauge}.plugin.watched"), 0);
        }
        let streams = envoy.admin().stats("graft_streams_active.plugin.watched");
        assert!(streams.values().all(|value| value == "0"), "{streams:?}");
        assert!(stat(&envoy, "vms_active.plugin.other") >= 1);
        assert!(envoy.stop().status.success());
    }
}
