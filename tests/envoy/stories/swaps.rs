//! New generations take over while Envoy serves: from a file that changes, on trial first, with routes and shared data; and
//! what becomes of requests while there is none yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::files;
use crate::harness::guests::Guests;
use crate::harness::load::Load;
use crate::harness::steady_upstream::SteadyUpstream;
use crate::harness::tcp::Say::{Await, Send};
use crate::harness::tcp::{TcpProxy, TcpUpstream, talk};
use crate::harness::upstream::Protocol;
use crate::harness::watch::MemoryWatch;
use crate::harness::xds::{Discovered, Verdict, update_listeners};
use crate::harness::{
    Bootstrap, Client, Envoy, Host, Listener, Plugin, Route, Upstream, Version, eventually,
};
use crate::support::hostile::{self, Answer};
use crate::support::wasm::{self, GENERATION};

/// A plugin whose file is looked at every second.
fn watched(file: &Path) -> Plugin {
    Plugin::new("watched", file).set("graft.swap.poll_interval", "1s")
}

/// A file that holds a generation of the code of [`wasm::generation`].
fn file(guests: &Guests, number: u32) -> PathBuf {
    guests.add_bytes("watched", &wasm::generation(number))
}

/// An Envoy with one listener, `main`, that runs a plugin.
fn house(version: Version, plugin: &Plugin) -> (Envoy, Client, Arc<Upstream>) {
    let upstream = Upstream::http1("upstream");
    let bootstrap =
        Bootstrap::new().upstream(&upstream).listener(Listener::new("main").plugin(Host::Graft, plugin));
    let envoy = Envoy::start(version, &bootstrap);
    let client = envoy.client("main");
    (envoy, client, upstream)
}

fn generation_of(client: &Client) -> Option<String> {
    client.get("/").header(GENERATION).map(str::to_owned)
}

/// A plugin whose code cannot be read before [`Guests::add_bytes`] replaces it. It is tried all the time.
fn late(guests: &Guests) -> Plugin {
    Plugin::new("late", &guests.add_unreadable("late"))
        .set("graft.swap.load", "background")
        .set("graft.swap.retry.base_interval", "0.1s")
        .set("graft.swap.retry.max_interval", "0.2s")
}

/// Waits until a generation answers.
fn await_generation(client: &Client, number: &str) {
    eventually(&format!("generation {number}"), || {
        (generation_of(client).as_deref() == Some(number)).then_some(())
    });
}

/// Traps on requests to `/trap`; marks responses.
const FRAGILE: &str = "response_headers: add response x-plugin fragile
request_headers: if-header request :path /trap trap";

on_each_envoy! {
    fn a_file_that_is_replaced_takes_over_and_no_request_is_lost(version) {
        const LAST: u32 = 4;
        let guests = Guests::new();
        let plugin = watched(&file(&guests, 1));
        let upstream = SteadyUpstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .listener(Listener::new("main").plugin(Host::Graft, &plugin))
            .concurrency(2)
            .log_level("info");
        let envoy = Envoy::start(version, &bootstrap);
        let load = Load::on(eventually("the listener", || envoy.address("main"))).rate(200).streams(1).start();
        load.await_streams(2);
        let memory = MemoryWatch::start(&envoy);
        for number in 2..=LAST {
            file(&guests, number);
            envoy.await_log(&format!("generation {number} takes over"));
            load.await_more(20);
        }
        let report = load.stop();
        report.assert_nothing_was_lost();
        let generations: Vec<_> = report.generations().into_keys().collect();
        assert_eq!(generations, (1..=LAST).collect::<Vec<_>>(), "{report}");
        assert!(memory.stop().growth() < 8 << 20);
        // Both streams are over, so the first generation, on which they began, goes too.
        envoy.await_log("generation 1 is gone");
        assert!(envoy.stop().status.success());
    }

    fn a_bad_file_leaves_the_last_good_one_and_a_good_one_heals(version) {
        let guests = Guests::new();
        let plugin = watched(&file(&guests, 1));
        let (envoy, client, _upstream) = house(version, &plugin);
        assert_eq!(generation_of(&client).as_deref(), Some("1"));
        guests.add_bytes("watched", b"<html>a page of errors</html>");
        let line = envoy.await_log("the last good generation serves").text;
        for word in ["plugin \"watched\"", "vm_config.code.local.filename", "HTML", "expected a Wasm module"] {
            assert!(line.contains(word), "{line}");
        }
        assert_eq!(generation_of(&client).as_deref(), Some("1"));
        let failures = "dynamicmodulescustom.graft_load_failures.plugin.watched";
        eventually("the failure to be counted", || {
            client.get("/");
            (envoy.admin().stat(failures) == Some(1)).then_some(())
        });
        file(&guests, 3);
        await_generation(&client, "3");
        assert!(envoy.stop().status.success());
    }

    fn requests_wait_for_the_first_generation(version) {
        let guests = Guests::new();
        let missing = guests.nowhere();
        let plugin = Plugin::new("late", &missing)
            .set("graft.swap.load", "background")
            .set("graft.swap.retry.base_interval", "0.2s");
        // What is certainly wrong is refused all the same.
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
        let ended = Envoy::try_start(version, &bootstrap).unwrap_err();
        assert!(ended.line("no such file").contains("vm_config.code.local.filename"));

        let (envoy, client, upstream) = house(version, &late(&guests));
        envoy.await_log("is loaded in the background");
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| client.get("/"));
            eventually("the request to be there", || {
                (envoy.admin().stat("http.main.downstream_rq_active") == Some(1)).then_some(())
            });
            assert!(upstream.take_seen().is_empty(), "nothing goes by unseen");
            guests.add_bytes("late", &wasm::generation(7));
            let response = waits.join().unwrap();
            assert_eq!((response.status, response.header(GENERATION)), (200, Some("7")));
        });
        let waits = "dynamicmodulescustom.graft_load_waits.plugin.late";
        eventually("the wait to be counted", || {
            client.get("/");
            (envoy.admin().stat(waits) == Some(1)).then_some(())
        });
        assert!(envoy.stop().status.success());
    }

    fn a_request_that_waits_too_long_for_the_first_generation_gets_the_policy(version) {
        for (policy, status) in [("FAIL_CLOSED", 503), ("FAIL_OPEN", 200)] {
            let guests = Guests::new();
            let plugin = late(&guests).set("failure_policy", policy).set("graft.swap.max_wait", "0.01s");
            let (envoy, client, _upstream) = house(version, &plugin);
            let response = client.get("/");
            assert_eq!((response.status, response.header(GENERATION)), (status, None));
            let line = envoy.await_log("a stream could not begin").text;
            assert!(line.contains("the plugin is being loaded"), "{line}");
            guests.add_bytes("late", &wasm::generation(7));
            await_generation(&client, "7");
            assert!(envoy.stop().status.success());
        }
    }

    fn a_plugin_that_does_not_start_fails_requests_at_once(version) {
        let plugin = Plugin::scripted("hopeless", "no such callback: log info x")
            .set("graft.swap.load", "background")
            .set("graft.swap.max_wait", "300s");
        let (envoy, client, _upstream) = house(version, &plugin);
        assert_eq!(client.get("/").status, 503);
        let line = envoy.await_log("a stream could not begin").text;
        assert!(line.contains("could not be loaded") && line.contains("refused its configuration"), "{line}");
        assert!(envoy.stop().status.success());
    }

    fn a_trial_that_traps_is_rolled_back(version) {
        let guests = Guests::new();
        let canary = json!({"percent": 50, "duration": "600s", "max_failures": 3, "max_failure_percent": 10});
        let good = Plugin::new("tried", &guests.add_bytes("good", &wasm::generation(1)));
        let filter = Discovered::new(Host::Graft, &good);
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").filter(filter.filter());
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let client = envoy.client("main");
        assert_eq!(generation_of(&client).as_deref(), Some("1"));
        let fragile = Plugin::scripted("tried", FRAGILE).set("graft.swap.canary", canary);
        assert_eq!(filter.update(&envoy, &fragile), Verdict::Accepted);
        envoy.await_log("is on trial");
        let answers: Vec<_> = (0..10).map(|_| client.get("/").header("x-plugin").is_some()).collect();
        assert_eq!(answers.iter().filter(|is_new| **is_new).count(), 5, "half of them");
        let failed = eventually("the trial to be rolled back", || {
            let failed = (0..4).filter(|_| client.get("/trap").status == 503).count();
            envoy.log().iter().any(|line| line.text.contains("was rolled back")).then_some(failed)
        });
        assert!(failed <= 4, "a trap costs the stream that is on trial");
        let line = envoy.await_log("was rolled back").text;
        assert!(line.contains("streams failed"), "{line}");
        for _ in 0..10 {
            assert_eq!(client.get("/trap").header(GENERATION), Some("1"));
        }
        assert!(envoy.stop().status.success());
    }

    fn a_trial_that_does_well_takes_over(version) {
        let guests = Guests::new();
        let plugin = watched(&file(&guests, 1))
            .set("graft.swap.canary", json!({"percent": 20, "duration": "1s"}));
        let (envoy, client, _upstream) = house(version, &plugin);
        assert_eq!(generation_of(&client).as_deref(), Some("1"));
        file(&guests, 2);
        envoy.await_log("generation 2 is on trial");
        envoy.await_log("takes over: its trial is over");
        await_generation(&client, "2");
        assert!((0..10).all(|_| generation_of(&client).as_deref() == Some("2")));
        assert!(envoy.stop().status.success());
    }

    fn routes_go_on_with_their_own_configuration(version) {
        let guests = Guests::new();
        let scripted = std::fs::read(files::plugin("hostcalls")).unwrap();
        let path = guests.add_bytes("routed", &wasm::marked(&scripted, 1));
        let plugin = Plugin::new("routed", &path)
            .configuration("response_headers: add response x-route base")
            .set("graft.swap.poll_interval", "1s");
        let other = json!({"configuration": "response_headers: add response x-route special"});
        let special = Route::new("/special", "upstream").with_filter_config("routed", &other);
        let listener = Listener::new("main")
            .plugin(Host::Graft, &plugin)
            .route(special)
            .route(Route::new("/", "upstream"));
        let upstream = Upstream::http1("upstream");
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let client = envoy.client("main");
        let routes = || {
            ["/", "/special"].map(|path| client.get(path).header("x-route").map(str::to_owned))
        };
        let expected = [Some("base".to_owned()), Some("special".to_owned())];
        assert_eq!(routes(), expected);
        guests.add_bytes("routed", &wasm::marked(&scripted, 2));
        envoy.await_log("takes over");
        assert_eq!(routes(), expected);
        assert!(envoy.stop().status.success());
    }

    fn shared_data_of_a_vm_id_survives_new_code_and_new_configurations(version) {
        let guests = Guests::new();
        let scripted = std::fs::read(files::plugin("hostcalls")).unwrap();
        let plugin = |number: u32, script: &str| {
            let path = guests.add_bytes(&format!("code-{number}"), &wasm::marked(&scripted, number));
            Plugin::new("sharing", &path).configuration(script).set("vm_config.vm_id", "shared")
        };
        let filter = Discovered::new(Host::Graft, &plugin(1, "request_headers: shared-set key kept"));
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").filter(filter.filter());
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let client = envoy.client("main");
        client.get("/");
        envoy.await_plugin_log("shared-set key kept -> 0");
        for number in [1, 2] {
            let reading = plugin(number, &format!("request_headers: log info reader-{number}\nrequest_headers: shared-get key"));
            assert_eq!(filter.update(&envoy, &reading), Verdict::Accepted);
            eventually("the reader", || {
                client.get("/");
                envoy.plugin_log().iter().any(|line| line.contains(&format!("reader-{number}"))).then_some(())
            });
            assert_eq!(client.get("/").status, 200);
        }
        let found = envoy.plugin_log().iter().filter(|line| line.contains("shared-get key -> 0") && line.contains("kept")).count();
        assert!(found >= 2, "{:?}", envoy.plugin_log());
        assert!(envoy.stop().status.success());
    }

    fn a_stream_that_stays_too_long_on_an_old_generation_gets_the_policy(version) {
        let guests = Guests::new();
        let plugin = watched(&file(&guests, 1)).set("graft.swap.drain_deadline", "1s");
        let upstream = SteadyUpstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .listener(Listener::new("main").plugin(Host::Graft, &plugin))
            .log_level("info");
        let envoy = Envoy::start(version, &bootstrap);
        let load = Load::on(eventually("the listener", || envoy.address("main"))).rate(50).streams(1).start();
        load.await_streams(2);
        file(&guests, 2);
        let line = envoy.await_log("after graft.swap.drain_deadline").text;
        assert!(line.contains("generation 1 was replaced and still has 2 streams"), "{line}");
        envoy.await_log("generation 1 is gone");
        let report = load.stop();
        let cut = report.failures();
        assert_eq!(cut.len(), 2, "both streams, and no request: {report}");
        assert!(envoy.stop().status.success());
    }

    fn a_second_listener_with_a_plugin_of_that_name_leaves_the_first_one_alone(version) {
        let plugin = |word: &str| {
            let script = format!("response_headers: add response x-plugin {word}");
            Plugin::scripted("same", &script).set("graft.swap.drain_deadline", "1s")
        };
        let upstream = SteadyUpstream::start();
        let listener = |name: &str| Listener::new(name).plugin(Host::Graft, &plugin(name));
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .listener(listener("one"))
            .listeners_from_file()
            .log_level("info");
        let envoy = Envoy::start(version, &bootstrap);
        let load = Load::on(eventually("the listener", || envoy.address("one"))).rate(50).streams(1).start();
        load.await_streams(2);
        assert_eq!(update_listeners(&envoy, &[listener("one"), listener("two")]), Verdict::Accepted);
        let says = |name: &str| envoy.client(name).get("/").header("x-plugin").map(str::to_owned);
        eventually("its own plugin", || (says("two").as_deref() == Some("two")).then_some(()));
        // Two deadlines, in which the streams of the first one stay.
        load.await_more(100);
        assert_eq!((says("one").as_deref(), says("two").as_deref()), (Some("one"), Some("two")));
        load.stop().assert_nothing_was_lost();
        assert!(envoy.stop().status.success());
    }

    fn a_connection_waits_for_the_first_generation(version) {
        let code = std::fs::read(files::plugin("hostcalls")).unwrap();
        let gate = Arc::new(AtomicBool::new(false));
        let opened = Arc::clone(&gate);
        let server = hostile::by_turns(move |_, _| {
            if opened.load(Ordering::Relaxed) { Answer::Whole(code.clone()) } else { Answer::Status(503) }
        });
        for (policy, goes_on) in [("FAIL_CLOSED", false), ("FAIL_OPEN", true)] {
            let plugin = |name: &str, wait: &str| {
                Plugin::scripted(name, "downstream_data: if-nth 1 buffer-set downstream 0 1 O")
                    .set("vm_config.code", json!({"remote": {"http_uri": {"uri": server.url("/plugin.wasm")}}}))
                    .set("failure_policy", policy)
                    .set("graft.cache.disabled", true)
                    .set("graft.source.retries", json!({"attempts": 1}))
                    .set("graft.swap.retry.base_interval", "0.1s")
                    .set("graft.swap.max_wait", wait)
            };
            gate.store(false, Ordering::Relaxed);
            let upstream = TcpUpstream::echo("tcp");
            let proxy = |name: &str, wait: &str| {
                TcpProxy::new(name, "tcp").plugin(Host::Graft, &plugin(name, wait))
            };
            let bootstrap = Bootstrap::new()
                .tcp_upstream(&upstream)
                .tcp_proxy(proxy("patient", "30s"))
                .tcp_proxy(proxy("hasty", "0.05s"));
            let envoy = Envoy::start(version, &bootstrap);
            let address = |name: &str| eventually("the listener to serve", || envoy.address(name));
            let heard = talk(address("hasty"), &[Send("one"), Await(8)]);
            assert_eq!(heard.bytes, if goes_on { "echo:one" } else { "" }, "{policy}");
            upstream.take_seen();
            if matches!(version, Version::V1_37 | Version::V1_38) {
                // There nobody can call it, so it does not wait.
                let heard = talk(address("patient"), &[Send("one"), Await(8)]);
                assert_eq!(heard.bytes, if goes_on { "echo:one" } else { "" }, "{policy}");
                gate.store(true, Ordering::Relaxed);
                envoy.await_log("\"patient\": generation");
                assert_eq!(talk(address("patient"), &[Send("one"), Await(8)]).bytes, "echo:One");
                continue;
            }
            std::thread::scope(|scope| {
                let held = scope.spawn(|| talk(address("patient"), &[Send("one"), Await(8)]));
                eventually("the plugin to be asked for", || (server.count() > 3).then_some(()));
                assert_eq!(upstream.take_seen(), "", "nothing goes by unseen");
                gate.store(true, Ordering::Relaxed);
                assert_eq!(held.join().unwrap().bytes, "echo:One");
            });
            assert!(envoy.stop().status.success());
        }
    }
}
