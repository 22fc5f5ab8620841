//! A plugin on TCP connections sees and edits their bytes, holds and closes them.

use std::sync::Arc;

use crate::harness::envoy::on_each_envoy;
use crate::harness::tcp::Say::{Await, AwaitEnd, Finish, Send};
use crate::harness::tcp::{Heard, Say, TcpProxy, TcpUpstream, talk};
use crate::harness::{Bootstrap, Envoy, Host, Plugin, Version, eventually};

/// Envoy with a TCP proxy through a plugin.
struct Proxy {
    envoy: Envoy,
    upstream: Arc<TcpUpstream>,
}

impl Proxy {
    fn with(version: Version, plugin: &Plugin) -> Self {
        let upstream = TcpUpstream::echo("tcp");
        let listener = TcpProxy::new("main", "tcp").plugin(Host::Graft, plugin);
        let envoy = Envoy::start(version, &Bootstrap::new().tcp_upstream(&upstream).tcp_proxy(listener));
        Self { envoy, upstream }
    }

    fn scripted(version: Version, script: &str) -> Self {
        Self::with(version, &Plugin::scripted("tcp", script))
    }

    fn talk(&self, script: &[Say]) -> Heard {
        talk(eventually("the listener to serve", || self.envoy.address("main")), script)
    }

    /// What plugins logged of connections, without the prefix.
    fn log(&self) -> Vec<String> {
        let lines = self.envoy.plugin_log();
        lines.iter().filter_map(|line| line.strip_prefix("wasm log tcp: ")).map(str::to_owned).collect()
    }
}

on_each_envoy! {
    fn the_life_of_a_connection(version) {
        let proxy = Proxy::scripted(version, "");
        assert_eq!(proxy.talk(&[Send("one"), Await(8)]).bytes, "echo:one");
        proxy.envoy.await_plugin_log("on_delete stream");
        assert_eq!(proxy.log(), [
            "on_context_create stream",
            "on_new_connection stream",
            "on_downstream_data stream 3 eos=0",
            "on_upstream_data stream 8 eos=0",
            "on_downstream_data stream 0 eos=1",
            "on_upstream_data stream 0 eos=1",
            "on_upstream_connection_close stream peer=0",
            "on_downstream_connection_close stream peer=1",
            "on_done stream",
            "on_log stream",
            "on_delete stream",
        ]);
        assert!(proxy.envoy.complaints().is_empty(), "{:?}", proxy.envoy.complaints());
    }

    fn bytes_are_edited_in_both_directions(version) {
        let proxy = Proxy::scripted(version, "
            downstream_data: if-nth 1 buffer-set downstream 0 1 O
            downstream_data: if-nth 1 buffer-set downstream 100 0 !
            upstream_data: if-nth 1 buffer-set upstream 0 5 \"said \"
        ");
        assert_eq!(proxy.talk(&[Send("one"), Await(9), Finish]), Heard { bytes: "said One!".to_owned(), is_ended: true });
        assert_eq!(proxy.upstream.take_seen(), "One!");
    }

    fn bytes_that_are_held_come_again_and_go_on_together(version) {
        let proxy = Proxy::scripted(version, "
            downstream_data: if-eos buffer-get downstream 0 100
            downstream_data: if-not-eos return 1
        ");
        assert_eq!(proxy.talk(&[Send("one"), Finish]).bytes, "echo:one");
        assert!(proxy.log().iter().any(|line| line.contains("buffer-get downstream 0 100 -> 0 \"one\"")));
    }

    fn a_connection_is_resumed_by_another(version) {
        let proxy = Proxy::scripted(version, "
            downstream_data: if-not-eos continue-later downstream
            downstream_data: if-eos continue-parked
            downstream_data: if-not-eos return 1
        ");
        std::thread::scope(|scope| {
            let held = scope.spawn(|| proxy.talk(&[Send("held"), Await(9)]));
            proxy.envoy.await_plugin_log("continue-later downstream -> 0 1 parked");
            proxy.talk(&[Finish]);
            assert_eq!(held.join().expect("the client").bytes, "echo:held");
        });
    }

    fn a_plugin_closes_a_connection(version) {
        for side in ["downstream", "upstream"] {
            let proxy = Proxy::scripted(version, &format!("downstream_data: if-nth 1 close {side}"));
            assert_eq!(proxy.talk(&[Send("one"), AwaitEnd]), Heard { bytes: String::new(), is_ended: true });
            proxy.envoy.await_plugin_log("on_delete stream");
            assert_eq!(proxy.upstream.take_seen(), "", "{side}");
        }
    }

    fn a_connection_is_known_by_its_properties(version) {
        let proxy = Proxy::scripted(version, "
            new_connection: property-status source.address
            new_connection: property-size connection.id
            new_connection: set-property mine value
            downstream_data: if-nth 1 property upstream.address
            log: property mine
            log: property-int request.size
            log: property-int response.size
            log: property xds.cluster_name
        ");
        proxy.talk(&[Send("one"), Await(8), Finish]);
        let address = format!("property upstream.address -> 0 \"{}\"", proxy.upstream.address());
        for line in [
            "property-status source.address -> 0",
            "property-size connection.id -> 0 8 bytes",
            address.as_str(),
            "property mine -> 0 \"value\"",
            "property-int request.size -> 0 3",
            "property-int response.size -> 0 8",
            "property xds.cluster_name -> 0 \"tcp\"",
        ] {
            proxy.envoy.await_plugin_log(line);
        }
    }

    fn a_trap_closes_its_connection_and_no_other(version) {
        for callback in ["new_connection", "downstream_data", "upstream_data"] {
            let script = format!("{callback}: if-nth 1 panic \"as told\"");
            let plugin = Plugin::scripted("tcp", &script);
            let proxy = Proxy::with(version, &plugin);
            for _ in 0..2 {
                let heard = proxy.talk(&[Send("one"), AwaitEnd]);
                assert_eq!(heard, Heard { bytes: String::new(), is_ended: true }, "{callback}");
            }
            proxy.envoy.await_log(&format!("Function: proxy_on_{callback} failed"));
        }
    }

    fn a_trap_lets_its_connection_pass_where_that_is_the_policy(version) {
        let plugin = Plugin::scripted("tcp", "downstream_data: panic \"as told\"").set("failure_policy", "FAIL_OPEN");
        let proxy = Proxy::with(version, &plugin);
        assert_eq!(proxy.talk(&[Send("one"), Await(8), Finish]).bytes, "echo:one");
    }

    fn metrics_of_connections_are_in_the_statistics(version) {
        let proxy = Proxy::scripted(version, "
            configure: define-metric counter tcp_connections
            configure: define-metric gauge tcp_open
            new_connection: increment-metric tcp_connections 1
            new_connection: increment-metric tcp_open 1
            log: increment-metric tcp_open -1
            log: get-metric tcp_connections
        ");
        proxy.talk(&[Send("one"), Await(8), Finish]);
        proxy.talk(&[Send("one"), Await(8), Finish]);
        proxy.envoy.await_plugin_log("get-metric tcp_connections -> 0 2");
        let stat = |name: &str| -> Option<u64> {
            proxy.envoy.admin().stats(&format!("{name}$")).into_values().find_map(|value| value.parse().ok())
        };
        eventually("the counter", || stat("tcp_connections").filter(|value| *value == 2));
        assert_eq!(stat("tcp_open"), Some(0));
    }
}
