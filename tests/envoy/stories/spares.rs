//! Spare VMs: started beside the traffic, so that nobody waits for a start after a crash.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Answer, Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, eventually};

/// A plugin whose start takes long enough to be missed, and is told when it is over.
fn slow_to_start(said: &str) -> Plugin {
    Plugin::scripted(
        "slow",
        &format!(
            "
        configure: spin 1000
        configure: log warn {said}
        request_headers: if-header request x-do panic panic \"as told\"
        response_headers: add response x-plugin {said}
    "
        ),
    )
    .set("graft.isolation", "shared")
}

fn ready(said: &str) -> String {
    format!("log warn {said} -> 0")
}

/// One request that crashes, and one after it that is served without a start. So many have taken place.
fn crash_and_serve(envoy: &Envoy, said: &str, starts: usize) {
    let client = envoy.client("main");
    envoy.await_plugin_lines(starts, &ready(said));
    // Said while the spare is configured, and a moment before it is there.
    eventually("the spare", || {
        client.get("/");
        (envoy.admin().stat("dynamicmodulescustom.graft_vms_spare.plugin.slow") == Some(1)).then_some(())
    });
    assert_eq!(client.send(&Request::get("/").header("x-do", "panic")).status, 503);
    let next = client.get("/");
    let count = envoy.count_plugin_log(&ready(said));
    assert_eq!((next.status, next.header("x-plugin")), (200, Some(said)));
    assert_eq!(count, starts, "a start took place while the request waited");
}

on_each_envoy! {
    fn the_request_after_a_crash_waits_for_no_start(version) {
        let (envoy, _upstream) = Envoy::with_plugins(version, &[slow_to_start("ready")]);
        // The worker's, and the spare.
        crash_and_serve(&envoy, "ready", 2);
        // The spare is a worker's now; another is made.
        crash_and_serve(&envoy, "ready", 3);
    }

    fn a_new_configuration_has_a_spare_too(version) {
        let upstream = Upstream::http1("upstream");
        upstream.answer(Answer::ok(&[b"body"]));
        let listener = |said: &str| Listener::new("main").plugin(Host::Graft, &slow_to_start(said));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener("first")).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        envoy.await_plugin_lines(2, &ready("first"));
        envoy.publish(&[listener("second")]);
        eventually("the second configuration", || {
            (envoy.client("main").get("/").header("x-plugin") == Some("second")).then_some(())
        });
        // The first spare may have been configured before this plugin came; later ones are configured for it.
        let client = envoy.client("main");
        for _ in 0..3 {
            assert_eq!(client.send(&Request::get("/").header("x-do", "panic")).status, 503);
            let next = client.get("/");
            assert_eq!((next.status, next.header("x-plugin")), (200, Some("second")));
        }
    }

    fn validation_makes_none(version) {
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &slow_to_start("ready"));
        let ended = Envoy::validate(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        assert!(ended.status.success(), "{ended}");
        let starts = ended.log.iter().filter(|line| line.text.ends_with("wasm log: ready")).count();
        assert_eq!(starts, 1, "{ended}");
    }
}
