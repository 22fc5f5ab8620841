//! Isolation `stream`: each stream has a VM of its own, with plugins of every SDK, on every Envoy.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Answer, Bootstrap, CalloutUpstream, Envoy, Host, Listener, Plugin, Request, Upstream, Version, eventually,
};

/// The plugin with a VM for each stream.
fn isolated(plugin: Plugin) -> Plugin {
    plugin.set("graft.isolation", "stream")
}

on_each_envoy! {
    fn plugins_of_every_sdk_work(version) {
        let upstream = Upstream::http1("upstream");
        let plugins = [
            Plugin::built("sdk-http").configuration("Hello"),
            Plugin::built("sdk-go").configuration("Hello"),
            Plugin::built("sdk-assemblyscript").configuration("Hello"),
            Plugin::built("journal").configuration(","),
            Plugin::built("legacy").configuration("old"),
        ];
        let bootstrap = plugins.into_iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, plugin| {
            let plugin = isolated(plugin);
            bootstrap.listener(Listener::new(plugin.name()).plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for round in 0..3 {
            for rust_or_go in ["sdk-http", "sdk-go"] {
                let client = envoy.client(rust_or_go);
                let response = client.send(&Request::post("/", &[b"some ", b"body"]));
                assert_eq!(response.header("x-greeting"), Some("Hello"), "{rust_or_go} {round}");
                let local = client.get("/local");
                assert_eq!((local.status, local.text().as_str()), (418, "Hello from inside -- Hello"));
                assert_eq!(client.get("/panic").status, 503);
            }
            assert!(envoy.client("sdk-assemblyscript").get("/").header("x-greeting").is_some());
            let journal = envoy.client("journal").get("/").header("x-journal").map(str::to_owned);
            assert_eq!(journal.as_deref(), Some("request-headers:GET,response-headers:200"));
            assert_eq!(envoy.client("legacy").get("/").header("x-legacy"), Some("0.1.0"));
        }
    }

    fn a_crash_is_nobody_elses(version) {
        let plugin = isolated(Plugin::scripted("guarded", "
            request_headers: if-header request x-do panic panic \"as told\"
            response_headers: add response x-plugin ran
        "));
        let (envoy, _upstream) = Envoy::with_plugins(version, &[plugin]);
        let client = envoy.client("main");
        for _ in 0..20 {
            assert_eq!(client.send(&Request::get("/").header("x-do", "panic")).status, 503);
            let next = client.get("/");
            assert_eq!((next.status, next.header("x-plugin")), (200, Some("ran")));
        }
        assert!(envoy.stop().status.success());
    }

    fn a_request_waits_until_a_vm_is_free(version) {
        let plugin = isolated(Plugin::scripted("few", "response_headers: add response x-plugin ran"))
            .set("graft.pool.max_vms", 1)
            .set("graft.pool.max_wait", "10s");
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        let gate = upstream.hold();
        std::thread::scope(|scope| {
            let requests: Vec<_> = (0..3).map(|_| scope.spawn(|| envoy.client("main").get("/"))).collect();
            eventually("the first request to arrive", || (gate.arrived() == 1).then_some(()));
            // The others are held before they reach the plugin, and so the upstream.
            assert_eq!(gate.arrived(), 1);
            gate.open();
            for request in requests {
                let response = request.join().unwrap();
                assert_eq!((response.status, response.header("x-plugin")), (200, Some("ran")));
            }
        });
    }

    fn a_request_that_waits_for_too_long_gets_the_failure_policy(version) {
        let plugin = |policy: &str| {
            isolated(Plugin::scripted(policy, "response_headers: add response x-plugin ran"))
                .set("failure_policy", policy)
                .set("graft.pool.max_vms", 1)
                .set("graft.pool.max_wait", "0.2s")
        };
        let upstream = Upstream::http1("upstream");
        let policies = ["FAIL_CLOSED", "FAIL_OPEN"];
        let bootstrap = policies.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, policy| {
            bootstrap.listener(Listener::new(policy).plugin(Host::Graft, &plugin(policy)))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for policy in policies {
            let gate = upstream.hold();
            std::thread::scope(|scope| {
                let first = scope.spawn(|| envoy.client(policy).get("/"));
                eventually("the first request to arrive", || (gate.arrived() == 1).then_some(()));
                let second = scope.spawn(|| envoy.client(policy).get("/"));
                if policy == "FAIL_OPEN" {
                    eventually("the second request to pass", || (gate.arrived() == 2).then_some(()));
                } else {
                    eventually("the second request to be refused", || second.is_finished().then_some(()));
                }
                gate.open();
                assert_eq!(first.join().unwrap().header("x-plugin"), Some("ran"));
                let second = second.join().unwrap();
                assert_eq!(second.header("x-plugin"), None, "{policy}");
                assert_eq!(second.status, if policy == "FAIL_OPEN" { 200 } else { 503 });
            });
        }
        envoy.await_log("all VMs of this worker are busy (graft.pool.max_vms is 1)");
    }

    fn many_streams_at_once_leave_nothing_behind(version) {
        let plugin = isolated(Plugin::scripted("many", "
            request_headers: if-header request x-do panic panic \"as told\"
            response_headers: add response x-plugin ran
        "));
        let (envoy, upstream) = Envoy::with_plugins(version, &[plugin]);
        upstream.answer(Answer::ok(&[b"body"]));
        let client = &envoy.client("main");
        let load = |rounds: usize| {
            std::thread::scope(|scope| {
                for thread in 0..8 {
                    scope.spawn(move || {
                        for round in 0..rounds {
                            let is_bad = (round + thread) % 4 == 0;
                            let request = Request::get("/");
                            let request = if is_bad { request.header("x-do", "panic") } else { request };
                            let response = client.send(&request);
                            assert_eq!(response.status, if is_bad { 503 } else { 200 });
                            assert_eq!(response.header("x-plugin"), (!is_bad).then_some("ran"));
                        }
                    });
                }
            });
        };
        load(100);
        let before = envoy.resident_memory();
        load(200);
        let grown = envoy.resident_memory().saturating_sub(before);
        assert!(grown < 32 * 1024 * 1024, "{grown} bytes more after 1,600 streams and 400 traps");
    }

    fn a_call_that_the_stream_does_not_wait_for_arrives(version) {
        let callouts = CalloutUpstream::start();
        let upstream = Upstream::http1("upstream");
        // The reply comes when the stream is over: while its copy lives, it would be told.
        let plugin = isolated(Plugin::scripted("tells", "
            log: http-call callout 5000 \"\" :method GET :path /slow/200 :authority callout
        "));
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
        let envoy = Envoy::start(version, &callouts.add_to(bootstrap));
        for count in 1..=5 {
            assert_eq!(envoy.client("main").get("/").status, 200);
            // On Envoy 1.37 it is the stream's, and may end with it before it arrives.
            if version != Version::V1_37 {
                eventually("the call to arrive", || (callouts.seen().len() == count).then_some(()));
            }
        }
        eventually("all calls to end", || {
            (envoy.admin().stat("cluster.callout.upstream_rq_active") == Some(0)).then_some(())
        });
        assert_eq!(envoy.count_plugin_log("on_http_call_response"), 0, "nobody is told of the reply");
    }
}
