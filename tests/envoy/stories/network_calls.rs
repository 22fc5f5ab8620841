//! Plugins on TCP connections make callouts, wait for them, and are resumed or closed by the reply.
//!
//! Each story is told twice: with an HTTP filter of Graft's in the same Envoy, whose configuration can carry calls from
//! Envoy 1.38 on, and without one, where the connection makes its calls itself.

use std::sync::Arc;

use crate::harness::envoy::on_each_envoy;
use crate::harness::tcp::Say::{Await, AwaitEnd, Finish, Send};
use crate::harness::tcp::{Heard, Say, TcpProxy, TcpUpstream, talk};
use crate::harness::{
    Bootstrap, CalloutUpstream, Envoy, Host, Listener, Plugin, Upstream, Version, eventually,
};

struct Scene {
    envoy: Envoy,
    upstream: Arc<TcpUpstream>,
    callouts: Arc<CalloutUpstream>,
}

impl Scene {
    fn new(version: Version, script: &str, has_http_filter: bool) -> Self {
        let (upstream, callouts) = (TcpUpstream::echo("tcp"), CalloutUpstream::start());
        let listener = TcpProxy::new("main", "tcp").plugin(Host::Graft, &Plugin::scripted("tcp", script));
        let mut bootstrap = callouts.add_to(Bootstrap::new()).tcp_upstream(&upstream).tcp_proxy(listener);
        if has_http_filter {
            let beside = Plugin::scripted("beside", "").set("vm_config.vm_id", "beside");
            bootstrap = bootstrap
                .upstream(&Upstream::http1("upstream"))
                .listener(Listener::new("http").plugin(Host::Graft, &beside));
        }
        Self { envoy: Envoy::start(version, &bootstrap), upstream, callouts }
    }

    fn talk(&self, script: &[Say]) -> Heard {
        talk(eventually("the listener to serve", || self.envoy.address("main")), script)
    }
}

fn call(callback: &str, path: &str) -> String {
    format!(
        "{callback}: if-nth 1 http-call callout 60000 body :method POST :authority a :path {path} x-a b\n"
    )
}

/// Holds the connection in a callback, which comes once before it is resumed.
fn waiting(callback: &str, then: &str) -> String {
    format!(
        "{}{callback}: if-nth 1 return 1
         http_call_response: get call :status
         http_call_response: get call x-method
         http_call_response: buffer-get call 0 100
         http_call_response: effective caller
         http_call_response: {then}",
        call(callback, "/gate")
    )
}

const CALLBACKS: [&str; 2] = ["new_connection", "downstream_data"];

on_each_envoy! {
    fn a_connection_waits_for_a_reply_and_goes_on(version) {
        for (callback, has_http_filter) in CALLBACKS.into_iter().flat_map(|one| [(one, true), (one, false)]) {
            let scene = Scene::new(version, &waiting(callback, "continue downstream"), has_http_filter);
            std::thread::scope(|scope| {
                let held = scope.spawn(|| scene.talk(&[Send("one"), Await(8), Finish]));
                eventually("the call", || (scene.callouts.waiting() == 1).then_some(()));
                assert_eq!(scene.upstream.take_seen(), "", "{callback}");
                scene.callouts.open();
                let heard = held.join().expect("the client");
                assert_eq!(heard, Heard { bytes: "echo:one".to_owned(), is_ended: true }, "{callback}");
            });
            for line in ["get call :status -> 0 \"200\"", "get call x-method -> 0 \"POST\"",
                "buffer-get call 0 100 -> 0 \"body\"", "effective caller -> 0"] {
                scene.envoy.await_plugin_log(line);
            }
            assert_eq!(scene.callouts.seen().len(), 1, "{callback}");
            assert!(scene.envoy.complaints().is_empty(), "{:?}", scene.envoy.complaints());
            assert!(scene.envoy.stop().status.success());
        }
    }

    fn a_connection_is_closed_by_a_reply(version) {
        for (callback, has_http_filter) in CALLBACKS.into_iter().flat_map(|one| [(one, true), (one, false)]) {
            let scene = Scene::new(version, &waiting(callback, "close downstream"), has_http_filter);
            scene.callouts.open();
            let heard = scene.talk(&[Send("one"), AwaitEnd]);
            assert_eq!(heard, Heard { bytes: String::new(), is_ended: true }, "{callback}");
            assert_eq!(scene.upstream.take_seen(), "", "{callback}");
            scene.envoy.await_plugin_log("close downstream -> 0");
            scene.envoy.await_plugin_log("on_delete stream");
            assert!(scene.envoy.stop().status.success());
        }
    }

    fn a_call_of_a_connection_ends_with_it_where_the_connection_makes_it(version) {
        let script = call("new_connection", "/hang") + "http_call_response: call-status";
        let scene = Scene::new(version, &script, false);
        assert_eq!(scene.talk(&[Send("one"), Await(8), Finish]).bytes, "echo:one");
        scene.envoy.await_plugin_log("on_http_call_response root 0 0 0");
        scene.envoy.await_plugin_log("call-status -> 0 11 \"reset\"");
        eventually("the call to end", || (scene.callouts.waiting() == 0).then_some(()));
        assert!(scene.envoy.stop().status.success());
    }

    fn a_call_that_cannot_be_made_is_refused_or_fails(version) {
        let script = "
            new_connection: http-call nobody 5000 \"\" :method GET :authority a :path /
            new_connection: http-call no-cluster 5000 \"\" :method GET :authority a :path /
            http_call_response: call-status";
        // Envoy refuses what the connection asks for on the spot; a host that refuses the connection is a reply.
        let scene = Scene::new(version, script, false);
        assert_eq!(scene.talk(&[Send("one"), Await(8), Finish]).bytes, "echo:one");
        scene.envoy.await_plugin_log("http-call no-cluster 5000 \"\" :method GET :authority a :path / -> 2");
        scene.envoy.await_plugin_lines(1, "on_http_call_response root");
        assert!(scene.envoy.stop().status.success());
    }

    /// Envoy's calls of connections have one answer and no trailers, so gRPC and trailers need the process.
    fn grpc_and_trailers_go_by_the_process_or_not_at_all(version) {
        let script = "
            new_connection: grpc-call nobody a.B C message 5000
            new_connection: with-trailers x-t 1
            new_connection: http-call callout 5000 \"\" :method GET :authority a :path /echo
            http_call_response: pairs call-trailers";
        for has_http_filter in [true, false] {
            let scene = Scene::new(version, script, has_http_filter);
            assert_eq!(scene.talk(&[Send("one"), Await(8), Finish]).bytes, "echo:one");
            if version == Version::V1_37 {
                scene.envoy.await_plugin_log("message 5000 -> 10");
                scene.envoy.await_plugin_log(":path /echo -> 10");
                assert!(scene.callouts.seen().is_empty());
                let complaints = scene.envoy.complaints();
                let told = |line: &crate::harness::log::Line| line.text.contains("connections HTTP calls without trailers");
                // Once, for both: a plugin that calls again and again does not fill the log.
                assert_eq!(complaints.iter().filter(|line| told(line)).count(), 1, "{complaints:?}");
            } else if has_http_filter {
                scene.envoy.await_plugin_log("on_grpc_close root 14");
                scene.envoy.await_plugin_log("pairs call-trailers -> 0 [x-t=1]");
            } else {
                scene.envoy.await_plugin_log("on_grpc_close root 14");
                scene.envoy.await_plugin_log("on_http_call_response root 0 0 0");
                assert!(scene.callouts.seen().is_empty());
                let complaints = scene.envoy.complaints();
                let told = |line: &crate::harness::log::Line| line.text.contains("no configuration can carry it");
                assert_eq!(complaints.iter().filter(|line| told(line)).count(), 2, "{complaints:?}");
            }
            assert!(scene.envoy.stop().status.success());
        }
    }
}
