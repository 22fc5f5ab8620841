//! Timers of root contexts.

use std::time::Duration;

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, eventually, within};

/// How long something is watched that must not happen.
const WHILE: Duration = Duration::from_millis(400);

fn ticks(envoy: &Envoy) -> usize {
    envoy.count_plugin_log("on_tick root")
}

on_each_envoy! {
    fn ticks_come_while_nothing_else_happens_and_while_much_does(version) {
        let plugin = Plugin::scripted("ticks", "configure: tick-period 20");
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        envoy.await_plugin_lines(5, "on_tick root");
        let client = envoy.client("main");
        let before = ticks(&envoy);
        let served = (1..=2_000).find(|_| {
            assert_eq!(client.get("/").status, 200);
            ticks(&envoy) >= before + 5
        });
        assert!(served.is_some(), "no ticks while there is traffic");
        assert!(envoy.stop().status.success());
    }

    fn a_period_of_zero_ends_the_ticks(version) {
        let plugin = Plugin::scripted("ticks", "configure: tick-period 10\ntick: if-nth 3 tick-period 0");
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        envoy.await_plugin_lines(3, "on_tick root");
        envoy.await_plugin_log("tick-period 0 -> 0");
        let before = ticks(&envoy);
        assert_eq!(within(WHILE, || (ticks(&envoy) > before).then_some(())), None);
    }

    fn a_request_sets_the_period_of_its_root_context(version) {
        let plugins = [
            Plugin::scripted("quick", "request_headers: tick-period 20\ntick: property plugin_name"),
            Plugin::scripted("never", "tick: log error \"not asked for\""),
        ];
        let (envoy, _upstream) = Envoy::with_plugins(version, &plugins);
        assert_eq!(within(WHILE, || (ticks(&envoy) > 0).then_some(())), None);
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.await_plugin_lines(3, "property plugin_name -> 0 \"quick\"");
        assert_eq!(envoy.count_plugin_log("not asked for"), 0);
    }

    fn a_plugin_that_is_gone_ticks_no_more(version) {
        let upstream = Upstream::http1("upstream");
        let ticking = Listener::new("main")
            .plugin(Host::Graft, &Plugin::scripted("ticks", "configure: tick-period 20"));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(ticking).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_lines(3, "on_tick root");
        envoy.publish(&[Listener::new("other")]);
        // Draining takes its time; then there is a while without a tick.
        let quiet = within(Duration::from_secs(20), || {
            let before = ticks(&envoy);
            within(WHILE, || (ticks(&envoy) > before).then_some(())).is_none().then_some(())
        });
        assert_eq!(quiet, Some(()), "ticks after the plugin is gone");
        assert_eq!(envoy.client("other").get("/").status, 200);
        assert!(envoy.stop().status.success());
    }

    /// The fresh VM does not tick: nobody has asked it to. The first is asked when the exchange is over; one that is under way
    /// goes with its VM.
    fn a_tick_that_traps_costs_no_request(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("dies", "
            log: if-header request x-do die tick-period 20
            tick: panic \"at the tick\"
        ")]);
        let client = envoy.client("main");
        for deaths in 1..=2 {
            assert_eq!(client.send(&Request::get("/").header("x-do", "die")).status, 200);
            eventually("the tick to trap", || {
                let lines = envoy.log().iter().filter(|line| line.text.contains("proxy_on_tick failed")).count();
                (lines >= deaths).then_some(())
            });
            assert_eq!(client.get("/").status, 200);
        }
        assert!(envoy.stop().status.success());
    }

    fn a_long_tick_holds_up_no_other_plugin(version) {
        let upstream = Upstream::http1("upstream");
        let slow = Plugin::scripted("slow", "configure: tick-period 10\ntick: spin 200").set("vm_config.vm_id", "slow");
        let quick = Plugin::scripted("quick", "configure: tick-period 10").set("vm_config.vm_id", "quick");
        let listener = |plugin: &Plugin| Listener::new(plugin.name()).plugin(Host::Graft, plugin);
        let envoy = Envoy::start(
            version,
            &Bootstrap::new().upstream(&upstream).listener(listener(&slow)).listener(listener(&quick)),
        );
        envoy.await_plugin_log("wasm log slow: on_tick root");
        let start = std::time::Instant::now();
        assert_eq!(envoy.client("quick").get("/").status, 200);
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(envoy.stop().status.success());
    }
}
