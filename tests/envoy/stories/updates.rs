//! Filters get other configurations and other code while requests flow: by extension discovery, and by new listeners.

use std::time::Duration;

use crate::harness::client::Wire;
use crate::harness::envoy::{on_each_envoy, on_each_host};
use crate::harness::guests::Guests;
use crate::harness::load::Load;
use crate::harness::report::Kind;
use crate::harness::steady_upstream::SteadyUpstream;
use crate::harness::upstream::Protocol;
use crate::harness::watch::{MainThreadWatch, MemoryWatch};
use crate::harness::xds::{Discovered, Verdict, update_listeners};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, eventually};
use crate::support::wasm;

/// The scripted plugin, which marks responses with a word.
fn saying(word: &str) -> Plugin {
    Plugin::scripted("changes", &format!("response_headers: add response x-plugin {word}"))
}

/// A plugin whose code tells its number.
fn generation(guests: &Guests, number: u32) -> Plugin {
    let path = guests.add_bytes(&format!("generation-{number}"), &wasm::generation(number));
    Plugin::new("changes", &path).set("vm_config.vm_id", format!("vm-{number}"))
}

on_each_host! {
    fn a_filter_takes_its_configuration_from_a_file_and_an_update_is_counted(version, host) {
        let upstream = Upstream::http1("upstream");
        let filter = Discovered::new(host, &saying("one"));
        let listener = Listener::new("main").filter(filter.filter());
        let envoy = Envoy::start(version, &Bootstrap::new().upstream(&upstream).listener(listener));
        let client = envoy.client("main");
        let says = || client.get("/").header("x-plugin").map(str::to_owned);
        assert_eq!(says().as_deref(), Some("one"));

        let update = filter.update(&envoy, &saying("two"));
        assert_eq!(update, Verdict::Accepted);
        eventually("the new configuration", || (says().as_deref() == Some("two")).then_some(()));

        let wrong = Plugin::scripted("changes", "no such callback: log info x");
        match host {
            Host::BuiltIn => assert_eq!(filter.update(&envoy, &wrong), Verdict::Refused),
            Host::Graft => {
                // Envoy is not held up by the start of a plugin once traffic flows.
                assert_eq!(filter.update(&envoy, &wrong), Verdict::Accepted);
                envoy.await_log("refused its configuration");
                let blocking = wrong.set("graft.swap.load", "blocking");
                assert_eq!(filter.update(&envoy, &blocking), Verdict::Refused);
            }
        }
        assert_eq!(says().as_deref(), Some("two"), "the last good configuration serves");
        assert!(envoy.stop().status.success());
    }

    fn listeners_come_from_a_file_and_an_update_is_counted(version, host) {
        let upstream = Upstream::http1("upstream");
        let listener = |word| Listener::new("main").plugin(host, &saying(word));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener("one")).listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        let says = || envoy.client("main").get("/").header("x-plugin").map(str::to_owned);
        assert_eq!(says().as_deref(), Some("one"));
        assert_eq!(update_listeners(&envoy, &[listener("two")]), Verdict::Accepted);
        eventually("the new listener", || (says().as_deref() == Some("two")).then_some(()));
        assert!(envoy.stop().status.success());
    }

    fn no_request_is_lost_while_the_code_of_a_filter_changes(version, host) {
        let last = match host {
            Host::Graft => 200,
            // Its answers are compared here; how long it takes is the benchmark's.
            Host::BuiltIn => 10,
        };
        let guests = Guests::new();
        let upstream = SteadyUpstream::start();
        let filter = Discovered::new(host, &generation(&guests, 1));
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .listener(Listener::new("main").filter(filter.filter()))
            .concurrency(2)
            .log_level("info");
        let envoy = Envoy::start(version, &bootstrap);
        let address = eventually("the listener", || envoy.address("main"));
        let load = Load::on(address).rate(300).streams(2).start();
        load.await_streams(4);
        let memory = MemoryWatch::start(&envoy);
        let main_thread = MainThreadWatch::start(&envoy);
        let mut published = Vec::new();
        for number in 2..=last {
            load.await_more(20);
            published.push((number, load.now()));
            assert_eq!(filter.update(&envoy, &generation(&guests, number)), Verdict::Accepted);
        }
        load.await_generation(last);
        load.await_more(100);
        let report = load.stop();
        let (memory, blocked) = (memory.stop(), main_thread.stop().longest());
        let until_new = published.iter().filter_map(|(number, at)| report.first_of(*number)?.checked_sub(*at)).max();
        eprintln!(
            "{version:?}, {host:?}: {report}; new behaviour after {:.1?}; {} MiB at most, grown by {} KiB; the main thread was busy for \
             {blocked:.1?}",
            until_new.unwrap_or_default(),
            memory.most() >> 20,
            memory.growth() >> 10
        );
        report.assert_nothing_was_lost();
        assert!(report.samples.iter().all(|sample| sample.of_request.is_some()), "{:?}", report.samples);
        for stream in report.of_kind(Kind::Long) {
            // What began on the first generation ends on it, all the generations later.
            assert_eq!((stream.generation, stream.at_end), (Some(1), Some(1)), "{stream:?}");
        }
        for wire in [Wire::Http1, Wire::Http2] {
            let of_wire = report.samples.iter().filter(|sample| sample.wire == wire && sample.at_end.is_some());
            assert!(of_wire.count() > 100, "{wire:?}");
        }
        assert_eq!(report.of_kind(Kind::Long).len(), 4);
        let generations: Vec<_> = report.generations().into_keys().collect();
        assert_eq!((generations.first(), generations.last()), (Some(&1), Some(&last)));
        assert_eq!(upstream.served(), report.samples.len() as u64);
        assert!(envoy.stop().status.success());
    }
}

on_each_envoy! {
    fn a_load_tells_of_every_request_that_fails(version) {
        let guests = Guests::new();
        let upstream = SteadyUpstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .listener(Listener::new("main").plugin(Host::Graft, &generation(&guests, 1)));
        let envoy = Envoy::start(version, &bootstrap);
        let address = eventually("the listener", || envoy.address("main"));
        let load = Load::on(address).rate(100).streams(1).start();
        load.await_streams(2);
        load.await_more(10);
        // Without Envoy everything fails: both streams, and each request from then on.
        envoy.stop();
        let gone = load.now();
        load.await_more(50);
        let report = load.stop();
        let cut: Vec<_> = report.of_kind(Kind::Long).into_iter().filter(|stream| stream.failure.is_some()).collect();
        assert_eq!(cut.len(), 2, "{report}");
        let late = report.samples.iter().filter(|sample| sample.start > gone);
        assert!(late.clone().count() > 5 && late.clone().all(|sample| sample.failure.is_some()), "{report}");
        assert!(report.slowest() < Duration::from_secs(10), "{report}");
    }
}
