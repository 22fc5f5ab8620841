//! Metrics of plugins are in Envoy's statistics, and plugins read them back.

use std::time::Duration;

use crate::harness::envoy::on_each_envoy;
use crate::harness::tcp::{TcpProxy, TcpUpstream};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version, eventually, within};

/// How long something is watched that must not happen.
const WHILE: Duration = Duration::from_millis(400);

/// Counts, sets and records in each tick, each more than once, so that something is there to be added up.
const TICKING: &str = "
    configure: define-metric counter tick_counter
    configure: define-metric gauge tick_gauge
    configure: define-metric histogram tick_histogram
    configure: tick-period 20
    tick: repeat 1000 increment-metric tick_counter 1
    tick: record-metric tick_gauge 40
    tick: increment-metric tick_gauge 2
    tick: record-metric tick_histogram 7
    tick: record-metric tick_histogram 9
    tick: if-nth 1 define-metric counter tick_late
    tick: increment-metric tick_late 1
    tick: get-metric tick_counter
";

/// Whether the histogram has had a sample. Envoy adds them up every five seconds.
fn has_samples(envoy: &Envoy, name: &str) -> bool {
    let stats = envoy.admin().stats(&format!("{name}$"));
    stats.into_values().any(|value| value.starts_with("P0("))
}

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

    /// Nobody sends a request.
    fn what_ticks_change_shows_by_itself(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("ticks", TICKING)]);
        envoy.await_plugin_lines(3, "on_tick root");
        let shown = || stat(&envoy, "tick_counter").filter(|value| *value >= 3000);
        let has_streams_alone = matches!(version, Version::V1_37 | Version::V1_38);
        if has_streams_alone {
            // There Envoy takes updates from streams alone.
            assert_eq!(within(WHILE, shown), None);
        }
        // A tick counts a thousand, one by one; a request in the middle of one brings what there is.
        eventually("whole thousands", || {
            if has_streams_alone {
                assert_eq!(envoy.client("main").get("/").status, 200);
            }
            shown().filter(|counted| counted % 1000 == 0)
        });
        eventually("the gauge", || stat(&envoy, "tick_gauge").filter(|value| *value == 42));
        // Its name was not known when the configuration was made.
        let late = "dynamicmodulescustom.wasm_counter.metric.tick_late";
        eventually("the late one", || envoy.admin().stat(late).filter(|value| *value >= 1));
        eventually("the histogram", || has_samples(&envoy, "tick_histogram").then_some(()));
        assert!(envoy.stop().status.success());
    }

    /// Also where streams alone take updates: a logger's configuration takes them at any time.
    fn what_ticks_of_an_access_logger_change_shows_by_itself(version) {
        let upstream = Upstream::http1("upstream");
        let listener =
            Listener::new("main").access_logger(Host::Graft, &Plugin::scripted("ticks", TICKING));
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        eventually("the counter", || stat(&envoy, "tick_counter").filter(|value| *value >= 3000));
        eventually("the gauge", || stat(&envoy, "tick_gauge").filter(|value| *value == 42));
        // No thread of Envoy's can be had for a histogram before something is logged.
        assert!(!has_samples(&envoy, "tick_histogram"));
        assert_eq!(envoy.client("main").get("/").status, 200);
        eventually("the histogram", || has_samples(&envoy, "tick_histogram").then_some(()));
        assert!(envoy.stop().status.success());
    }

    /// The filter brings the main thread, on which the logger's configuration takes histograms as well.
    fn a_plugin_that_is_filter_and_logger_has_the_best_of_both(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("ticks", TICKING);
        let listener = Listener::new("main").plugin(Host::Graft, &plugin).access_logger(Host::Graft, &plugin);
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        eventually("the counter", || stat(&envoy, "tick_counter").filter(|value| *value >= 3000));
        eventually("the gauge", || stat(&envoy, "tick_gauge").filter(|value| *value == 42));
        eventually("the histogram", || has_samples(&envoy, "tick_histogram").then_some(()));
        assert!(envoy.stop().status.success());
    }

    fn what_ticks_of_a_network_filter_change_shows_by_itself(version) {
        let upstream = TcpUpstream::echo("tcp");
        let listener = TcpProxy::new("main", "tcp").plugin(Host::Graft, &Plugin::scripted("ticks", TICKING));
        let envoy = Envoy::start(version, &Bootstrap::new().tcp_upstream(&upstream).tcp_proxy(listener));
        envoy.await_plugin_lines(3, "on_tick root");
        let shown = || stat(&envoy, "tick_counter").filter(|value| *value >= 3000);
        if matches!(version, Version::V1_37 | Version::V1_38) {
            assert_eq!(within(WHILE, shown), None);
        } else {
            eventually("the counter", shown);
            eventually("the gauge", || stat(&envoy, "tick_gauge").filter(|value| *value == 42));
            eventually("the histogram", || has_samples(&envoy, "tick_histogram").then_some(()));
        }
        assert!(envoy.stop().status.success());
    }

    /// The configuration that was asked to carry updates goes, and another one has the same metrics.
    fn metrics_survive_the_configuration_that_carried_them(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("ticks", TICKING);
        let listener = |name: &str| Listener::new(name).plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener("main")).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_lines(3, "on_tick root");
        envoy.publish(&[listener("other")]);
        eventually("the listener to serve", || envoy.address("other"));
        let mut last = 0;
        for _ in 0..3 {
            last = eventually("more", || {
                // Where streams alone take updates, each brings those before it.
                assert_eq!(envoy.client("other").get("/").status, 200);
                stat(&envoy, "tick_counter").filter(|value| *value > last)
            });
        }
        assert!(envoy.stop().status.success());
    }
}
