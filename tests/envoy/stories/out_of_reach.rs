//! What the cache is good for when plugins come over the network: starts without the registry, starts that need not ask it, and
//! configurations that wait in the control plane until the code is there.

use crate::harness::envoy::on_each_envoy;
use crate::harness::origin::{House, Place, image};
use crate::harness::steady_upstream::SteadyUpstream;
use crate::harness::upstream::Protocol;
use crate::harness::xds::{Verdict, update_listeners};
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, eventually};
use crate::support::wasm::{self, GENERATION};
use crate::support::{Layout, Registry};

fn push(registry: &Registry, name: &str, number: u32) -> String {
    registry.push(Layout::SingleLayer, name, &wasm::generation(number)).reference()
}

on_each_envoy! {
    fn a_registry_that_is_down_at_start_is_missed_only_without_a_cache(version) {
        let mut registry = Registry::open();
        let (latest, fixed) = (push(&registry, "plugins/latest:latest", 1), push(&registry, "plugins/fixed:1", 2));
        let plugins = ["latest", "fixed"].map(|name| {
            image(name, &registry, if name == "latest" { &latest } else { &fixed })
        });
        let warm = Place::new();
        let house = House::start(version, &warm, &plugins);
        for (plugin, number) in [("latest", 1), ("fixed", 2)] {
            house.await_generation(plugin, number);
        }
        house.stop();
        registry.stop();

        let house = House::start(version, &warm, &plugins);
        for (plugin, number) in [("latest", 1), ("fixed", 2)] {
            house.await_generation(plugin, number);
        }
        let words = ["vm_config.code.oci: ", "is not reachable", "the version that was fetched last is used"];
        house.await_complaint("latest", &words);
        assert_eq!(house.envoy.complaints().len(), 1, "{:?}", house.envoy.complaints());
        house.stop();

        let [closed, open] = ["FAIL_CLOSED", "FAIL_OPEN"]
            .map(|policy| image(policy, &registry, &fixed).impatient().set("failure_policy", policy));
        let house = House::start(version, &Place::new(), &[closed, open]);
        assert_eq!((house.get("FAIL_CLOSED").status, house.upstream.served()), (503, 0));
        assert_eq!((house.get("FAIL_OPEN").status, house.generation("FAIL_OPEN")), (200, None));
        house.await_complaint("FAIL_CLOSED", &["vm_config.code.oci: ", "is not reachable (connection refused)"]);
        registry.start_again();
        for policy in ["FAIL_CLOSED", "FAIL_OPEN"] {
            house.await_generation(policy, 2);
        }
        house.stop();
    }

    fn the_pull_policy_says_whether_the_registry_is_asked(version) {
        let registry = Registry::open();
        let cases = [
            // The tag, the policy, and whether the registry is asked for what is in the cache.
            ("v1", None, false),
            ("latest", None, true),
            ("v2", Some("always"), true),
            ("v3", Some("Always"), true),
            ("v4", Some("if_not_present"), false),
        ];
        let plugin = |(tag, policy, _): (&str, Option<&str>, bool)| {
            let plugin = image(tag, &registry, &push(&registry, &format!("plugins/{tag}:{tag}"), 1));
            policy.map_or(plugin.clone(), |policy| plugin.set("graft.source.pull_policy", policy))
        };
        let latest = push(&registry, "plugins/kept:latest", 1);
        let kept = image("kept", &registry, &latest).set("graft.source.pull_policy", "IfNotPresent");
        let plugins: Vec<_> = cases.into_iter().map(plugin).chain([kept]).collect();
        let place = Place::new();
        let serve = || {
            let before = registry.asked().len();
            let house = House::start(version, &place, &plugins);
            for plugin in &plugins {
                assert_eq!(house.generation(plugin.name()), Some(1), "{}", plugin.name());
            }
            assert_eq!(house.envoy.complaints(), []);
            house.stop();
            registry.asked().split_off(before)
        };
        assert_eq!(serve().iter().filter(|asked| asked.path.contains("/blobs/")).count(), plugins.len());
        let asked = serve();
        for (tag, _, is_asked) in [&cases[..], &[("kept", None, false)]].concat() {
            let paths = asked.iter().filter(|asked| asked.path.contains(&format!("/plugins/{tag}/")));
            let paths: Vec<_> = paths.map(|asked| asked.path.as_str()).collect();
            let expected = format!("/v2/plugins/{tag}/manifests/{tag}");
            assert_eq!(paths, if is_asked { vec![expected.as_str()] } else { Vec::new() }, "{tag}");
        }
    }

    fn a_configuration_that_is_not_to_wait_for_its_code_is_refused_until_the_code_is_there(version) {
        let (registry, place) = (Registry::open(), Place::new());
        let upstream = SteadyUpstream::start();
        let listener = |plugin: &Plugin| Listener::new("main").plugin(Host::Graft, plugin);
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .variable("GRAFT_CACHE_DIRECTORY", &place.directory.to_string_lossy())
            .listener(listener(&image("careful", &registry, &push(&registry, "plugins/a:1", 1))))
            .listeners_from_file()
            .log_level("info");
        let envoy = Envoy::start(version, &bootstrap);
        let generation = || envoy.client("main").get("/").header(GENERATION).map(str::to_owned);
        assert_eq!(generation().as_deref(), Some("1"));
        // One is asked for again each time that it is loaded, and is used all the same.
        for (number, name) in [(2, "plugins/a:2"), (3, "plugins/a:latest")] {
            let next = image("careful", &registry, &push(&registry, name, number))
                .set("vm_config.nack_on_code_cache_miss", true);
            assert_eq!(update_listeners(&envoy, &[listener(&next)]), Verdict::Refused, "{name}");
            let line = envoy.await_log("vm_config.nack_on_code_cache_miss is set").text;
            assert!(line.contains("vm_config.code.oci: the code is not in the cache"), "{line}");
            assert_eq!(generation(), Some((number - 1).to_string()));
            // Control planes say it again now and then.
            eventually("the configuration to be accepted", || {
                (update_listeners(&envoy, &[listener(&next)]) == Verdict::Accepted).then_some(())
            });
            eventually("the generation", || (generation() == Some(number.to_string())).then_some(()));
            let blobs = registry.asked().iter().filter(|asked| asked.path.contains("/blobs/")).count();
            assert_eq!(blobs, number as usize, "what was fetched for the one that was refused is used");
        }
        assert!(envoy.stop().status.success());
    }

    fn why_code_was_not_fetched_for_the_only_configuration_is_told_when_it_comes_again(version) {
        let (mut registry, place) = (Registry::open(), Place::new());
        let plugin = image("careful", &registry, &push(&registry, "plugins/a:1", 1))
            .impatient()
            .set("vm_config.nack_on_code_cache_miss", true);
        registry.stop();
        let upstream = SteadyUpstream::start();
        let bootstrap = Bootstrap::new()
            .cluster("upstream", upstream.address(), Protocol::Http2)
            .variable("GRAFT_CACHE_DIRECTORY", &place.directory.to_string_lossy())
            .listener(Listener::new("other"))
            .listeners_from_file();
        let envoy = Envoy::start(version, &bootstrap);
        let listeners = [Listener::new("main").plugin(Host::Graft, &plugin)];
        eventually("the reason", || {
            assert_eq!(update_listeners(&envoy, &listeners), Verdict::Refused);
            let has_it = |line: &str| line.contains("is not reachable") && line.contains("is not in the cache yet");
            envoy.log().iter().any(|line| has_it(&line.text)).then_some(())
        });
        registry.start_again();
        eventually("the configuration to be accepted", || {
            (update_listeners(&envoy, &listeners) == Verdict::Accepted).then_some(())
        });
        assert!(envoy.stop().status.success());
    }
}
