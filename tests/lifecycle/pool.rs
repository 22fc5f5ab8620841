//! Home VMs: one a worker, replaced when they fail; a crash costs the streams that were on the VM.

use graft::host::vm::CallError;
use graft::lifecycle::registry::Workers;

use crate::guest::Guest;
use crate::house::{House, config, configured, crash, eventually, fragile, open, serve, word};

#[test]
fn each_worker_has_a_vm_of_its_own_and_keeps_it() {
    let house = House::new(4);
    let plugin = house.load(&config("p", &fragile()));
    let vms = plugin.pool().vms();
    assert_eq!(vms.len(), 4);
    for _ in 0..3 {
        for worker in 0..4 {
            let stream = open(&plugin, worker);
            let homes: Vec<usize> = (0..4).filter(|vm| stream.is_on(&vms[*vm])).collect();
            assert_eq!(homes, [worker]);
            stream.end();
        }
    }
}

#[test]
fn workers_beyond_the_last_place_share_the_others() {
    let house = House::new(2);
    let plugin = house.load(&config("p", &fragile()));
    let vms = plugin.pool().vms();
    for worker in 0..7 {
        assert!(open(&plugin, worker).is_on(&vms[worker % 2]));
    }
    assert!(open(&plugin, usize::MAX).is_on(&vms[1]));
}

#[test]
fn without_any_place_there_is_one_all_the_same() {
    let house = House::with(Workers { places: 0, prepared: 0 });
    let plugin = house.load(&config("p", &fragile()));
    serve(&plugin, 0);
    serve(&plugin, 5);
    assert_eq!(plugin.pool().vms().len(), 1);
}

#[test]
fn a_vm_that_was_not_prepared_is_made_for_the_first_stream() {
    let house = House::with(Workers { places: 8, prepared: 1 });
    let guest = Guest::new().on("_initialize", &word("code")).on("proxy_on_configure", &word("plugin"));
    let plugin = house.load(&config("p", &guest));
    assert_eq!(plugin.workers(), 1);
    assert_eq!((house.said().len(), plugin.pool().vms().len()), (2, 1));
    for _ in 0..2 {
        serve(&plugin, 5);
    }
    assert_eq!(house.said(), ["code", "plugin"]);
    assert_eq!(plugin.pool().vms().len(), 2);
}

#[test]
fn a_crash_costs_the_streams_of_that_vm_and_the_next_has_another() {
    let house = House::new(2);
    let plugin = house.load(&config("p", &fragile()));
    let (crashing, beside, elsewhere) = (open(&plugin, 0), open(&plugin, 0), open(&plugin, 1));
    crashing.crash();
    assert_eq!(beside.request(), Err(CallError::VmFailed));
    assert!(elsewhere.request().is_ok());

    let next = open(&plugin, 0);
    assert!(next.request().is_ok());
    assert!(next.0.lease != beside.0.lease);
    assert_eq!(beside.request(), Err(CallError::VmFailed), "the dead stay dead");
    let dead = beside.0.lease.downgrade();
    crashing.end();
    assert!(dead.upgrade().is_some());
    beside.end();
    assert!(dead.upgrade().is_none(), "a dead VM goes with its last stream");
    next.end();
    elsewhere.end();
}

#[test]
fn all_plugins_of_a_dead_vm_have_their_roots_in_the_next() {
    let house = House::new(1);
    let base = config("p", &fragile().on("proxy_on_configure", "(call $say (local.get $1))"));
    let (one, two) = (house.load(&configured(&base, "1")), house.load(&configured(&base, "22")));
    crash(&one, 0);
    house.services.lines.lock().clear();
    serve(&two, 0);
    serve(&one, 0);
    serve(&two, 0);
    assert_eq!(house.said(), ["2", "1"], "each is configured when its first stream comes");
}

#[test]
fn a_stream_that_does_not_begin_costs_the_vm_and_is_told_once() {
    let house = House::new(1);
    let guest = Guest::new().on(
        "proxy_on_context_create",
        // The first stream of a VM traps while it begins: the root is 1.
        "(if (i32.eq (local.get $0) (i32.const 2)) (then unreachable))",
    );
    let plugin = house.load(&config("careless", &guest));
    let error = crate::house::try_open(&plugin, 0).err().unwrap().to_string();
    assert!(error.starts_with("Function: proxy_on_context_create failed: wasm trap"), "{error}");
    let lines = house.services.log();
    assert_eq!(lines.len(), 1);
    assert!(
        lines[0].starts_with("graft: plugin \"careless\": stream 2: Function: proxy_on_context_create"),
        "{lines:?}"
    );
    assert!(plugin.pool().vms()[0].lock().has_failed());
}

#[test]
fn a_plugin_that_ends_while_its_vm_is_dead_leaves_the_pool_usable() {
    let house = House::new(1);
    let base = config("p", &fragile().on("proxy_on_delete", &word("deleted")));
    let (one, two) = (house.load(&configured(&base, "one")), house.load(&configured(&base, "two")));
    let stream = open(&one, 0);
    stream.crash();
    house.services.lines.lock().clear();
    drop(one);
    stream.end();
    assert!(house.said().is_empty(), "nothing enters a dead VM");
    serve(&two, 0);
    assert_eq!(house.said(), ["deleted"]);
}

#[test]
fn a_plugin_whose_end_traps_costs_its_neighbour_no_stream_that_comes_later() {
    let house = House::new(1);
    let guest =
        Guest::new().on("proxy_on_done", "(if (i32.eq (local.get $0) (i32.const 1)) (then unreachable))");
    let base = config("p", &guest);
    let (one, two) = (house.load(&configured(&base, "one")), house.load(&configured(&base, "two")));
    let caught = open(&two, 0);
    drop(one);
    let lines = house.services.log();
    assert!(lines[0].starts_with("graft: plugin \"p\": Function: proxy_on_done failed"), "{lines:?}");
    assert_eq!(caught.request(), Err(CallError::VmFailed));
    // In the new VM the second plugin's root is the first, so the end of that one traps: not asked for here.
    assert!(open(&two, 0).request().is_ok());
}

#[test]
fn a_stream_that_waited_for_a_vm_which_failed_meanwhile_gets_another() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &fragile()));
    let stream = open(&plugin, 0);
    let dying = stream.0.lease.clone();
    let mut inside = dying.lock();
    let holders = dying.holders();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| serve(&plugin, 0));
        // It found the VM locked, holds on to it and waits.
        assert!(eventually(|| dying.holders() > holders));
        inside.stream_mut(stream.0.stream).unwrap().stream.request_headers = None;
        inside.on_headers(stream.0.stream, graft::host::types::Direction::Request, true).unwrap_err();
        drop(inside);
        waiting.join().unwrap();
    });
}

#[test]
fn a_plugin_that_comes_while_a_vm_dies_is_loaded() {
    let house = House::new(1);
    let base = config("p", &fragile());
    let serving = house.load(&configured(&base, "serving"));
    let stream = open(&serving, 0);
    let dying = stream.0.lease.clone();
    let mut inside = dying.lock();
    let holders = dying.holders();
    std::thread::scope(|scope| {
        let coming = scope.spawn(|| house.load(&configured(&base, "coming")));
        assert!(eventually(|| dying.holders() > holders));
        inside.stream_mut(stream.0.stream).unwrap().stream.request_headers = None;
        inside.on_headers(stream.0.stream, graft::host::types::Direction::Request, true).unwrap_err();
        drop(inside);
        serve(&coming.join().unwrap(), 0);
    });
    serve(&serving, 0);
}
