//! Start-up with Graft's bootstrap extension: Envoy does not serve before the plugins are there, and not for ever.

use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version, eventually, within};
use crate::support::wasm::{self, GENERATION};

/// A plugin whose code cannot be read yet, which is tried all the time.
fn late(guests: &Guests) -> Plugin {
    Plugin::new("late", &guests.add_unreadable("late"))
        .set("graft.swap.load", "background")
        .set("graft.swap.retry.base_interval", "0.1s")
        .set("graft.swap.retry.max_interval", "0.2s")
}

/// Whether the listener takes connections.
fn accepts(envoy: &Envoy) -> bool {
    envoy.address("main").is_some_and(|address| TcpStream::connect(address).is_ok())
}

on_each_envoy! {
    fn no_listener_accepts_before_a_plugin_that_comes_late_serves(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &late(&guests));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({}));
        let envoy = Envoy::begin(version, &bootstrap);
        if version == Version::V1_37 {
            // It has nothing that waits: streams do.
            eventually("Envoy to serve", || envoy.is_live().then_some(()));
        } else {
            envoy.await_log("start-up waits for \"late\"");
            let served = within(Duration::from_millis(500), || (accepts(&envoy) || envoy.is_live()).then_some(()));
            assert_eq!(served, None);
            let page = envoy.admin().get("/graft").unwrap();
            assert!(page.contains("start-up waits"), "{page}");
        }
        guests.add_bytes("late", &wasm::generation(1));
        eventually("Envoy to serve", || envoy.is_live().then_some(()));
        assert_eq!(envoy.client("main").get("/").header(GENERATION), Some("1"));
        if version != Version::V1_37 {
            envoy.await_log("start-up has waited for");
            assert!(!envoy.admin().get("/graft").unwrap().contains("start-up waits"));
        }
        assert!(envoy.stop().status.success());
    }

    fn start_up_goes_on_without_a_plugin_that_does_not_come_in_time(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        let plugin = late(&guests).set("graft.swap.max_wait", "0s");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({ "startup_wait": "0.7s" }));
        let envoy = Envoy::start(version, &bootstrap);
        if version != Version::V1_37 {
            envoy.await_log("start-up goes on without \"late\", which could not be loaded in 700ms");
        }
        assert_eq!(envoy.client("main").get("/").status, 503, "none passes without its plugin");
        assert!(envoy.stop().status.success());
    }

    fn nobody_waits_if_that_is_not_wanted_or_there_is_no_extension(version) {
        for extension in [Some(json!({ "startup_wait": "0s", "admin": false })), None] {
            let guests = Guests::new();
            let upstream = Upstream::http1("upstream");
            let listener = Listener::new("main").plugin(Host::Graft, &late(&guests));
            let mut bootstrap = Bootstrap::new().upstream(&upstream).listener(listener);
            if let Some(extension) = extension {
                bootstrap = bootstrap.extension(&extension);
            }
            let envoy = Envoy::start(version, &bootstrap);
            assert!(!envoy.log().iter().any(|line| line.text.contains("start-up")));
            assert_eq!(envoy.admin().exchange("GET", "/graft").unwrap().status, 404);
            assert!(envoy.stop().status.success());
        }
    }

    /// What is wrong with the bytes will not pass by itself, so waiting is no use.
    fn a_plugin_that_cannot_be_loaded_is_not_waited_for(version) {
        let guests = Guests::new();
        let path = guests.add_bytes("broken", b"no Wasm at all");
        let plugin = Plugin::new("broken", &path).set("graft.swap.load", "background");
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({ "startup_wait": "60s" }));
        let envoy = Envoy::start(version, &bootstrap);
        assert_eq!(envoy.client("main").get("/").status, 503);
        assert!(envoy.stop().status.success());
    }

    /// Envoy reads the file when its loop begins, after it has told extensions that it is initialized.
    fn listeners_of_a_file_are_waited_for(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &late(&guests));
        let bootstrap =
            Bootstrap::new().upstream(&upstream).listener(listener).listeners_from_file().extension(&json!({}));
        let envoy = Envoy::begin(version, &bootstrap);
        if version != Version::V1_37 {
            envoy.await_log("start-up waits for \"late\"");
            let served = within(Duration::from_millis(300), || envoy.is_live().then_some(()));
            assert_eq!(served, None);
        }
        guests.add_bytes("late", &wasm::generation(1));
        eventually("Envoy to serve", || envoy.is_live().then_some(()));
        assert_eq!(envoy.client("main").get("/").header(GENERATION), Some("1"));
        assert!(envoy.stop().status.success());
    }

    fn an_envoy_that_waits_ends_when_it_is_told_to(version) {
        let guests = Guests::new();
        let upstream = Upstream::http1("upstream");
        let listener = Listener::new("main").plugin(Host::Graft, &late(&guests));
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({}));
        let envoy = Envoy::begin(version, &bootstrap);
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    /// Its pages are on the admin endpoint by then.
    fn an_envoy_that_refuses_a_listener_after_the_extension_ends_in_peace(version) {
        let upstream = Upstream::http1("upstream");
        let wrong = Plugin::scripted("wrong", "configure: return 0");
        let listener = Listener::new("main").plugin(Host::Graft, &wrong);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({}));
        match Envoy::try_start(version, &bootstrap) {
            Ok(envoy) => panic!("it was accepted: {:?}", envoy.log()),
            Err(ended) => {
                ended.line("plugin \"wrong\"");
                assert_eq!(ended.status.code(), Some(1), "{ended}");
            }
        }
    }

    fn a_bootstrap_with_the_extension_is_valid(version) {
        let upstream = Upstream::http1("upstream");
        let plugin = Plugin::scripted("fine", "");
        let listener = Listener::new("main").plugin(Host::Graft, &plugin);
        let bootstrap = Bootstrap::new().upstream(&upstream).listener(listener).extension(&json!({}));
        let ended = Envoy::validate(version, &bootstrap);
        assert!(ended.status.success(), "{ended}");
    }
}
