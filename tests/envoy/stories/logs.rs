//! What plugins log is in Envoy's log, with the prefix that users know, at the level of the logger.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, eventually};

const LEVELS: [(&str, &str); 6] = [
    ("trace", "trace"),
    ("debug", "debug"),
    ("info", "info"),
    ("warn", "warning"),
    ("error", "error"),
    ("critical", "critical"),
];

fn script() -> String {
    let mut lines: Vec<_> =
        LEVELS.iter().map(|(level, _)| format!("request_headers: log {level} \"said at {level}\"")).collect();
    lines.push("request_headers: log-level".to_owned());
    lines.push("configure: log info \"at the start\"".to_owned());
    lines.join("\n")
}

on_each_envoy! {
    fn a_line_has_the_prefix_of_its_context(version) {
        let plugin = Plugin::scripted("named", &script()).set("root_id", "root").set("vm_config.vm_id", "vm");
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        envoy.client("main").get("/");
        let line = envoy.await_log("said at warn");
        assert_eq!(line.of_plugin(), Some("wasm log named root vm: said at warn"));
        assert_eq!((line.level.as_str(), line.logger.as_str()), ("warning", "dynamic_modules"));
        // The lines of a root context name no plugin; so it is with the built-in filter.
        assert_eq!(envoy.await_log("at the start").of_plugin(), Some("wasm log root vm: at the start"));
    }

    fn the_level_of_the_logger_decides(version) {
        for (index, (_, envoys)) in LEVELS.iter().enumerate() {
            let upstream = Upstream::http1("upstream");
            let listener = Listener::new("main").plugin(Host::Graft, &Plugin::scripted("levels", &script()));
            let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).log_level(envoys);
            let envoy = Envoy::start(version, &bootstrap);
            envoy.client("main").get("/");
            envoy.await_quiet("main");
            for (other, (level, _)) in LEVELS.iter().enumerate() {
                let said = envoy.plugin_log().iter().any(|line| line.ends_with(&format!(": said at {level}")));
                assert_eq!(said, other >= index, "{level} while the logger is at {envoys}");
            }
            if index <= 2 {
                envoy.await_plugin_log(&format!("log-level -> 0 {index}"));
            }
        }
    }

    fn standard_output_is_logged(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("prints", "
            request_headers: stdout \"to standard output\\n\"
            request_headers: stderr \"to standard error\\n\"
        ")]);
        envoy.client("main").get("/");
        let output = envoy.await_log("prints: to standard output");
        assert_eq!(output.level, "info");
        assert_eq!(output.of_plugin(), Some("wasm log prints: to standard output"));
        let error = envoy.await_log("prints: to standard error");
        assert_eq!(error.level, "error");
        assert_eq!(error.of_plugin(), Some("wasm log prints: to standard error"));
    }

    fn a_plugin_in_a_loop_does_not_fill_the_log(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[Plugin::scripted("noisy", "
            configure: tick-period 10
            tick: stdout \"again\\n\"
        ").set("graft.limits.log_lines_per_second", 2)]);
        let line = envoy.await_log("log lines beyond 2 a second (graft.limits.log_lines_per_second)");
        assert_eq!(line.level, "warning");
        assert!(line.text.contains("graft: plugin \"noisy\": "), "{line:?}");
        envoy.await_log("log lines were left out, those beyond 2 a second");
        // The line comes with the next ten seconds: there were at most two tens of them, in which a thousand ticks came.
        let again = envoy.count_plugin_log("again");
        assert!(again <= 60, "{again} lines");
        let left_out = "dynamicmodulescustom.graft_log_lines_left_out.plugin.noisy";
        eventually("the statistic", || {
            // Where streams alone take updates, one brings it.
            assert_eq!(envoy.client("main").get("/").status, 200);
            envoy.admin().stat(left_out).filter(|lines| *lines > 0)
        });
        assert!(envoy.stop().status.success());
    }
}
