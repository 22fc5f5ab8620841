//! New generations take over while streams come: from a configuration, from a source that changes, on command; and when
//! that fails, the last good one goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use graft::config::{Isolation, LoadMode, PluginConfig, PoolConfig};
use graft::host::vm::CallError;
use graft::lifecycle::slot::status::Role;
use graft::lifecycle::slot::{Command, NotLoaded, Stage};

use crate::guest::Guest;
use crate::house::{FIRST_WAIT, House, Open, configured, open};
use crate::served::{Held, POLL, Served, answer, auth, auth_with, begin, refusing, saying};
use crate::supplier::Supplier;

#[test]
fn the_first_generation_is_loaded_behind_the_back_of_the_proxy() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = House::supplied(1, &supply);
    let slot = house.open(&auth());
    assert_eq!(slot.current().err(), Some(NotLoaded::Loading));
    assert_eq!((supply.fetches(), slot.status().stage), (0, Stage::Idle));
    house.registry.loader().work();
    assert_eq!((answer(&house, &slot), slot.status().stage), ("1".to_owned(), Stage::Serving));
}

#[test]
fn before_traffic_what_is_at_hand_is_loaded_at_once_and_what_is_wrong_is_refused() {
    let supply = Supplier::near();
    let house = House::supplied(1, &supply);
    let open = |config: &PluginConfig, has_served| {
        house.registry.open(graft::lifecycle::registry::Use::Filter, config, has_served)
    };
    let refused = open(&auth(), false).unwrap_err();
    assert!(refused.describe(&auth()).contains("no such file \"far/away.wasm\""), "{refused}");
    supply.offer("1", &saying(1));
    let slot = open(&auth(), false).unwrap();
    assert_eq!(answer(&house, &slot), "1");

    let other = configured(&auth(), "another");
    let slot = open(&other, true).unwrap();
    assert_eq!(supply.fetches(), 2, "with traffic nobody waits");
    drop(slot);
    let mut blocking = configured(&auth(), "a third");
    blocking.graft.swap.load = LoadMode::Blocking;
    supply.offer("2", &refusing());
    let refused = open(&blocking, true).unwrap_err().describe(&blocking);
    assert!(refused.starts_with("plugin \"auth\": configuration: the plugin refused"), "{refused}");
}

#[test]
fn streams_wait_for_the_first_generation_and_are_called_when_it_is_there() {
    let supply = Supplier::far();
    let house = House::supplied(1, &supply);
    let slot = house.open(&auth());
    let calls = Arc::new(AtomicUsize::new(0));
    let wait = |slot: &Held| {
        let calls = Arc::clone(&calls);
        let wake = move || {
            calls.fetch_add(1, Ordering::Relaxed);
        };
        slot.wait(Box::new(wake), house.now() + 1_000_000_000)
    };
    let (_one, _two) = (wait(&slot), wait(&slot));
    house.registry.loader().work();
    assert_eq!(slot.current().err(), Some(NotLoaded::Loading), "there is nothing, and it may pass");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    supply.offer("1", &saying(1));
    house.after(FIRST_WAIT);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let _late = wait(&slot);
    assert_eq!(calls.load(Ordering::Relaxed), 3, "it is there already");
}

#[test]
fn streams_of_a_listener_that_drains_do_not_wait_in_vain() {
    let supply = Supplier::far();
    let house = House::supplied(1, &supply);
    let slot = house.open(&auth());
    house.registry.loader().work();
    slot.release();
    house.registry.loader().let_go(&slot);
    house.after(FIRST_WAIT);
    supply.offer("1", &saying(1));
    let fetches = supply.fetches();
    for _ in 0..5 {
        house.after(Duration::from_secs(1));
    }
    assert_eq!(supply.fetches(), fetches, "nobody wants it");

    let calls = Arc::new(AtomicUsize::new(0));
    let wake = {
        let calls = Arc::clone(&calls);
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let _waiting = slot.wait(Box::new(wake), u64::MAX);
    house.after(Duration::from_secs(1));
    assert_eq!((calls.load(Ordering::Relaxed), answer(&house, &slot).as_str()), (1, "1"));
}

#[test]
fn a_stream_whose_wait_is_over_is_called_though_there_is_nothing() {
    let house = House::supplied(1, &Supplier::far());
    let slot = house.open(&auth());
    let calls = Arc::new(AtomicUsize::new(0));
    let wake = {
        let calls = Arc::clone(&calls);
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    };
    let until = house.now() + 5;
    let _waiting = slot.wait(Box::new(wake), until);
    house.registry.keeper().call_late(slot.watch(), until);
    house.registry.keeper().work();
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    house.pass(Duration::from_nanos(5));
    house.registry.keeper().work();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn what_fails_for_good_is_not_worth_waiting_for() {
    let supply = Supplier::far();
    supply.offer_bytes("1", b"hello".to_vec());
    let house = House::supplied(1, &supply);
    let slot = house.open(&auth());
    house.registry.loader().work();
    let Some(NotLoaded::Failed(why)) = slot.current().err() else { panic!("{:?}", slot.status()) };
    assert!(why.contains("5 bytes that start with 68 65 6c 6c 6f"), "{why}");
    let fetches = supply.fetches();
    house.after(Duration::from_hours(1));
    assert_eq!(supply.fetches(), fetches, "bad bytes are not fetched again before they change");
    supply.offer("2", &saying(2));
    for _ in 0..2 {
        house.after(Duration::from_secs(5));
    }
    assert_eq!(answer(&house, &slot), "2");
}

#[test]
fn a_new_configuration_serves_with_the_old_generation_until_its_own_is_ready() {
    let Served { house, supply, slot: old } = Served::new();
    let stream = begin(&old);

    let new = house.open(&configured(&auth(), "another"));
    supply.offer("2", &saying(2));
    old.release();
    drop(old);
    assert_eq!((answer(&house, &new), new.status().stage), ("1".to_owned(), Stage::Idle));
    house.registry.loader().work();
    assert_eq!(answer(&house, &new), "2");
    stream.request().unwrap();
    assert_eq!(house.said(), ["1"], "the stream ends where it began");
    let roles = |slot: &Held| {
        slot.status().generations.iter().map(|found| (found.role, found.streams)).collect::<Vec<_>>()
    };
    assert_eq!(roles(&new), [(Role::Serving, 0), (Role::Draining, 1)]);
    let vm = stream.0.lease.downgrade();
    stream.end();
    house.after(Duration::from_secs(1));
    assert_eq!(roles(&new), [(Role::Serving, 0)]);
    assert!(vm.upgrade().is_none(), "its memory is back");
}

#[test]
fn nobody_takes_over_from_a_plugin_that_is_not_known_to_be_the_same() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = House::supplied(1, &supply);
    let unnamed = PluginConfig { is_named: false, ..auth() };
    let _first = house.open(&unnamed);
    house.registry.loader().work();
    let second = house.open(&configured(&unnamed, "of another filter, perhaps"));
    assert_eq!(second.current().err(), Some(NotLoaded::Loading));

    let other = |name: &str| PluginConfig { name: name.to_owned(), ..auth() };
    let keys = house.open(&other("keys"));
    house.registry.loader().work();
    let quota = house.open(&other("quota"));
    assert_eq!(quota.current().err(), Some(NotLoaded::Loading), "another name");
    assert!(keys.current().is_ok());
}

#[test]
fn of_two_plugins_with_one_name_nobody_takes_over() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = House::supplied(1, &supply);
    let mut one = auth();
    one.is_named = false;
    let (_one, _two) = (house.open(&one), house.open(&configured(&auth(), "two")));
    house.registry.loader().work();
    let third = house.open(&configured(&auth(), "three"));
    assert_eq!(third.current().err(), Some(NotLoaded::Loading), "of which of the two would it be?");
}

#[test]
fn equal_configurations_share_a_slot() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = House::supplied(1, &supply);
    let (one, two) = (house.open(&auth()), house.open(&auth()));
    assert!(Arc::ptr_eq(&one, &two));
    house.registry.loader().work();
    assert_eq!(supply.fetches(), 1);
    one.release();
    supply.offer("2", &saying(2));
    house.after(Duration::from_secs(5));
    assert_eq!(answer(&house, &two), "2", "one of the two is there yet");
    two.release();
    supply.offer("3", &saying(3));
    house.after(Duration::from_secs(5));
    assert_eq!(answer(&house, &two), "2", "what nobody uses is left alone");
}

#[test]
fn a_source_that_changes_is_found_by_polling() {
    let Served { house, supply, slot } = Served::new();
    supply.offer("2", &saying(2));
    house.after(Duration::from_secs(4));
    assert_eq!(answer(&house, &slot), "1", "it is not time yet");
    house.after(Duration::from_secs(1));
    assert_eq!(answer(&house, &slot), "2");
    assert_eq!(supply.fetches(), 2, "the bytes are fetched when they have changed");
    assert_eq!(supply.renewals.load(Ordering::Relaxed), 1, "past what the cache knows");
    assert_eq!(slot.status().generations[0].revision, "2");
}

#[test]
fn a_generation_that_fails_leaves_the_last_good_one() {
    let Served { house, supply, slot } = Served::new();
    for (revision, bytes, expected) in [
        ("2", b"<html>".to_vec(), "an HTML or XML page"),
        ("3", refusing().wasm(), "refused its configuration"),
        ("4", Guest::new().on("proxy_on_configure", "unreachable").wasm(), "trapped"),
    ] {
        supply.offer_bytes(revision, bytes);
        house.after(Duration::from_secs(5));
        assert_eq!(answer(&house, &slot), "1");
        let status = slot.status();
        assert_eq!(status.stage, Stage::Failed);
        assert!(status.last_error.clone().is_some_and(|error| error.contains(expected)), "{status:?}");
    }
    supply.offer("5", &saying(5));
    house.after(Duration::from_secs(5));
    assert_eq!(answer(&house, &slot), "5");
    assert_eq!((slot.status().stage, slot.status().last_error), (Stage::Serving, None));
}

#[test]
fn what_may_pass_is_tried_later_and_later() {
    let supply = Supplier::far();
    let house = House::supplied(1, &supply);
    let mut config = auth();
    config.graft.swap.poll_interval = None;
    let _slot = house.open(&config);
    let mut waits = Vec::new();
    let mut last = house.now();
    for _ in 0..200 {
        let before = supply.fetches();
        house.registry.loader().work();
        if supply.fetches() > before {
            waits.push((house.now() - last) / 1_000_000_000);
            last = house.now();
        }
        house.pass(Duration::from_secs(1));
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
}

#[test]
fn a_command_tries_again_what_was_refused() {
    let Served { house, supply, slot } = Served::new();
    supply.offer_bytes("2", b"garbage".to_vec());
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(slot.status().stage, Stage::Failed);
    supply.offer_bytes("2", saying(2).wasm());
    house.after(Duration::from_mins(10));
    assert_eq!(answer(&house, &slot), "1", "that revision was refused");
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "2");
}

#[test]
fn streams_that_stay_too_long_on_an_old_generation_are_told_so() {
    let config = auth_with(|config| config.graft.swap.drain_deadline = Duration::from_secs(20));
    let Served { house, supply, slot } = Served::with(&config, &saying(1));
    let (old, new) = {
        let old = begin(&slot);
        supply.offer("2", &saying(2));
        house.after(Duration::from_secs(5));
        (old, begin(&slot))
    };
    house.after(Duration::from_secs(19));
    assert!(!old.0.is_over() && !new.0.is_over());
    assert!(old.0.lease.lock().memory_bytes() > 0);
    house.after(Duration::from_secs(1));
    assert!(old.0.is_over() && !new.0.is_over());
    assert_eq!(old.0.lease.lock().memory_bytes(), 0, "its memory is back though the stream is there");
    assert_eq!(old.request(), Err(CallError::VmFailed));
    new.request().unwrap();
    old.end();
    new.end();
}

#[test]
fn a_generation_that_refuses_a_route_is_not_published() {
    let Served { house, supply, slot } = Served::new();
    let route: Arc<[u8]> = b"12345".as_slice().into();
    slot.add_route(&route);
    // Takes any configuration but that of five bytes.
    let picky =
        saying(2).on("proxy_on_configure", "(if (i32.eq (local.get $1) (i32.const 5)) (then unreachable))");
    supply.offer("2", &picky);
    house.after(Duration::from_secs(5));
    assert_eq!(answer(&house, &slot), "1");
    assert!(slot.status().last_error.unwrap().contains("per-route configuration"));
    drop(route);
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "2", "the route is gone");
}

#[test]
fn two_hundred_swaps_leave_nothing_behind() {
    let Served { house, supply, slot } = Served::new();
    let route: Arc<[u8]> = b"a route".as_slice().into();
    slot.add_route(&route);
    let mut before = Vec::new();
    for number in 1..=200_u32 {
        let stream = begin(&slot);
        let edition = slot.stable_edition().unwrap();
        let variant = house.registry.load_route(&edition, &route).unwrap();
        let streams = [&variant, edition.generation()].map(|generation| open(generation, 0));
        before.extend([&variant, edition.generation()].map(Arc::downgrade));
        supply.offer(&format!("no. {number}"), &saying(number));
        drop((edition, variant));
        house.after(POLL);
        assert_eq!(answer(&house, &slot), number.to_string());
        streams.into_iter().for_each(Open::end);
        stream.end();
    }
    house.after(POLL);
    let status = slot.status();
    assert_eq!((status.generations.len(), status.generations[0].vms), (1, 1), "one home");
    assert_eq!(before.iter().filter(|generation| generation.strong_count() > 0).count(), 0);
    let pool = Arc::downgrade(slot.stable().unwrap().pool());
    slot.release();
    drop(slot);
    assert!(pool.upgrade().is_none());
}

#[test]
fn streams_of_a_vm_that_both_generations_share_are_told_without_it() {
    let config = auth_with(|config| config.graft.swap.drain_deadline = Duration::from_secs(20));
    let Served { house, slot, .. } = Served::with(&config, &saying(1));
    let old = begin(&slot);
    let next = house.open(&configured(&config, "another"));
    slot.release();
    drop(slot);
    house.registry.loader().work();
    let new = begin(&next);
    assert!(old.is_on(&new.0.lease), "a new configuration is a new root in the VMs that are there");
    house.after(Duration::from_secs(21));
    assert!(old.0.is_over() && !new.0.is_over());
    new.request().unwrap();
    old.end();
    new.end();
}

#[test]
fn streams_with_a_vm_each_end_in_the_copy_that_they_began_with() {
    let config = auth_with(|config| {
        config.graft.isolation = Isolation::Stream;
        config.graft.pool = PoolConfig::of(Isolation::Stream);
    });
    let Served { house, supply, slot } = Served::with(&config, &saying(1));
    let old = begin(&slot);
    supply.offer("2", &saying(2));
    house.after(Duration::from_secs(5));
    let new = begin(&slot);
    old.request().unwrap();
    new.request().unwrap();
    assert_eq!(house.said(), ["1", "2"]);
    drop(old);
    house.after(Duration::from_secs(1));
    assert_eq!(slot.status().generations.len(), 1, "the old one went with its last copy");
    drop(new);
}

#[test]
fn a_poll_that_finds_what_has_just_failed_leaves_it_to_the_back_off() {
    let config = auth_with(|config| {
        config.graft.swap.poll_interval = Some(Duration::from_secs(1));
        config.graft.swap.retry.base_interval = Duration::from_mins(1);
        config.graft.swap.retry.max_interval = Duration::from_mins(1);
    });
    let Served { house, supply, slot } = Served::with(&config, &saying(1));
    supply.offer("2", &refusing());
    for _ in 0..59 {
        house.after(Duration::from_secs(1));
    }
    assert_eq!(supply.fetches(), 2, "the first, and the one that failed");
    for _ in 0..3 {
        house.after(Duration::from_secs(1));
    }
    assert_eq!(supply.fetches(), 3, "tried again after its wait");
    supply.offer("3", &saying(3));
    house.after(Duration::from_secs(1));
    assert_eq!(answer(&house, &slot), "3", "another revision does not wait");
}
