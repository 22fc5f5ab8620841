//! A large plugin that is in no cache serves soon, and again when it is optimised; nobody notices but by the log.

use std::path::Path;

use crate::harness::envoy::on_each_envoy;
use crate::harness::log::Line;
use crate::harness::origin::Place;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Upstream, Version};

/// Envoy with a plugin of 3 MB of Go, and with the directory for its cache.
fn bootstrap(plugin: &Plugin, directory: &Path) -> Bootstrap {
    Bootstrap::new()
        .upstream(&Upstream::http1("upstream"))
        .variable("GRAFT_CACHE_DIRECTORY", directory.to_str().unwrap())
        .log_level("info")
        .listener(Listener::new("main").plugin(Host::Graft, plugin))
}

fn large() -> Plugin {
    Plugin::built("sdk-go").named("large").configuration("Hello")
}

const TAKES_OVER: &str = "plugin \"large\": generation 2 takes over: the code of generation 1, optimised";

fn count(lines: &[Line], text: &str) -> usize {
    lines.iter().filter(|line| line.text.contains(text)).count()
}

on_each_envoy! {
    fn a_large_plugin_serves_before_it_is_optimised(version) {
        let place = Place::new();
        let bootstrap = bootstrap(&large(), &place.directory);
        let envoy = Envoy::start(version, &bootstrap);
        let client = envoy.client("main");
        let mut answers = 0;
        while !envoy.log().iter().any(|line| line.text.contains(TAKES_OVER)) {
            assert_eq!(client.get("/").header("x-greeting"), Some("Hello"));
            answers += 1;
        }
        assert!(answers > 10, "{answers} answers while the optimiser works");
        envoy.await_log("generation 1 is gone");
        assert_eq!(client.get("/").header("x-greeting"), Some("Hello"));
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
        assert_eq!((count(&ended.log, "ms, quickly"), count(&ended.log, " compiled in ")), (1, 2), "{ended}");

        // It is optimised from the start, as it is after a validation.
        let envoy = Envoy::start(version, &bootstrap);
        assert_eq!(envoy.client("main").get("/").header("x-greeting"), Some("Hello"));
        let ended = envoy.stop();
        assert_eq!((count(&ended.log, "loaded from the cache"), count(&ended.log, " compiled in ")), (1, 0), "{ended}");
    }

    fn validation_optimises_at_once(version) {
        let place = Place::new();
        assert!(Envoy::validate(version, &bootstrap(&large(), &place.directory)).status.success());
        // Envoy 1.37 does not say that it only validates, and ends before the optimiser is done.
        let tells = version != Version::V1_37;
        assert_eq!(place.files().len(), usize::from(tells));
    }
}
