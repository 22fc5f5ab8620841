//! What Graft's own statistics say of a life: VMs, spares and streams as they come and go, crashes, waits, breakers.

use std::sync::Arc;
use std::time::Duration;

use graft::lifecycle::registry::Use;

use crate::crash_loops::{crash_until_it_waits, starting_unless};
use crate::guest::Guest;
use crate::house::{
    FIRST_WAIT, House, Loaded, config, configured, crash, fragile, open, serve, try_open_if_free,
};
use crate::isolation::isolated;
use crate::served::{POLL, Served, auth_with, begin, saying};
use crate::spares::with_spares;

const SECOND: Duration = Duration::from_secs(1);

/// A statistic of the plugin `p`; 0 if it has never changed.
fn stat(house: &House, name: &str) -> i64 {
    let (name, labels) = name.split_once('.').unwrap_or((name, ""));
    let labels = if labels.is_empty() { String::new() } else { format!(".{labels}") };
    house.services.metric(&format!("graft_{name}.p{labels}")).unwrap_or(0)
}

/// Lets a second pass, after which the keeper has looked.
fn look(house: &House) {
    house.pass(SECOND);
    house.registry.keeper().work();
}

fn streams(house: &House, plugin: &Loaded) -> i64 {
    stat(house, &format!("streams_active.{}", plugin.plugin().key))
}

const LEVELS: [&str; 7] = [
    "vms_active",
    "vms_spare",
    "stream_vms_active",
    "memory_bytes",
    "streams_waiting",
    "breakers_open",
    "generations_active",
];

#[test]
fn a_life_in_shared_vms() {
    let house = House::new(2);
    let plugin = house.load(&with_spares(&config("p", &fragile()), 1));
    let bytes = |vms: i64| vms * i64::try_from(plugin.pool().vms()[0].memory_bytes()).unwrap();
    assert_eq!(
        (stat(&house, "vms_active"), stat(&house, "vms_spare"), stat(&house, "generations_active")),
        (2, 0, 1)
    );
    assert_eq!(stat(&house, "memory_bytes"), bytes(2));
    house.registry.keeper().work();
    assert_eq!((stat(&house, "vms_spare"), stat(&house, "vms_created")), (1, 3));
    assert_eq!(stat(&house, "memory_bytes"), bytes(3));

    let (one, two, other) = (open(&plugin, 0), open(&plugin, 0), open(&plugin, 1));
    look(&house);
    assert_eq!(streams(&house, &plugin), 3);
    two.end();
    one.crash();
    look(&house);
    assert_eq!((stat(&house, "traps.unreachable"), stat(&house, "vms_retired")), (1, 1));
    assert_eq!((streams(&house, &plugin), stat(&house, "vms_active")), (2, 1), "what is dead serves nobody");

    serve(&plugin, 0);
    assert_eq!((stat(&house, "spares_used"), stat(&house, "vms_started_inline")), (1, 0));
    house.registry.keeper().work();
    assert_eq!(
        (stat(&house, "vms_active"), stat(&house, "vms_spare"), stat(&house, "vms_created")),
        (2, 1, 4)
    );

    one.end();
    other.end();
    look(&house);
    assert_eq!(streams(&house, &plugin), 0);
    look(&house);
    assert_eq!(house.registry.keeper().work(), None, "nothing goes on, so nobody looks");
    let key = plugin.plugin().key;
    drop(plugin);
    for level in LEVELS {
        assert_eq!(stat(&house, level), 0, "{level}");
    }
    assert_eq!(stat(&house, &format!("streams_active.{key}")), 0);
}

#[test]
fn a_worker_without_a_spare_starts_a_vm_itself_and_says_so() {
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &fragile()), 0));
    house.services.pace.store(5_000, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..2 {
        crash(&plugin, 0);
        serve(&plugin, 0);
    }
    assert_eq!((stat(&house, "vms_started_inline"), stat(&house, "spares_used")), (2, 0));
    assert_eq!(stat(&house, "vm_start_us"), 10, "five microseconds each");
}

#[test]
fn generations_of_a_plugin_are_told_apart_and_summed_up() {
    let house = House::new(1);
    let base = config("p", &fragile());
    let (old, new) = (house.load(&configured(&base, "old")), house.load(&configured(&base, "new")));
    assert_eq!(stat(&house, "generations_active"), 2);
    let (one, two) = (open(&old, 0), open(&new, 0));
    look(&house);
    assert_eq!((streams(&house, &old), streams(&house, &new)), (1, 1));
    let key = old.plugin().key;
    one.end();
    drop(old);
    assert_eq!((stat(&house, "generations_active"), stat(&house, &format!("streams_active.{key}"))), (1, 0));
    assert_eq!(stat(&house, "vms_active"), 1, "the VM is the other's, too");
    look(&house);
    assert_eq!(streams(&house, &new), 1);
    two.end();
}

#[test]
fn memory_follows_what_a_guest_takes() {
    let house = House::new(1);
    let guest = Guest::new().on("proxy_on_request_headers", "(drop (memory.grow (i32.const 3)))");
    let plugin = house.load(&with_spares(&config("p", &guest), 0));
    let before = stat(&house, "memory_bytes");
    serve(&plugin, 0);
    look(&house);
    assert_eq!(stat(&house, "memory_bytes"), before + 3 * 65_536);
}

#[test]
fn vms_of_single_streams_are_counted_with_their_memory() {
    let house = House::new(2);
    let plugin = house.load(&isolated(&config("p", &fragile())));
    house.registry.keeper().work();
    let (active, before) = (stat(&house, "vms_active"), stat(&house, "memory_bytes"));
    let open: Vec<_> = [0, 1, 1].into_iter().map(|worker| open(&plugin, worker)).collect();
    look(&house);
    assert_eq!((stat(&house, "stream_vms_active"), streams(&house, &plugin)), (3, 3));
    assert_eq!(stat(&house, "vms_active"), active);
    assert!(stat(&house, "memory_bytes") > before);
    for stream in open {
        stream.crash();
        stream.end();
    }
    look(&house);
    assert_eq!((stat(&house, "stream_vms_active"), stat(&house, "memory_bytes")), (0, before));
    assert_eq!((stat(&house, "vms_retired"), stat(&house, "traps.unreachable")), (3, 3));
}

#[test]
fn vms_that_are_given_up_with_the_streams_of_an_old_version_have_not_trapped() {
    let config = auth_with(|config| config.graft.swap.drain_deadline = 20 * SECOND);
    let served = Served::with(&config, &saying(1));
    let old = begin(&served.slot);
    served.offer(2);
    served.house.after(POLL);
    served.house.after(20 * SECOND);
    assert!(old.0.is_over() && old.0.lease.has_failed());
    served.house.registry.keeper().work();
    assert_eq!((served.stat("vms_retired"), served.stat("vms_active")), (0, 1));
}

#[test]
fn streams_that_wait_are_in_a_gauge_and_then_in_counters() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let stream = open(&plugin, 0);
    assert!(try_open_if_free(&plugin, 0).err().unwrap().is_busy());
    let place = plugin.wait(0, Box::new(|| {}), u64::MAX);
    look(&house);
    assert_eq!(stat(&house, "streams_waiting"), 1);
    drop(place);
    plugin.pool().tally().waited(2_500_000, false);
    plugin.pool().tally().waited(10_000_000, true);
    look(&house);
    assert_eq!(stat(&house, "streams_waiting"), 0);
    assert_eq!((stat(&house, "waits"), stat(&house, "wait_timeouts"), stat(&house, "wait_ms")), (2, 1, 12));
    stream.end();
}

#[test]
fn a_breaker_is_open_while_streams_are_turned_away() {
    let house = House::new(2);
    let plugin = house.load(&config("p", &fragile()));
    for worker in [0, 1] {
        crash_until_it_waits(&plugin, worker);
    }
    house.registry.keeper().report(plugin.pool());
    house.pass(SECOND / 2);
    assert_eq!(stat(&house, "breakers_open"), 0, "nobody has looked");
    plugin.pool().report();
    assert_eq!(stat(&house, "breakers_open"), 2);
    house.pass(FIRST_WAIT);
    house.registry.keeper().work();
    assert_eq!(stat(&house, "breakers_open"), 0, "the next stream is served");
    serve(&plugin, 0);
}

#[test]
fn spares_that_do_not_start_are_tried_later_and_later_and_one_that_does_ends_that() {
    let house = House::new(1);
    let plugin = house.load(&with_spares(&config("p", &starting_unless("(i64.eq {now} (i64.const 1))")), 1));
    let keeper = house.registry.keeper();
    house.pass(Duration::from_nanos(1));
    let retry = keeper.work().unwrap();
    assert_eq!(retry, house.now() + u64::try_from(FIRST_WAIT.as_nanos()).unwrap());
    let tried = stat(&house, "start_failures");
    assert_eq!(tried, 4, "the first, and those that are free");
    assert_eq!(stat(&house, "breakers_open"), 1);
    for _ in 0..20 {
        serve(&plugin, 0);
        keeper.work();
    }
    assert_eq!(stat(&house, "start_failures"), tried, "no stream hurries it");
    house.pass(FIRST_WAIT);
    keeper.work();
    assert_eq!((stat(&house, "vms_spare"), stat(&house, "breakers_open")), (1, 0));
}

#[test]
fn the_configured_vm_of_single_streams_backs_off_alone() {
    let house = House::new(1);
    let guest = fragile()
        .on("proxy_on_configure", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1)))")
        .on("proxy_on_tick", "unreachable");
    let plugin = house.load(&with_spares(&isolated(&config("p", &guest)), 0));
    let (keeper, agenda) = (house.registry.keeper(), &house.registry.commons().agenda);
    for _ in 0..40 {
        house.pass(Duration::from_millis(1));
        agenda.work(|| house.now());
        // A stream notices, and the keeper makes another.
        serve(&plugin, 0);
        keeper.work();
    }
    plugin.pool().report();
    assert_eq!(stat(&house, "breakers_open"), 1);
    let made = stat(&house, "vms_created");
    assert!(made <= 19, "{made} VMs of a loop");
    for _ in 0..100 {
        crash(&plugin, 0);
        serve(&plugin, 0);
    }
    assert_eq!(stat(&house, "vms_created"), made, "a loop of single streams costs nothing but themselves");
    house.pass(FIRST_WAIT);
    keeper.work();
    assert_eq!(stat(&house, "vms_created"), made + 1);
}

#[test]
fn a_plugin_that_is_refused_leaves_nothing_but_the_count() {
    let house = House::new(1);
    house.refuse(&config("p", &Guest::new().answer("proxy_on_configure", 0, "")));
    assert_eq!((stat(&house, "start_failures"), stat(&house, "vms_created")), (1, 1));
    for level in LEVELS {
        assert_eq!(stat(&house, level), 0, "{level}");
    }
}

#[test]
fn uses_and_versions_of_one_name_are_summed_up() {
    let house = House::new(1);
    let config = with_spares(&config("p", &fragile()), 0);
    let filter = house.load(&config);
    let service = house.registry.load(Use::Singleton, &config).unwrap();
    assert!(!Arc::ptr_eq(filter.pool(), service.pool()));
    assert_eq!((stat(&house, "vms_active"), stat(&house, "generations_active")), (2, 2));
    drop(filter);
    assert_eq!((stat(&house, "vms_active"), stat(&house, "generations_active")), (1, 1));
}
