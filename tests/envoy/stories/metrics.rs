//! Metrics of plugins are in Envoy's statistics, and plugins read them back.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Envoy, Plugin, eventually};

/// The value of the one statistic whose name ends with `.NAME` or is labelled with it.
fn stat(envoy: &Envoy, name: &str) -> Option<u64> {
    envoy.admin().stats(&format!("{name}$")).into_values().find_map(|value| value.parse().ok())
}

on_each_envoy! {
    fn metrics_are_in_the_statistics_of_envoy(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("metrics", "
            configure: define-metric counter story_counter
            configure: define-metric gauge story_gauge
            configure: define-metric histogram story_histogram
            configure: increment-metric story_counter 5
            request_headers: increment-metric story_counter 2
            request_headers: get-metric story_counter
            request_headers: record-metric story_gauge 40
            request_headers: increment-metric story_gauge 2
            request_headers: get-metric story_gauge
            request_headers: record-metric story_histogram 7
            request_headers: get-metric story_histogram
            response_headers: define-metric counter story_late
            response_headers: increment-metric story_late 3
            response_headers: get-metric story_late
            log: increment-metric story_counter 100
        ")]);
        for _ in 0..2 {
            assert_eq!(envoy.client("main").get("/").status, 200);
        }
        envoy.await_quiet("main");
        // Counted by the streams; how often a plugin is configured is the host's business.
        let counted = eventually("the counter", || stat(&envoy, "story_counter").filter(|value| *value >= 204));
        assert_eq!(counted % 5, 204 % 5, "{counted}");
        assert_eq!(stat(&envoy, "story_gauge"), Some(42));
        assert_eq!(stat(&envoy, "story_late"), Some(6));
        envoy.await_plugin_log("get-metric story_gauge -> 0 42");
        envoy.await_plugin_log("get-metric story_histogram -> 2");
        envoy.await_plugin_log("get-metric story_late -> 0 6");
        eventually("the histogram", || {
            let stats = envoy.admin().stats("story_histogram$");
            stats.into_values().any(|value| value.starts_with("P0(")).then_some(())
        });
    }

    fn two_plugins_share_a_metric_of_one_name(version) {
        let script = |step: u32| format!("
            configure: define-metric counter shared_counter
            request_headers: increment-metric shared_counter {step}
            log: get-metric shared_counter
        ");
        let plugins = [Plugin::scripted("one", &script(1)), Plugin::scripted("ten", &script(10))];
        let (envoy, _upstream) = Envoy::with_plugins(version, &plugins);
        for _ in 0..3 {
            envoy.client("main").get("/");
        }
        eventually("the counter", || stat(&envoy, "shared_counter").filter(|value| *value == 33));
        envoy.await_plugin_log("get-metric shared_counter -> 0 33");
    }
}
