//! Old and new side by side: streams end on what they began with, new configuration is a new root in the VMs that are
//! there, new code has VMs of its own.

use std::sync::Arc;

use crate::guest::Guest;
use crate::house::{House, config, configured, open, serve, share_vms, try_open, word};

/// Says the configuration's size at each request (it is kept for each root), and the end of each context.
fn remembering() -> Guest {
    // Sizes lie at 80000 + 4 * context id.
    let slot = |id: &str| format!("(i32.add (i32.const 80000) (i32.mul (i32.const 4) {id}))");
    let copy = format!("(i32.store {} (i32.load {}))", slot("(local.get $0)"), slot("(local.get $1)"));
    Guest::new()
        .with("(global $count (mut i32) (i32.const 0))")
        .on("proxy_on_configure", &format!("(i32.store {} (local.get $1))", slot("(local.get $0)")))
        .on("proxy_on_context_create", &copy)
        .on(
            "proxy_on_request_headers",
            &format!(
                "(global.set $count (i32.add (global.get $count) (i32.const 1)))
                 (call $say (global.get $count)) (call $say (i32.load {}))",
                slot("(local.get $0)")
            ),
        )
        .on("proxy_on_delete", &format!("{} (call $say (local.get $0))", word("end")))
}

#[test]
fn a_new_configuration_is_a_new_root_in_the_same_vm() {
    let house = House::new(1);
    let base = config("p", &remembering());
    let old = house.load(&configured(&base, "1"));
    serve(&old, 0);
    let new = house.load(&configured(&base, "22"));
    assert!(share_vms(&old, &new));
    house.said();
    let stream = open(&new, 0);
    stream.request().unwrap();
    assert_eq!(house.said(), ["2", "2"], "the second request of the VM, under the new configuration");
}

#[test]
fn streams_end_on_the_generation_that_they_began_with() {
    let house = House::new(1);
    let base = config("p", &remembering());
    let old = house.load(&configured(&base, "1"));
    let (first, second) = (open(&old, 0), open(&old, 0));
    let new = house.load(&configured(&base, "22"));
    drop(old);
    assert!(house.said().is_empty(), "the old root has streams");

    let third = open(&new, 0);
    first.request().unwrap();
    third.request().unwrap();
    second.request().unwrap();
    assert_eq!(house.said(), ["1", "1", "2", "2", "3", "1"]);

    // The old root is context 1, its streams are 2 and 3, the new root is 4.
    first.end();
    assert_eq!(house.said(), ["end", "2"]);
    second.end();
    assert_eq!(house.said(), ["end", "3", "end", "1"], "with its last stream the root ends");
    third.end();
    assert_eq!(house.said(), ["end", "5"]);
    drop(new);
    assert_eq!(house.said(), ["end", "4"]);
}

#[test]
fn each_worker_s_root_waits_for_its_own_streams() {
    let house = House::new(2);
    let base = config("p", &remembering());
    let old = house.load(&configured(&base, "1"));
    let _keeps_the_vms = house.load(&configured(&base, "22"));
    let stream = open(&old, 1);
    drop(old);
    assert_eq!(house.said(), ["end", "1"], "on the worker without a stream");
    stream.end();
    assert_eq!(house.said(), ["end", "3", "end", "1"]);
}

#[test]
fn new_code_has_vms_of_its_own() {
    let house = House::new(1);
    let answer = |number: u32| {
        Guest::new().on("proxy_on_request_headers", &format!("(call $say (i32.const {number}))"))
    };
    let old = house.load(&config("p", &answer(1)));
    let stream = open(&old, 0);
    let new = house.load(&config("p", &answer(2)));
    assert!(!share_vms(&old, &new));
    let vm = stream.0.lease.downgrade();
    drop(old);
    serve(&new, 0);
    stream.request().unwrap();
    assert_eq!(house.said(), ["2", "1"]);
    assert!(vm.upgrade().is_some());
    stream.end();
    assert!(vm.upgrade().is_none(), "the old VM goes with its last stream");
}

#[test]
fn going_back_to_an_old_configuration_is_the_old_generation_while_it_lives() {
    let house = House::new(1);
    let base = config("p", &remembering());
    let old = house.load(&configured(&base, "1"));
    let _new = house.load(&configured(&base, "22"));
    assert!(Arc::ptr_eq(&old, &house.load(&configured(&base, "1"))));
    let stream = open(&old, 0);
    drop(old);
    let back = house.load(&configured(&base, "1"));
    assert_eq!(back.plugin().configuration, b"1");
    serve(&back, 0);
    assert_eq!(house.said()[..2], ["1", "1"]);
    stream.end();
    assert!(try_open(&back, 0).is_ok(), "the end of the old root is not that of the new one");
}

#[test]
fn many_generations_leave_no_trace_in_the_vm() {
    let house = House::new(1);
    let base = config("p", &remembering());
    let keeper = house.load(&base);
    for number in 0..200 {
        let plugin = house.load(&configured(&base, &number.to_string()));
        serve(&plugin, 0);
    }
    let roots_and_streams = house.said().iter().filter(|line| *line == "end").count();
    assert_eq!(roots_and_streams, 400);
    serve(&keeper, 0);
    assert_eq!(keeper.pool().vms().len(), 1);
}
