//! Wherever a plugin runs, its code may come from an image: with a VM for each stream, on TCP connections, as access logger, as
//! service.

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place};
use crate::harness::tcp::Say::{Await, Finish, Send};
use crate::harness::tcp::{TcpProxy, TcpUpstream, talk};
use crate::harness::{Host, Listener, Plugin, Version, eventually, files};
use crate::support::{Image, Layout, Registry};

/// The scripted plugin, from an image.
fn scripted(name: &str, registry: &Registry, image: &Image, script: &str) -> Plugin {
    Plugin::scripted(name, script)
        .set("vm_config.code", json!({"oci": image.reference()}))
        .set("graft.source.insecure_registries", json!([registry.host()]))
}

on_each_envoy! {
    fn a_plugin_from_an_image_runs_wherever_plugins_run(version) {
        let registry = Registry::open();
        let code = std::fs::read(files::plugin("hostcalls")).unwrap();
        let image = registry.push(Layout::Docker, "plugins/hostcalls:1", &code);
        let scripted = |name: &str, script: &str| scripted(name, &registry, &image, script);
        let alone = scripted("alone", "response_headers: add response x-plugin ran").set("graft.isolation", "stream");
        let logger = scripted("logger", "log: property-int response.code");
        let tcp = scripted("tcp", "downstream_data: buffer-get downstream 0 100");
        let service = scripted("service", "configure: tick-period 20");
        let upstream = TcpUpstream::echo("tcp");
        let house = House::with(version, &Place::new(), &[alone], |bootstrap| {
            bootstrap
                .listener(Listener::new("logged").access_logger(Host::Graft, &logger))
                .tcp_upstream(&upstream)
                .tcp_proxy(TcpProxy::new("tcp", "tcp").plugin(Host::Graft, &tcp))
                .service(&service, true)
        });
        for _ in 0..2 {
            assert_eq!(house.get("alone").header("x-plugin"), Some("ran"));
        }
        let address = eventually("the listener", || house.envoy.address("tcp"));
        let is_seen = || talk(address, &[Send("hello"), Await(10), Finish]).bytes == "echo:hello";
        if version < Version::V1_39 {
            // Connections do not wait there: one that comes too early is closed.
            eventually("a connection that the plugin sees", || is_seen().then_some(()));
        } else {
            assert!(is_seen());
        }
        house.envoy.await_plugin_log("buffer-get downstream 0 100 -> 0 \"hello\"");
        // Loggers do not wait: what is served before their code is there is not logged.
        eventually("the logger to see a request", || {
            house.get("logged");
            (house.envoy.count_plugin_log("property-int response.code -> 0 200") > 0).then_some(())
        });
        house.envoy.await_plugin_lines(3, "on_tick root");
        assert!(house.envoy.complaints().iter().all(|line| line.level == "warning"), "{:?}", house.envoy.complaints());
        house.stop();
    }
}
