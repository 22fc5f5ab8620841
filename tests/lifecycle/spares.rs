//! Spare VMs: made beside the traffic, taken when a home failed or is busy.

use graft::config::PluginConfig;
use graft::lifecycle::registry::Use;

use crate::guest::Guest;
use crate::house::{
    FIRST_WAIT, House, config, configured, crash, eventually, fragile, open, serve, try_open_if_free, word,
};

pub fn with_spares(config: &PluginConfig, spares: u32) -> PluginConfig {
    let mut config = config.clone();
    config.graft.pool.spare_vms = spares;
    config
}

fn telling() -> Guest {
    fragile().on("_initialize", &word("started")).on("proxy_on_configure", &word("configured"))
}

#[test]
fn a_spare_takes_the_place_of_a_vm_that_failed() {
    let house = House::new(2);
    let plugin = house.load(&with_spares(&config("p", &telling()), 1));
    house.registry.keeper().work();
    assert_eq!(plugin.pool().vms().len(), 3);
    house.services.lines.lock().clear();
    crash(&plugin, 0);
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    assert!(house.said().is_empty(), "nothing was started while a request waited");
    house.registry.keeper().work();
    assert_eq!(house.said(), ["started", "configured"], "and then another spare is made");
    assert_eq!(plugin.pool().vms().len(), 3);
}

#[test]
fn without_a_spare_a_worker_starts_a_vm_itself() {
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &telling()), 0));
    crash(&plugin, 0);
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    assert_eq!(house.said(), ["started", "configured"]);
    house.registry.keeper().work();
    assert_eq!(plugin.pool().vms().len(), 1);
}

#[test]
fn a_stream_that_begins_while_another_thread_is_in_the_home_takes_a_spare() {
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &fragile()), 2));
    house.registry.keeper().work();
    let home = plugin.pool().home(0).unwrap();
    let inside = home.lock();
    let error = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let stream = try_open_if_free(&plugin, 0).unwrap();
            assert!(!stream.is_on(&home));
            stream.request().unwrap();
            stream.end();
            let other = plugin.pool().vms().into_iter().find(|vm| *vm != home).unwrap();
            let _busy = other.lock();
            let others: Vec<_> = plugin.pool().vms().into_iter().filter(|vm| *vm != home).collect();
            let _all: Vec<_> = others.iter().filter_map(graft::host::vm::Lease::try_lock).collect();
            // The home and one other are as many as there may be, although a spare is left.
            try_open_if_free(&plugin, 0).err().unwrap()
        });
        worker.join().unwrap()
    });
    assert!(error.is_busy());
    drop(inside);
    assert!(open(&plugin, 0).is_on(&home), "the home is preferred when it is free");
}

/// Streams put a message on a queue, and who is told says how many it has been told of.
fn collecting() -> Guest {
    Guest::new()
        .on(
            "proxy_on_configure",
            "(drop (call $proxy_register_shared_queue (text \"queue\") (i32.const 16)))",
        )
        .on(
            "proxy_on_request_headers",
            "(if (i32.eqz (local.get $1)) (then unreachable))
             (drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 16)) (text \"message\")))",
        )
        .on(
            "proxy_on_queue_ready",
            "(drop (call $proxy_dequeue_shared_queue (i32.load (i32.const 16)) (i32.const 8) (i32.const 12)))
             (i32.store (i32.const 20) (i32.add (i32.const 1) (i32.load (i32.const 20))))
             (call $say (i32.load (i32.const 20)))",
        )
}

#[test]
fn messages_go_to_the_home_and_not_to_the_spare_that_helps_it_out() {
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &collecting()), 1));
    house.registry.keeper().work();
    let agenda = &house.registry.commons().agenda;
    let told = || {
        serve(&plugin, 0);
        agenda.work(|| house.now());
        house.said()
    };
    assert_eq!(told(), ["1"]);
    let home = plugin.pool().home(0).unwrap();
    std::thread::scope(|scope| {
        let _inside = home.lock();
        let worker = scope.spawn(|| try_open_if_free(&plugin, 0).unwrap().end());
        worker.join().unwrap();
    });
    assert_eq!(plugin.pool().vms().len(), 2, "both stay");
    assert_eq!(told(), ["2"], "in the home");
    house.registry.keeper().work();
    crash(&plugin, 0);
    house.services.lines.lock().clear();
    assert_eq!(told(), ["1"], "in the spare that took the place of the home");
}

#[test]
fn spares_have_the_roots_of_all_plugins_of_the_pool_and_lose_those_that_go() {
    let house = House::new(1);
    let guest = fragile()
        .on("proxy_on_configure", "(call $say (local.get $1))")
        .on("proxy_on_delete", &word("deleted"));
    let base = with_spares(&config("p", &guest), 1);
    let (one, two) = (house.load(&configured(&base, "1")), house.load(&configured(&base, "22")));
    house.services.lines.lock().clear();
    house.registry.keeper().work();
    assert_eq!(house.said(), ["1", "2"]);
    drop(two);
    assert_eq!(house.said(), ["deleted", "deleted"], "in the home and in the spare");
    crash(&one, 0);
    house.services.lines.lock().clear();
    serve(&one, 0);
    assert_eq!(house.said(), ["deleted"], "the stream; nothing was configured for it");
}

#[test]
fn a_spare_that_is_ready_gets_the_root_of_a_plugin_that_comes_later() {
    let house = House::new(1);
    let base = with_spares(&config("p", &telling()), 1);
    let _one = house.load(&configured(&base, "1"));
    house.registry.keeper().work();
    let two = house.load(&configured(&base, "2"));
    house.services.lines.lock().clear();
    house.registry.keeper().work();
    assert_eq!(house.said(), ["configured"]);
    crash(&two, 0);
    house.services.lines.lock().clear();
    serve(&two, 0);
    assert_eq!(house.said(), [""; 0], "nothing was configured while a request waited");
}

#[test]
fn a_plugin_that_refuses_in_a_spare_that_is_ready_is_asked_later_and_later() {
    let house = House::new(1);
    // Whoever is configured at the first nanosecond refuses.
    let guest = Guest::new().export(
        "proxy_on_configure",
        "(drop (call $proxy_get_current_time_nanoseconds (i32.const 16)))
         (i64.ne (i64.load (i32.const 16)) (i64.const 1))",
    );
    let base = with_spares(&config("p", &guest), 1);
    let keeper = house.registry.keeper();
    let _one = house.load(&configured(&base, "1"));
    keeper.work();
    let two = house.load(&configured(&base, "2"));
    house.pass(std::time::Duration::from_nanos(1));
    let next = keeper.work();
    assert_eq!(next, Some(house.now() + u64::try_from(FIRST_WAIT.as_nanos()).unwrap()));
    house.pass(FIRST_WAIT);
    keeper.work();
    assert!(two.pool().vms().iter().all(|vm| vm.lock().root(two.plugin().key).is_some()));
}

#[test]
fn a_plugin_that_goes_while_a_spare_is_configured_for_it_has_no_root_there() {
    let house = House::new(1);
    let mark = "(drop (call $proxy_set_shared_data (text \"k\") (i32.const 0) (i32.const 0) (i32.const 0)))";
    let guest = Guest::new().on("proxy_on_configure", &[mark, &word("configured")].concat());
    let base = with_spares(&config("p", &guest), 1);
    let (old, new) = (house.load(&configured(&base, "old")), house.load(&configured(&base, "new")));
    let (going, staying) = (old.plugin().key, new.plugin().key);
    let space = house.registry.commons().shared.space("", 0);
    let change = || space.data.get(b"k", 0).unwrap().change;
    let before = change();
    let lines = house.services.lines.lock();
    std::thread::scope(|scope| {
        let keeper = scope.spawn(|| house.registry.keeper().work());
        // The first root is being made, and its line waits.
        assert!(eventually(|| change() != before));
        drop(old);
        drop(lines);
        keeper.join().unwrap();
    });
    let vms = new.pool().vms();
    assert_eq!(vms.len(), 2);
    for vm in vms {
        let vm = vm.lock();
        assert_eq!((vm.root(going), vm.root(staying).is_some()), (None, true));
    }
}

#[test]
fn a_spare_neither_ticks_nor_calls_before_it_is_taken() {
    let house = House::new(1);
    let guest = fragile()
        .on("proxy_on_configure", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))")
        .on("proxy_on_tick", &word("tick"));
    let plugin = house.load(&with_spares(&config("p", &guest), 1));
    house.registry.keeper().work();
    let agenda = &house.registry.commons().agenda;
    house.pass(std::time::Duration::from_secs(1));
    agenda.work(|| house.now());
    assert_eq!(house.said(), ["tick"], "that of the home");
    crash(&plugin, 0);
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    house.pass(std::time::Duration::from_secs(1));
    agenda.work(|| house.now());
    assert_eq!(house.said(), ["tick"], "that of the spare, which is the home now");
}

#[test]
fn a_spare_that_does_not_start_leaves_the_pool_as_it_is() {
    let house = House::new(1);
    // The third VM of a process does not start: shared data tells which it is.
    let guest = fragile().on(
        "proxy_on_configure",
        "(if (i32.eqz (call $proxy_get_shared_data (text \"first\") (i32.const 16) (i32.const 20) (i32.const 24)))
            (then unreachable))
         (drop (call $proxy_set_shared_data (text \"first\") (i32.const 0) (i32.const 0) (i32.const 0)))",
    );
    let plugin = house.load(&with_spares(&config("p", &guest), 2));
    let keeper = house.registry.keeper();
    let next = keeper.work();
    assert_eq!(next, Some(house.now() + u64::try_from(FIRST_WAIT.as_nanos()).unwrap()));
    // Not by each stream, which would each cost a start and a line in the log.
    let before = house.services.lines.lock().len();
    serve(&plugin, 0);
    serve(&plugin, 0);
    assert_eq!(keeper.work(), next);
    assert_eq!(house.services.lines.lock().len(), before);
    assert!(!plugin.pool().lacks_spares());
}

#[test]
fn spares_go_with_the_last_plugin_of_their_pool() {
    let house = House::new(2);
    let plugin = house.load(&with_spares(&config("p", &telling()), 3));
    house.registry.keeper().work();
    let vms: Vec<_> = plugin.pool().vms().iter().map(graft::host::vm::Lease::downgrade).collect();
    assert_eq!(vms.len(), 5);
    drop(plugin);
    assert!(vms.iter().all(|vm| vm.upgrade().is_none()));
    assert_eq!(house.registry.keeper().work(), None);
}

#[test]
fn a_spare_takes_no_messages_from_the_vms_that_work() {
    let house = House::new(1);
    let guest = fragile()
        .on("proxy_on_configure", "(drop (call $proxy_register_shared_queue (text \"q\") (i32.const 32)))")
        .on(
            "proxy_on_context_create",
            "(drop (call $proxy_enqueue_shared_queue (i32.load (i32.const 32)) (text \"m\")))",
        )
        .on("proxy_on_queue_ready", "(call $say (local.get $0))");
    let plugin = house.load(&with_spares(&config("p", &guest), 1));
    house.registry.keeper().work();
    let agenda = &house.registry.commons().agenda;
    agenda.work(|| house.now());
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    agenda.work(|| house.now());
    assert_eq!(house.said(), ["1"], "in the home, not in the spare, which nobody tells anything");
    crash(&plugin, 0);
    house.services.lines.lock().clear();
    serve(&plugin, 0);
    agenda.work(|| house.now());
    assert_eq!(
        house.said(),
        ["1", "1"],
        "in the spare, which is the home now, and of what came before the crash"
    );
}

#[test]
fn a_service_has_no_spare() {
    let house = House::new(1);
    for purpose in [Use::Service, Use::Singleton] {
        let service = house.registry.load(purpose, &config("p", &telling())).unwrap();
        house.registry.keeper().work();
        assert_eq!(service.pool().vms().len(), 1);
    }
}
