//! A plugin that does not start harms nobody: it is tried in a VM that serves nobody, and what it left where it got
//! further is taken back.

use crate::guest::Guest;
use crate::house::{House, Loaded, config, configured, open, serve, word};

/// Writes to memory when it is configured; requests say what is there. Refuses "bad", traps on "trap!".
fn leaving_traces() -> Guest {
    Guest::new()
        .export(
            "proxy_on_configure",
            "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
             (if (i32.eq (local.get $1) (i32.const 5)) (then unreachable))
             (i32.ne (local.get $1) (i32.const 3))",
        )
        .on("proxy_on_request_headers", "(call $say (i32.load (i32.const 16)))")
}

/// A plugin that serves, with a stream in flight, while a neighbour of the pool does not start.
fn unharmed_by(configuration: &str, workers: usize) {
    let house = House::new(workers);
    let base = config("serving", &leaving_traces());
    let serving = house.load(&base);
    let vms = serving.pool().vms();
    let stream = open(&serving, 0);
    for _ in 0..5 {
        house.refuse(&configured(&base, configuration));
        stream.request().unwrap();
    }
    assert_eq!(house.said(), ["1"; 5], "nothing was written in the VM that serves");
    stream.end();
    for worker in 0..workers {
        serve(&serving, worker);
    }
    assert!(serving.pool().vms().iter().zip(&vms).all(|(now, before)| now == before));
}

#[test]
fn a_refused_configuration_does_not_touch_the_vms_that_serve() {
    unharmed_by("bad", 2);
}

#[test]
fn a_trap_on_a_configuration_does_not_touch_the_vms_that_serve() {
    unharmed_by("trap!", 2);
}

#[test]
fn the_first_plugin_of_a_pool_is_tried_and_serves_in_one_vm() {
    let house = House::new(1);
    let _plugin = house.load(&config("p", &Guest::new().on("_initialize", &word("code starts"))));
    assert_eq!(house.said(), ["code starts"]);
}

#[test]
fn a_first_plugin_that_does_not_start_leaves_no_vm() {
    let house = House::new(1);
    let base = config("p", &leaving_traces());
    house.refuse(&configured(&base, "bad"));
    let good = house.load(&base);
    serve(&good, 0);
    assert_eq!(house.said(), ["1"], "a VM of its own, configured once");
}

/// Refuses to be configured where a stream has been, which no canary has seen. Says when a root ends.
fn refusing_where_it_served() -> Guest {
    Guest::new()
        .export("proxy_on_configure", "(i32.eqz (i32.load (i32.const 16)))")
        .on("proxy_on_request_headers", "(i32.store (i32.const 16) (i32.const 1))")
        .on("proxy_on_delete", "(call $say (local.get $0))")
}

#[test]
fn a_plugin_that_starts_in_some_vms_only_is_taken_back_from_them() {
    let house = House::new(3);
    let base = config("p", &refusing_where_it_served());
    let serving = house.load(&base);
    // Context 1 is the root, 2 the stream.
    serve(&serving, 1);
    assert_eq!(house.said(), ["2"]);
    let line = house.refuse(&configured(&base, "new"));
    assert!(line.contains("refused its configuration"), "{line}");
    assert_eq!(house.said(), ["2"], "worker 0 had a root of the plugin already, and it has ended");
    for worker in 0..3 {
        serve(&serving, worker);
    }
}

#[test]
fn a_vm_that_traps_on_a_configuration_is_replaced_for_the_plugin_that_served_there() {
    let house = House::new(1);
    let guest = Guest::new()
        .on("proxy_on_configure", "(if (i32.load (i32.const 16)) (then unreachable))")
        .on("proxy_on_request_headers", "(i32.store (i32.const 16) (i32.const 1))");
    let base = config("p", &guest);
    let serving = house.load(&base);
    serve(&serving, 0);
    let line = house.refuse(&configured(&base, "new"));
    assert!(line.contains("trapped while starting: Function: proxy_on_configure failed"), "{line}");
    serve(&serving, 0);
}

/// The lease of a worker, for a test that looks.
fn home(plugin: &Loaded, worker: usize) -> bool {
    plugin.pool().home(worker).is_ok()
}

#[test]
fn other_code_is_not_touched_at_all() {
    let house = House::new(1);
    let serving = house.load(&config("serving", &leaving_traces()));
    house.refuse(&config("other", &Guest::new().export("proxy_on_vm_start", "unreachable")));
    assert!(home(&serving, 0));
    serve(&serving, 0);
    assert_eq!(house.said(), ["1"]);
}
