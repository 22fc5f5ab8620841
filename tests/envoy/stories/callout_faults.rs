//! Services that fail in every way, and plugins that ask for too much: memory stays bounded, streams end, Envoy
//! lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::envoy::on_each_envoy;
use crate::harness::upstream::Protocol;
use crate::harness::{
    Bootstrap, CalloutUpstream, Envoy, Host, Listener, Plugin, Request, Upstream, Version, eventually,
};

/// What 100 MB are.
const LARGE: u64 = 100 * 1024 * 1024;

/// An Envoy with a listener for each plugin, and an upstream of callouts.
fn start(version: Version, plugins: &[Plugin]) -> (Envoy, Arc<CalloutUpstream>) {
    let (upstream, callouts) = (Upstream::http1("upstream"), CalloutUpstream::start());
    let bootstrap = plugins.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, plugin| {
        bootstrap.listener(Listener::new(plugin.name()).plugin(Host::Graft, plugin))
    });
    (Envoy::start(version, &callouts.add_to(bootstrap)), callouts)
}

/// A plugin whose requests wait for the reply to a callout, whatever it is.
fn waits(name: &str, cluster: &str, milliseconds: u32, path: &str) -> Plugin {
    let script = format!(
        "request_headers: http-call {cluster} {milliseconds} \"\" :method GET :authority a :path {path}
         request_headers: return 1
         http_call_response: get call :status
         http_call_response: call-status
         http_call_response: effective caller
         http_call_response: continue request"
    );
    Plugin::scripted(name, &script).set("vm_config.vm_id", name)
}

/// What a plugin with a `vm_id` logged in the reply to its callout: its status line, and the call's status.
fn reply_of(envoy: &Envoy, plugin: &str) -> Vec<String> {
    let of_plugin = format!("wasm log {plugin}: ");
    eventually("the reply", || {
        let lines: Vec<_> =
            envoy.plugin_log().into_iter().filter(|line| line.starts_with(&of_plugin)).collect();
        let reply = lines.iter().position(|line| line.contains("on_http_call_response"))?;
        let lines: Vec<_> = lines[reply..].iter().map(|line| line[of_plugin.len()..].to_owned()).collect();
        (lines.len() >= 3).then(|| lines[..3].to_vec())
    })
}

on_each_envoy! {
    fn a_service_that_fails_is_told_and_the_request_goes_on(version) {
        let cases = [
            (waits("refuses", "nobody", 5_000, "/"), "get call :status -> 0 \"503\"", "call-status -> 0 0 (null)"),
            (waits("resets", "callout", 5_000, "/reset"), "get call :status -> 0 \"503\"", "call-status -> 0 0 (null)"),
            (waits("hangs", "callout", 200, "/hang"), "get call :status -> 0 \"504\"", "call-status -> 0 0 (null)"),
            (waits("breaks", "callout", 5_000, "/half"), "get call :status -> 2", "call-status -> 0 11 \"reset\""),
        ];
        let plugins: Vec<_> = cases.iter().map(|(plugin, ..)| plugin.clone()).collect();
        let (envoy, callouts) = start(version, &plugins);
        for (plugin, status, outcome) in &cases {
            let response = envoy.client(plugin.name()).get("/");
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"), "{}", plugin.name());
            let reply = reply_of(&envoy, plugin.name());
            assert_eq!((reply[1].as_str(), reply[2].as_str()), (*status, *outcome), "{}", plugin.name());
        }
        eventually("the callout that hangs to end", || (callouts.waiting() == 0).then_some(()));
        assert!(envoy.stop().status.success());
    }

    /// 100 MB, with a length and without; the limit is 16 MiB.
    fn a_reply_without_end_fails(version) {
        let plugins = [
            waits("sized", "callout", 30_000, "/bytes/104857600"),
            waits("chunked", "callout", 30_000, "/chunked/104857600"),
        ];
        let (envoy, _callouts) = start(version, &plugins);
        let before = envoy.peak_memory();
        for plugin in &plugins {
            let response = envoy.client(plugin.name()).get("/");
            assert_eq!((response.status, response.text().as_str()), (200, "from the upstream"), "{}", plugin.name());
            let reply = reply_of(&envoy, plugin.name());
            assert_eq!(reply[0], "on_http_call_response root 0 0 0", "{}", plugin.name());
        }
        let grown = envoy.peak_memory() - before;
        assert!(grown < LARGE, "Envoy grew by {grown} bytes");
        let complaints = envoy.complaints();
        // Where replies come whole, it is Envoy that stops, at 32 MiB.
        let (limit, why) = match version {
            Version::V1_37 => ("http.async_response_buffer_limit", "longer than Envoy keeps"),
            Version::V1_38 | Version::V1_39 | Version::V1_40 => {
                ("graft.limits.callout_bytes", "expected at most 16777216")
            }
        };
        let told: Vec<_> = complaints.iter().filter(|line| line.text.contains(limit)).collect();
        assert_eq!(told.len(), 2, "{complaints:?}");
        for plugin in &plugins {
            let name = format!("graft: plugin {:?}: the reply to its callout 4 has failed: ", plugin.name());
            let is_named = |text: &str| text.contains(&name) && text.contains(why);
            assert!(told.iter().any(|line| is_named(&line.text)), "{told:?}");
        }
        assert!(envoy.stop().status.success());
    }

    /// Envoy refuses inside the call that asks it.
    fn a_cluster_without_room_fails_callouts_and_no_envoy(version) {
        let (upstream, callouts) = (Upstream::http1("upstream"), CalloutUpstream::start());
        let plugin = Plugin::scripted("many", "
            request_headers: repeat 8 http-call small 300 \"\" :method GET :authority a :path /hang
            request_headers: if-header request x-waits yes return 1
            http_call_response: effective caller
            http_call_response: continue request
        ");
        let bootstrap = Bootstrap::new()
            .upstream(&upstream)
            .listener(Listener::new("many").plugin(Host::Graft, &plugin));
        let bootstrap = callouts.add_to(bootstrap).cluster("small", callouts.address(), Protocol::Http1);
        let envoy = Envoy::start(version, &bootstrap.with_room_for_one());
        for waits in ["no", "yes", "no", "yes"] {
            let request = Request::get("/").header("x-waits", waits);
            assert_eq!(envoy.client("many").send(&request).status, 200, "{waits}");
        }
        eventually("the callouts to end", || {
            let none = |name: &str| envoy.admin().stat(&format!("cluster.small.{name}")) == Some(0);
            (none("upstream_rq_active") && none("upstream_rq_pending_active")).then_some(())
        });
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    fn the_limit_of_a_reply_is_the_users(version) {
        let small = |name: &str, path: &str| {
            waits(name, "callout", 5_000, path).set("graft.limits.callout_bytes", 2_000)
        };
        let plugins = [small("fits", "/bytes/1000"), small("exceeds", "/bytes/2001")];
        let (envoy, _callouts) = start(version, &plugins);
        for plugin in &plugins {
            assert_eq!(envoy.client(plugin.name()).get("/").status, 200);
        }
        assert_eq!(reply_of(&envoy, "fits")[0], "on_http_call_response root 3 1000 0");
        assert_eq!(reply_of(&envoy, "exceeds")[0], "on_http_call_response root 0 0 0");
    }

    /// 1,000 may be under way in a VM.
    fn callouts_without_end_are_refused(version) {
        let flood = Plugin::scripted("flood", "
            request_headers: if-header request x-do flood repeat 10000 http-call callout 60000 \"\" :method GET :authority a :path /gate
            request_headers: if-header request x-do flood return 1
            request_headers: if-header request x-do once http-call callout 5000 \"\" :method GET :authority a :path /echo
        ");
        let (envoy, callouts) = start(version, &[flood]);
        let client = envoy.client("flood");
        std::thread::scope(|scope| {
            let held = scope.spawn(|| {
                client.send(&Request::get("/").header("x-do", "flood"))
            });
            envoy.await_plugin_log("-> 1000 times 0, 9000 times 10");
            // Others are served meanwhile.
            let start = Instant::now();
            assert_eq!(envoy.client("flood").get("/").status, 200);
            assert!(start.elapsed() < Duration::from_secs(10));
            callouts.open();
            envoy.await_plugin_lines(1_000, "on_http_call_response root");
            // Nobody resumes the request; Envoy's own time ends it.
            assert_eq!(held.join().expect("the client").status, 504);
        });
        assert_eq!(envoy.count_plugin_log("on_http_call_response root"), 1_000);
        let told = envoy.complaints().iter().filter(|line| line.text.contains("graft.limits: callouts")).count();
        assert_eq!(told, 1, "{:?}", envoy.complaints());
        // There is room again.
        let again = Request::get("/").header("x-do", "once");
        assert_eq!(envoy.client("flood").send(&again).status, 200);
        envoy.await_plugin_log(":path /echo -> 0");
        assert!(envoy.stop().status.success());
    }

    fn the_limit_of_callouts_is_the_users(version) {
        let plugin = Plugin::scripted("few", "
            request_headers: repeat 8 http-call callout 5000 \"\" :method GET :authority a :path /echo
        ").set("graft.limits.callouts", 5);
        let (envoy, _callouts) = start(version, &[plugin]);
        assert_eq!(envoy.client("few").get("/").status, 200);
        envoy.await_plugin_log("-> 5 times 0, 3 times 10");
    }

    /// 16 MiB of messages that nobody reads.
    fn a_queue_that_nobody_reads_is_bounded(version) {
        let script = "
            request_headers: queue-register work
            request_headers: repeat 100000 enqueue \"0123456789abcdef\"**64
        ";
        // The plugin logs each message that it is told of.
        let plugin = Plugin::scripted("fills", script)
            .set("graft.limits.log_lines_per_second", 0)
            .set("graft.limits.call_deadline", "20s");
        let (envoy, _callouts) = start(version, &[plugin]);
        let before = envoy.peak_memory();
        let client = envoy.client("fills");
        for _ in 0..2 {
            assert_eq!(client.get("/").status, 200);
        }
        let grown = envoy.peak_memory() - before;
        assert!(grown < LARGE, "Envoy grew by {grown} bytes");
        assert_eq!(envoy.count_plugin_log("times 10"), 2);
        assert!(envoy.stop().status.success());
    }

    fn a_reply_that_traps_ends_one_vm(version) {
        let script = "
            request_headers: if-header request x-do die http-call callout 5000 \"\" :method GET :authority a :path /echo
            request_headers: if-header request x-do die return 1
            http_call_response: panic \"in the reply\"
        ";
        let (envoy, _callouts) = start(version, &[Plugin::scripted("dies", script)]);
        let client = envoy.client("dies");
        for _ in 0..2 {
            let dying = client.send(&Request::get("/").header("x-do", "die"));
            assert_eq!(dying.status, 503);
            assert_eq!(envoy.client("dies").get("/").status, 200);
        }
        envoy.await_log("in the reply");
        assert!(envoy.stop().status.success());
    }
}
