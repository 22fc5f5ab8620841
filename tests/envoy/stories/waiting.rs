//! Requests that find no VM free: they wait in turn, and whatever becomes of them meanwhile harms nobody.
//!
//! With isolation `stream` and `max_vms` 1 a request that is with its upstream has the only VM, so the next ones wait.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;

use crate::harness::envoy::on_each_envoy;
use crate::harness::tcp::Say::{Await, AwaitEnd, Finish, Send};
use crate::harness::tcp::{TcpProxy, TcpUpstream, talk};
use crate::harness::upstream::Gate;
use crate::harness::{
    Bootstrap, Client, Envoy, Host, Listener, Plugin, Request, Response, Upstream, Version, eventually,
};

/// A plugin with one VM for each worker, and time to wait for it.
fn scarce(script: &str) -> Plugin {
    Plugin::scripted("scarce", script)
        .set("graft.isolation", "stream")
        .set("graft.pool.max_vms", 1)
        .set("graft.pool.max_wait", "20s")
}

const MARKS: &str = "response_headers: add response x-plugin ran";

/// An Envoy with one listener, `main`, whose upstream holds its answers.
struct House {
    envoy: Envoy,
    upstream: Arc<Upstream>,
    gate: Arc<Gate>,
    client: Client,
}

impl House {
    fn new(version: Version, listener: &Listener) -> Self {
        Self::with_workers(version, listener, 1)
    }

    fn with_workers(version: Version, listener: &Listener, workers: u32) -> Self {
        let upstream = Upstream::http1("upstream");
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener.clone()).concurrency(workers);
        let envoy = Envoy::start(version, &bootstrap);
        let gate = upstream.hold();
        let client = envoy.client("main");
        Self { envoy, upstream, gate, client }
    }

    /// Waits until Envoy has so many requests in hand.
    fn await_active(&self, count: u64) {
        eventually(&format!("{count} requests to be there"), || {
            (self.envoy.admin().stat("http.main.downstream_rq_active") == Some(count)).then_some(())
        });
    }

    /// Waits until the first request is with the upstream.
    fn await_first(&self) {
        eventually("the first request to arrive", || (self.gate.arrived() == 1).then_some(()));
    }

    /// The paths that the upstream has seen, in order.
    fn seen(&self) -> Vec<String> {
        self.upstream.take_seen().into_iter().map(|seen| seen.path).collect()
    }
}

fn main(plugin: &Plugin) -> Listener {
    Listener::new("main").plugin(Host::Graft, plugin)
}

fn assert_served(response: &Response) {
    assert_eq!((response.status, response.header("x-plugin")), (200, Some("ran")), "{response:?}");
}

on_each_envoy! {
    fn who_came_first_is_served_first(version) {
        let house = House::new(version, &main(&scarce(MARKS)));
        std::thread::scope(|scope| {
            let requests: Vec<_> = (0..5)
                .map(|number| {
                    let client = &house.client;
                    let request = scope.spawn(move || client.get(&format!("/{number}")));
                    house.await_active(number + 1);
                    request
                })
                .collect();
            house.gate.open();
            for request in requests {
                assert_served(&request.join().unwrap());
            }
        });
        assert_eq!(house.seen(), ["/0", "/1", "/2", "/3", "/4"]);
    }

    fn workers_wait_for_their_own_vms(version) {
        let house = House::with_workers(version, &main(&scarce(MARKS)), 2);
        std::thread::scope(|scope| {
            let requests: Vec<_> = (0..12).map(|_| scope.spawn(|| house.client.get("/"))).collect();
            house.await_active(12);
            house.gate.open();
            let begin = std::time::Instant::now();
            for request in requests {
                assert_served(&request.join().unwrap());
            }
            assert!(begin.elapsed().as_secs() < 10, "somebody was not called");
        });
    }

    fn a_client_that_goes_away_is_forgotten(version) {
        let house = House::new(version, &main(&scarce(MARKS)));
        let address = house.envoy.address("main").unwrap();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| house.client.get("/first"));
            house.await_first();
            let mut gone = TcpStream::connect(address).unwrap();
            gone.write_all(b"GET /gone HTTP/1.1\r\nhost: example.test\r\n\r\n").unwrap();
            house.await_active(2);
            let last = scope.spawn(|| house.client.get("/last"));
            house.await_active(3);
            drop(gone);
            house.await_active(2);
            house.gate.open();
            assert_served(&first.join().unwrap());
            assert_served(&last.join().unwrap());
        });
        assert_eq!(house.seen(), ["/first", "/last"]);
    }

    fn a_body_larger_than_the_buffer_waits_with_its_client(version) {
        let house = House::new(version, &main(&scarce(MARKS)).buffer_limit(16 * 1024));
        let body = vec![b'b'; 1024 * 1024];
        std::thread::scope(|scope| {
            let first = scope.spawn(|| house.client.get("/first"));
            house.await_first();
            let large = scope.spawn(|| house.client.send(&Request::post("/large", &[&body])));
            house.await_active(2);
            house.gate.open();
            assert_served(&first.join().unwrap());
            assert_served(&large.join().unwrap());
        });
        let seen = house.upstream.take_seen();
        assert!(seen.iter().any(|seen| seen.path == "/large" && seen.body == body), "the body is whole");
    }

    fn streams_of_http2_wait_too(version) {
        let house = House::new(version, &main(&scarce(MARKS)));
        let requests = [
            Request::get("/").over_http2(),
            Request::post("/", &[b"a ", b"body"]).over_http2(),
            Request::post("/", &[b"body"]).over_http2().trailers(&[("x-trailer", "value")]),
        ];
        std::thread::scope(|scope| {
            let first = scope.spawn(|| house.client.get("/"));
            house.await_first();
            let (client, count) = (&house.client, requests.len() as u64);
            let waiting: Vec<_> =
                requests.iter().map(|request| scope.spawn(move || client.send(request))).collect();
            house.await_active(count + 1);
            house.gate.open();
            assert_served(&first.join().unwrap());
            for request in waiting {
                assert_served(&request.join().unwrap());
            }
        });
    }

    fn a_response_that_overtakes_the_wait_is_the_last_word(version) {
        let house = House::new(version, &main(&scarce(MARKS)).manager("request_timeout", "0.3s"));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| house.client.get("/first"));
            house.await_first();
            // Envoy's own limit for a request that does not end, here because its body waits with it.
            let late = house.client.send(&Request::post("/late", &[&vec![b'b'; 4 * 1024 * 1024]]));
            assert_eq!((late.status, late.header("x-plugin")), (408, None), "{late:?}");
            house.gate.open();
            assert_served(&first.join().unwrap());
        });
        assert_served(&house.client.get("/next"));
        assert_eq!(house.seen(), ["/first", "/next"]);
    }

    fn an_envoy_that_ends_waits_for_nobody(version) {
        let house = House::new(version, &main(&scarce(MARKS)));
        let (client, gate) = (house.client.clone(), Arc::clone(&house.gate));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| client.get("/"));
            }
            house.await_active(3);
            let ended = house.envoy.stop();
            assert!(ended.status.success(), "{ended}");
            gate.open();
        });
    }

    fn a_listener_that_goes_takes_those_with_it_that_wait(version) {
        let upstream = Upstream::http1("upstream");
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(main(&scarce(MARKS))).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        let (gate, client) = (upstream.hold(), envoy.client("main"));
        let active = || envoy.admin().stat("http.main.downstream_rq_active");
        std::thread::scope(|scope| {
            for count in 1..=3 {
                scope.spawn(|| client.get("/"));
                eventually("the request to be there", || (active() == Some(count)).then_some(()));
            }
            envoy.publish(&[]);
            // It drains for a second, and then closes what there is.
            eventually("all requests to end", || (active().unwrap_or(0) == 0).then_some(()));
            gate.open();
        });
        assert_eq!(gate.arrived(), 1);
        assert!(envoy.stop().status.success());
    }

    fn a_plugin_that_looks_at_bodies_while_it_holds_headers_does_not_wait(version) {
        let house = House::new(version, &main(&scarce(MARKS).set("allow_on_headers_stop_iteration", true)));
        std::thread::scope(|scope| {
            let first = scope.spawn(|| house.client.get("/"));
            house.await_first();
            assert_eq!(house.client.get("/").status, 503);
            house.gate.open();
            assert_served(&first.join().unwrap());
        });
    }

    fn a_connection_that_finds_no_vm_gets_the_failure_policy_at_once(version) {
        let upstream = TcpUpstream::echo("tcp");
        let policies = ["FAIL_CLOSED", "FAIL_OPEN"];
        let bootstrap = policies.iter().fold(Bootstrap::new().tcp_upstream(&upstream), |bootstrap, policy| {
            // Plugins whose VMs are the same share the seats, too.
            let plugin =
                scarce("").named(policy).set("vm_config.vm_id", *policy).set("failure_policy", *policy);
            bootstrap.tcp_proxy(TcpProxy::new(policy, "tcp").plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &bootstrap);
        for policy in policies {
            let address = eventually("the listener to serve", || envoy.address(policy));
            let first = TcpStream::connect(address).unwrap();
            envoy.await_plugin_log(&format!("wasm log {policy} {policy}: on_new_connection stream"));
            if policy == "FAIL_OPEN" {
                assert_eq!(talk(address, &[Send("hello"), Await(10), Finish]).bytes, "echo:hello");
            } else {
                let heard = talk(address, &[Send("hello"), AwaitEnd]);
                assert_eq!((heard.bytes.as_str(), heard.is_ended), ("", true));
            }
            drop(first);
        }
        envoy.await_log("a connection could not begin: all VMs of this worker are busy");
    }
}
