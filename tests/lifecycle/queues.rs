//! Queues while versions of a plugin come and go.

use graft::config::PluginConfig;

use crate::guest::Guest;
use crate::house::{House, Loaded, config, configured, serve, with_vm};

/// Streams put a message on a queue; who is told takes one out and says how long its configuration is. Refuses "bad".
fn collecting() -> Guest {
    Guest::new()
        .export(
            "proxy_on_configure",
            "(i32.store offset=100 (i32.shl (local.get $0) (i32.const 2)) (local.get $1))
             (drop (call $proxy_register_shared_queue (text \"queue\") (i32.const 16)))
             (i32.ne (local.get $1) (i32.const 3))",
        )
        .on(
            "proxy_on_request_headers",
            "(drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 16)) (text \"message\")))",
        )
        .on(
            "proxy_on_queue_ready",
            "(drop (call $proxy_dequeue_shared_queue (i32.load (i32.const 16)) (i32.const 8) (i32.const 12)))
             (call $say (i32.load offset=100 (i32.shl (local.get $0) (i32.const 2))))",
        )
}

/// What is said of a message that a stream of a plugin puts on the queue.
fn told(house: &House, plugin: &Loaded) -> Vec<String> {
    serve(plugin, 0);
    house.registry.commons().agenda.work(|| house.now());
    house.said()
}

/// Another configuration of a plugin: in the same VMs, or in others.
const VERSIONS: [fn(&PluginConfig, &str) -> PluginConfig; 2] = [configured, |config, configuration| {
    with_vm(&configured(config, configuration), |vm| vm.configuration = configuration.as_bytes().to_vec())
}];

#[test]
fn a_version_that_is_refused_leaves_the_queue_to_the_one_that_serves() {
    let base = config("p", &collecting());
    for version in VERSIONS {
        let house = House::new(2);
        let serving = house.load(&version(&base, "good"));
        assert_eq!(told(&house, &serving), ["4"]);
        house.refuse(&version(&base, "bad"));
        house.said();
        assert_eq!(told(&house, &serving), ["4"]);
    }
}

#[test]
fn a_version_that_goes_again_gives_the_queue_back() {
    let base = config("p", &collecting());
    for version in VERSIONS {
        let house = House::new(2);
        let serving = house.load(&version(&base, "good"));
        let next = house.load(&version(&base, "better"));
        assert_eq!(told(&house, &serving), ["6"]);
        serve(&serving, 0);
        drop(next);
        assert_eq!(told(&house, &serving), ["4", "4"], "with what the other was not told of any more");
    }
}
