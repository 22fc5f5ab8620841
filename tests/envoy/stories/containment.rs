//! A crash or an endless loop among several hundred good requests a second, on two workers: what it costs, and whom.
//!
//! With `shared` VMs a crash may cost the requests that were on the VM at that moment; with a VM for each stream it costs
//! the one that crashed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::envoy::on_each_envoy;
use crate::harness::{
    Bootstrap, CalloutUpstream, Envoy, Host, Listener, PATIENCE, Plugin, Request, Route, Upstream, Version,
    eventually,
};

/// Clients of good requests, each of which sends one every so often: 400 a second, all together.
const CLIENTS: usize = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// How long requests come.
const LOAD: Duration = Duration::from_secs(2);
/// Each request is with its upstream for some milliseconds, so that a crash can hit it.
const PATH: &str = "/slow/5";

/// A request's time, and what came of it.
#[derive(Debug)]
struct Exchange {
    begin: Instant,
    end: Instant,
    answer: String,
}

impl Exchange {
    /// Sends a request on a connection of its own, which may go to any worker.
    fn run(address: SocketAddr, header: &str) -> Self {
        let begin = Instant::now();
        let answer = send(address, header).unwrap_or_else(|error| format!("{error:?}"));
        Self { begin, end: Instant::now(), answer }
    }

    fn is_good(&self) -> bool {
        self.answer.starts_with("HTTP/1.1 200") && self.answer.contains("x-plugin: ran")
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.begin <= other.end && other.begin <= self.end
    }

    fn is_within(&self, other: &Self) -> bool {
        other.begin < self.begin && self.end < other.end
    }
}

fn send(address: SocketAddr, header: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("GET {PATH} HTTP/1.1\r\nhost: example.test\r\nconnection: close\r\n{header}\r\n");
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sends requests at a steady pace until a moment.
fn keep_sending(address: SocketAddr, header: &str, pause: Duration, until: Instant) -> Vec<Exchange> {
    let (mut exchanges, mut next) = (Vec::new(), Instant::now());
    while next < until {
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        exchanges.push(Exchange::run(address, header));
    }
    exchanges
}

/// A plugin that does what a request's header `x-do` says, and marks the others' responses.
fn plugin(isolation: &str) -> Plugin {
    Plugin::scripted(
        "guarded",
        "
        request_headers: if-header request x-do panic panic \"as told\"
        request_headers: if-header request x-do loop loop
        response_headers: add response x-plugin ran
    ",
    )
    .set("graft.isolation", isolation)
    .set("graft.limits.call_deadline", "0.3s")
}

/// Good requests and bad ones, on two workers.
fn run(version: Version, isolation: &str, bad: &str, pause: Duration) -> (Vec<Exchange>, Vec<Exchange>) {
    let upstream = Upstream::http1("upstream");
    let slow = CalloutUpstream::start();
    let listener =
        Listener::new("main").route(Route::new("/slow", "callout")).plugin(Host::Graft, &plugin(isolation));
    let bootstrap = slow.add_to(Bootstrap::new().upstream(&upstream).listener(listener)).concurrency(2);
    let envoy = Envoy::start(version, &bootstrap);
    let address = eventually("the listener to serve", || envoy.address("main"));
    let until = Instant::now() + LOAD;
    let (good, bad) = std::thread::scope(|scope| {
        let good: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(move || keep_sending(address, "", PAUSE, until))).collect();
        let bad = keep_sending(address, &format!("x-do: {bad}\r\n"), pause, until);
        (good.into_iter().flat_map(|client| client.join().unwrap()).collect(), bad)
    });
    assert!(envoy.stop().status.success());
    (good, bad)
}

/// Fails unless the bad requests failed, and of the others only those that may.
fn judge(isolation: &str, good: &[Exchange], bad: &[Exchange]) {
    assert!(bad.len() > 2 && good.len() > 50, "{} bad, {} good", bad.len(), good.len());
    for exchange in bad {
        assert!(exchange.answer.starts_with("HTTP/1.1 503"), "{isolation}: {}", exchange.answer);
    }
    for failed in good.iter().filter(|exchange| !exchange.is_good()) {
        assert_eq!(isolation, "shared", "a good request failed: {}", failed.answer);
        // Answered when it reached the plugin again, so it may have ended later than the one that crashed.
        assert!(
            bad.iter().any(|crash| crash.overlaps(failed)),
            "nothing crashed meanwhile: {}",
            failed.answer
        );
    }
}

on_each_envoy! {
    fn a_crash_costs_no_stream_of_another_vm(version) {
        for isolation in ["shared", "stream"] {
            let (good, bad) = run(version, isolation, "panic", Duration::from_millis(50));
            judge(isolation, &good, &bad);
        }
    }

    fn an_endless_loop_holds_up_its_worker_until_the_deadline_and_no_other(version) {
        for isolation in ["shared", "stream"] {
            let (good, bad) = run(version, isolation, "loop", Duration::from_millis(500));
            judge(isolation, &good, &bad);
            let is_served_meanwhile = |own: &Exchange| own.is_good() && bad.iter().any(|other| own.is_within(other));
            assert!(good.iter().any(is_served_meanwhile), "{isolation}: no request was served while one looped");
        }
    }

    fn calls_of_a_vm_that_crashed_end(version) {
        let upstream = Upstream::http1("upstream");
        let callouts = CalloutUpstream::start();
        let script = "
            request_headers: http-call callout 60000 \"\" :method GET :path /hang :authority callout
            response_headers: panic \"as told\"
        ";
        let isolations = ["shared", "stream"];
        let bootstrap = isolations.iter().fold(Bootstrap::new().upstream(&upstream), |bootstrap, isolation| {
            let plugin = Plugin::scripted(isolation, script).set("graft.isolation", *isolation);
            bootstrap.listener(Listener::new(isolation).plugin(Host::Graft, &plugin))
        });
        let envoy = Envoy::start(version, &callouts.add_to(bootstrap));
        for isolation in isolations {
            let gate = upstream.hold();
            std::thread::scope(|scope| {
                let request = scope.spawn(|| envoy.client(isolation).send(&Request::get("/")));
                eventually("the callout to arrive", || (callouts.waiting() == 1).then_some(()));
                gate.open();
                assert_eq!(request.join().unwrap().status, 503, "{isolation}");
            });
            eventually("the callout to end", || (callouts.waiting() == 0).then_some(()));
            let active = envoy.admin().stat("cluster.callout.upstream_rq_active");
            assert_eq!(active, Some(0), "{isolation}");
        }
    }
}
