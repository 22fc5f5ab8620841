//! Listeners come and go through discovery, while streams flow, and with them the module's last user.

use crate::harness::envoy::on_each_envoy;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Upstream, eventually};

fn listener(name: &str, value: &str) -> Listener {
    let script = format!("response_headers: add response x-plugin {value}");
    Listener::new(name)
        .plugin(Host::Graft, &Plugin::scripted("comes-and-goes", &script).module_may_be_closed())
}

on_each_envoy! {
    fn listeners_come_and_go(version) {
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener("first", "first")).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        for round in 0..5 {
            envoy.publish(&[listener("first", "first"), listener("second", &format!("round-{round}"))]);
            eventually("the second listener", || envoy.address("second"));
            eventually("the second listener's plugin", || {
                let response = envoy.client("second").get("/");
                (response.header("x-plugin") == Some(&format!("round-{round}"))).then_some(())
            });
            assert_eq!(envoy.client("first").get("/").header("x-plugin"), Some("first"));
            // Without any listener nobody uses the module; then it is used again.
            envoy.publish(&[]);
            eventually("all listeners to go", || {
                (envoy.address("first").is_none() && envoy.address("second").is_none()).then_some(())
            });
            envoy.publish(&[listener("first", "first")]);
            assert_eq!(envoy.client("first").get("/").header("x-plugin"), Some("first"));
        }
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    fn a_new_configuration_takes_over_while_streams_flow(version) {
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener("main", "old")).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        let client = envoy.client("main");
        assert_eq!(client.get("/").header("x-plugin"), Some("old"));
        envoy.publish(&[listener("main", "new")]);
        // The port stays; until the new listener serves, the old one does. No request fails.
        eventually("the new configuration", || {
            let response = envoy.client("main").send(&Request::get("/"));
            assert_eq!(response.status, 200);
            (response.header("x-plugin") == Some("new")).then_some(())
        });
        assert!(envoy.stop().status.success());
    }
}
