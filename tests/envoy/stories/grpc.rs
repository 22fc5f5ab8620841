//! Plugins call gRPC services: tonic is the server.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Bootstrap, Envoy, GrpcUpstream, Host, Listener, Plugin, Request, Upstream, Version, eventually,
};

/// An Envoy with one plugin, an upstream of requests and a gRPC server.
fn start(version: Version, script: &str) -> (Envoy, Arc<Upstream>, Arc<GrpcUpstream>) {
    start_plugin(version, &Plugin::scripted("calls", script))
}

fn start_plugin(version: Version, plugin: &Plugin) -> (Envoy, Arc<Upstream>, Arc<GrpcUpstream>) {
    let (upstream, grpc) = (Upstream::http1("upstream"), GrpcUpstream::start());
    let listener = Listener::new("main").plugin(Host::Graft, plugin);
    let bootstrap = grpc.add_to(Bootstrap::new().upstream(&upstream).listener(listener));
    (Envoy::start(version, &bootstrap), upstream, grpc)
}

/// Waits until the server has seen `event`.
fn await_seen(grpc: &GrpcUpstream, event: &str) {
    eventually(&format!("the gRPC server to see {event:?}"), || {
        grpc.seen().iter().any(|seen| seen == event).then_some(())
    });
}

on_each_envoy! {
    fn a_request_waits_for_a_grpc_service(version) {
        let (envoy, upstream, grpc) = start(version, "
            request_headers: if-header request x-token good grpc-call grpc graft.test.Echo Say \"let it pass\" 5000
            request_headers: if-header request x-token bad grpc-call grpc graft.test.Echo Say \"fail 7 no entry\" 5000
            request_headers: return 1
            grpc_receive: buffer-get grpc 0 100
            grpc_receive: effective caller
            grpc_receive: continue request
            grpc_close: call-status
            grpc_close: effective caller
            grpc_close: reply 403 \"not for you\"
        ");
        let client = envoy.client("main");
        let good = client.send(&Request::get("/").header("x-token", "good"));
        assert_eq!((good.status, good.text().as_str()), (200, "from the upstream"));
        envoy.await_plugin_log("buffer-get grpc 0 100 -> 0 \"let it pass\"");
        assert_eq!(upstream.take_seen().len(), 1);
        let bad = client.send(&Request::get("/").header("x-token", "bad"));
        assert_eq!((bad.status, bad.text().as_str()), (403, "not for you"));
        envoy.await_plugin_log("on_grpc_close root 7");
        assert!(upstream.take_seen().is_empty());
        assert_eq!(grpc.seen(), ["Say: let it pass", "Say: fail 7 no entry"]);
        assert!(envoy.stop().status.success());
    }

    fn a_conversation_has_all_four_callbacks(version) {
        let (envoy, _upstream, grpc) = start(version, "
            request_headers: with-metadata x-who me
            request_headers: grpc-stream grpc graft.test.Echo Chat
            request_headers: grpc-send metadata 0
            request_headers: return 1
            grpc_receive_initial_metadata: get grpc-initial x-initial
            grpc_receive: buffer-get grpc 0 300
            grpc_receive: if-nth 1 grpc-send second 0
            grpc_receive: if-nth 2 grpc-send \"fail 9 enough\" 0
            grpc_receive_trailing_metadata: get grpc-trailing x-final
            grpc_close: call-status
            grpc_close: effective caller
            grpc_close: continue request
        ");
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.await_plugin_log("get grpc-initial x-initial -> 0 \"first\"");
        envoy.await_plugin_log("buffer-get grpc 0 300 -> 0 \"second\"");
        envoy.await_plugin_log("get grpc-trailing x-final -> 0 \"last\"");
        envoy.await_plugin_log("on_grpc_close root 9");
        assert_eq!(envoy.count_plugin_log("x-who: me"), 1);
        assert_eq!(grpc.seen(), ["Chat: metadata", "Chat: second", "Chat: fail 9 enough"]);
        assert!(envoy.stop().status.success());
    }

    fn the_plugin_ends_its_side_and_the_server_answers_still(version) {
        let (envoy, _upstream, grpc) = start(version, "
            request_headers: grpc-stream grpc graft.test.Echo Chat
            request_headers: grpc-send \"slow 200\" 1
            request_headers: return 1
            grpc_receive: buffer-get grpc 0 100
            grpc_close: effective caller
            grpc_close: continue request
        ");
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.await_plugin_log("buffer-get grpc 0 100 -> 0 \"slow\"");
        envoy.await_plugin_log("on_grpc_close root 0");
        await_seen(&grpc, "Chat: half-closed");
    }

    fn a_conversation_that_is_cancelled_is_reset(version) {
        let (envoy, _upstream, grpc) = start(version, "
            request_headers: grpc-stream grpc graft.test.Echo Chat
            request_headers: grpc-send one 0
            request_headers: return 1
            grpc_receive: grpc-cancel
            grpc_receive: grpc-send two 0
            grpc_receive: effective caller
            grpc_receive: continue request
        ");
        assert_eq!(envoy.client("main").get("/").status, 200);
        await_seen(&grpc, "Chat: reset");
        envoy.await_plugin_log("grpc-send two 0 -> 1");
        assert_eq!(envoy.count_plugin_log("on_grpc_close"), 0);
        assert!(envoy.stop().status.success());
    }

    fn a_call_ends_with_its_time(version) {
        let (envoy, _upstream, _grpc) = start(version, "
            request_headers: grpc-call grpc graft.test.Echo Say hang 200
            request_headers: return 1
            grpc_close: effective caller
            grpc_close: continue request
        ");
        assert_eq!(envoy.client("main").get("/").status, 200);
        envoy.await_plugin_lines(1, "on_grpc_close root");
    }

    /// As in the built-in filter it belongs to the plugin; on Envoy 1.37 to the request, which alone can make it there.
    fn a_conversation_outlives_the_request_that_began_it(version) {
        let script = "
            request_headers: if-header request x-do more grpc-send more 0
            request_headers: if-header request x-do more return 0
            request_headers: grpc-stream grpc graft.test.Echo Chat
            request_headers: grpc-send hello 0
            request_headers: return 1
        ";
        // The second request is on the VM that has the conversation, also while a message of that is being brought there.
        let plugin = Plugin::scripted("calls", script).set("graft.pool.spare_vms", 0);
        let (envoy, _upstream, grpc) = start_plugin(version, &plugin);
        let address = eventually("the listener to serve", || envoy.address("main"));
        let mut client = TcpStream::connect(address).expect("connecting to Envoy");
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").expect("sending a request");
        await_seen(&grpc, "Chat: hello");
        drop(client);
        envoy.await_quiet("main");
        if version == Version::V1_37 {
            await_seen(&grpc, "Chat: reset");
            envoy.await_plugin_lines(1, "on_grpc_close root");
        } else {
            assert_eq!(envoy.client("main").send(&Request::get("/").header("x-do", "more")).status, 200);
            await_seen(&grpc, "Chat: more");
        }
        assert!(envoy.stop().status.success());
    }

    /// Where calls start when the plugin has returned, they fail a moment later.
    fn a_service_that_is_not_there_fails(version) {
        let (envoy, _upstream, _grpc) = start(version, "
            request_headers: grpc-call nowhere graft.test.Echo Say hello 1000
            request_headers: grpc-stream nowhere graft.test.Echo Chat
        ");
        assert_eq!(envoy.client("main").get("/").status, 200);
        if version == Version::V1_37 {
            envoy.await_plugin_log("Say hello 1000 -> 4");
            envoy.await_plugin_log("Echo Chat -> 4");
        } else {
            envoy.await_plugin_lines(2, "on_grpc_close root 14");
        }
    }

    fn a_root_context_calls(version) {
        let (envoy, _upstream, grpc) = start(version, "
            configure: tick-period 20
            tick: tick-period 0
            tick: grpc-call grpc graft.test.Echo Say \"from a tick\" 5000
            grpc_receive: buffer-get grpc 0 100
        ");
        if version == Version::V1_37 {
            envoy.await_plugin_log("\"from a tick\" 5000 -> 10");
            assert!(grpc.seen().is_empty());
            assert!(!envoy.complaints().is_empty(), "the log says why");
        } else {
            envoy.await_plugin_log("buffer-get grpc 0 100 -> 0 \"from a tick\"");
        }
        assert!(envoy.stop().status.success());
    }
}
