//! That nothing is kept: the last holder of a plugin ends it, and what comes after starts afresh.

use std::sync::Arc;

use graft::host::stream::Services as _;
use graft::host::vm::Lease;

use crate::guest::Guest;
use crate::house::{House, config, configured, crash, eventually, fragile, open, serve, share_vms, word};
use crate::spares::with_spares;

/// A guest that says when a root begins and ends, and counts its requests.
fn telling() -> Guest {
    let only_roots = |what: &str| format!("(if (i32.eq (local.get $0) (i32.const 1)) (then {}))", word(what));
    Guest::new()
        .with("(global $count (mut i32) (i32.const 0))")
        .on("proxy_on_configure", &word("configured"))
        .on(
            "proxy_on_request_headers",
            "(global.set $count (i32.add (global.get $count) (i32.const 1))) (call $say (global.get $count))",
        )
        .on("proxy_on_done", &only_roots("done"))
        .on("proxy_on_delete", &only_roots("deleted"))
}

#[test]
fn the_last_holder_ends_the_root_in_every_vm() {
    let house = House::new(2);
    let config = config("p", &telling());
    let plugin = house.load(&config);
    let again = house.load(&config);
    assert_eq!(house.said(), ["configured", "configured"]);
    drop(plugin);
    assert!(house.said().is_empty());
    drop(again);
    assert_eq!(house.said(), ["done", "deleted", "done", "deleted"]);
}

#[test]
fn a_plugin_that_is_gone_starts_afresh_when_it_is_loaded_again() {
    let house = House::new(1);
    let config = config("p", &telling());
    for _ in 0..3 {
        let plugin = house.load(&config);
        serve(&plugin, 0);
        serve(&plugin, 0);
        drop(plugin);
        assert_eq!(house.said(), ["configured", "1", "2", "done", "deleted"]);
    }
}

#[test]
fn vms_and_code_go_with_the_last_plugin() {
    let house = House::new(2);
    let base = config("p", &telling());
    let (one, two) = (house.load(&base), house.load(&configured(&base, "two")));
    let pool = Arc::downgrade(one.pool());
    let vms: Vec<_> = one.pool().vms().iter().map(Lease::downgrade).collect();
    assert_eq!(vms.len(), 2);
    drop(one);
    assert!(pool.upgrade().is_some() && vms.iter().all(|vm| vm.upgrade().is_some()));
    drop(two);
    assert!(pool.upgrade().is_none() && vms.iter().all(|vm| vm.upgrade().is_none()));
}

#[test]
fn the_registry_may_go_before_its_plugins() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &telling()));
    drop(house.registry);
    serve(&plugin, 0);
    assert_eq!(house.services.log(), ["wasm log: configured", "wasm log p: 1"]);
}

#[test]
fn a_stream_keeps_its_vm_but_not_the_plugin() {
    let house = House::new(1);
    let config = config("p", &telling());
    let plugin = house.load(&config);
    let stream = open(&plugin, 0);
    drop(plugin);
    assert_eq!(house.said(), ["configured"], "the root waits for its last stream");
    stream.request().unwrap();
    let again = house.load(&config);
    assert_eq!(house.said(), ["1", "configured"]);
    stream.end();
    assert_eq!(house.said(), ["done", "deleted"]);
    serve(&again, 0);
    assert_eq!(house.said(), ["1"], "the new one has a VM of its own");
}

#[test]
fn a_root_that_asks_to_wait_is_deleted_when_it_is_done() {
    // Root 1 is the first plugin's, root 2 the second's; a request of the second one says that the first is done.
    let guest =
        Guest::new().answer("proxy_on_done", 0, "").on("proxy_on_delete", "(call $say (local.get $0))").on(
            "proxy_on_request_headers",
            "(drop (call $proxy_set_effective_context (i32.const 1))) (drop (call $proxy_done))",
        );
    let house = House::new(1);
    let base = config("p", &guest);
    let one = house.load(&configured(&base, "one"));
    let two = house.load(&configured(&base, "two"));
    drop(one);
    assert!(house.said().is_empty());
    let stream = open(&two, 0);
    stream.request().unwrap();
    assert_eq!(house.said(), ["1"]);
    stream.end();
    assert_eq!(house.said(), ["3"], "the stream's context does not wait");
}

#[test]
fn metrics_of_a_plugin_are_those_of_its_vms() {
    let guest = Guest::new().on(
        "proxy_on_configure",
        r#"(drop (call $proxy_define_metric (i32.const 0) (text "requests") (i32.const 8)))"#,
    );
    let house = House::new(2);
    let plugin = house.load(&config("p", &guest));
    let metrics = plugin.metrics();
    assert_eq!(metrics.len(), 2, "one a VM, and both are the same");
    assert!(Arc::ptr_eq(&metrics[0], &metrics[1]));
    house.services.update_metric(&metrics[0], graft::host::stream::MetricUpdate::Add(3));
    assert_eq!(house.services.metric("requests"), Some(3));
    // Nobody who asks waits for a guest that runs.
    let vms = plugin.pool().vms();
    let _inside: Vec<_> = vms.iter().map(graft::host::vm::Lease::lock).collect();
    assert_eq!(plugin.metrics().len(), 2);
    assert!(house.load(&config("q", &Guest::new())).metrics().is_empty());
}

#[test]
fn metrics_are_told_while_a_worker_starts_a_vm() {
    // It says a word when it starts, which takes until the test lets it.
    let guest = fragile().on("_initialize", &word("started")).on(
        "proxy_on_configure",
        r#"(drop (call $proxy_define_metric (i32.const 0) (text "requests") (i32.const 8)))"#,
    );
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &guest), 0));
    crash(&plugin, 0);
    let silence = house.services.lines.lock();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&plugin, 0));
        let is_starting = eventually(|| house.services.metric("graft_vms_started_inline.p") == Some(1));
        let asks = scope.spawn(|| plugin.metrics().len());
        let is_told = eventually(|| asks.is_finished());
        // Before anything is asserted: the worker would be waited for.
        drop(silence);
        assert!(is_starting && is_told);
        assert_eq!(asks.join().unwrap(), 1, "what the last VM had defined");
    });
    assert_eq!(plugin.metrics().len(), 1);
}

#[test]
fn a_variant_is_the_plugin_with_another_configuration() {
    let house = House::new(1);
    let guest =
        telling().on("proxy_on_context_create", "(if (local.get $1) (then (call $say (local.get $1))))");
    let base = house.load(&configured(&config("p", &guest), "base"));
    let variant = house.registry.load_variant(&base, b"route").unwrap();
    assert!(share_vms(&base, &variant) && !Arc::ptr_eq(&base, &variant));
    assert_eq!((variant.plugin().name.as_str(), &*variant.plugin().configuration), ("p", &b"route"[..]));
    house.said();
    serve(&variant, 0);
    serve(&base, 0);
    assert_eq!(house.said(), ["2", "1", "1", "2"], "root 2 counts 1, root 1 counts 2: one VM, two roots");

    assert!(Arc::ptr_eq(&variant, &house.registry.load_variant(&base, b"route").unwrap()));
    assert!(Arc::ptr_eq(&base, &house.registry.load_variant(&base, b"base").unwrap()));
    assert!(Arc::ptr_eq(&base, &house.registry.load_variant(&variant, b"base").unwrap()));
}

#[test]
fn a_variant_outlives_the_plugin_that_it_is_one_of() {
    let house = House::new(1);
    let base = house.load(&config("p", &telling()));
    let variant = house.registry.load_variant(&base, b"route").unwrap();
    house.said();
    drop(base);
    assert_eq!(house.said(), ["done", "deleted"]);
    serve(&variant, 0);
    assert_eq!(house.said(), ["1"]);
}

#[test]
fn a_variant_that_is_refused_leaves_the_plugin_and_can_be_tried_again() {
    let house = House::new(1);
    let guest = Guest::new().export("proxy_on_configure", "(i32.ne (local.get $1) (i32.const 3))");
    let base = house.load(&config("p", &guest));
    for _ in 0..2 {
        let error = house.registry.load_variant(&base, b"bad").unwrap_err();
        assert_eq!(
            error.to_string(),
            "refused its configuration: proxy_on_configure answered false, expected true"
        );
        serve(&base, 0);
    }
    assert!(house.registry.load_variant(&base, b"fine").is_ok());
}
