//! Generations that several slots or routes have: what becomes of one in one place is nothing to the others.

use std::sync::Arc;
use std::time::Duration;

use graft::config::{FailurePolicy, LoadMode, PluginConfig};
use graft::host::testing::FakeStream;
use graft::lifecycle::registry::{Use, Workers};
use graft::lifecycle::slot::status::Role;
use graft::lifecycle::slot::{Command, NotLoaded};

use crate::house::{House, Open, configured, eventually, open};
use crate::served::{Held, Served, answer, auth_with, begin, saying, sizing};
use crate::supplier::Supplier;

const DEADLINE: Duration = Duration::from_secs(20);

/// The plugin with a configuration of so many bytes.
fn sized(size: usize) -> PluginConfig {
    let config = auth_with(|config| config.graft.swap.drain_deadline = DEADLINE);
    configured(&config, &"c".repeat(size))
}

fn roles(slot: &Held) -> Vec<Role> {
    slot.status().generations.iter().map(|found| found.role).collect()
}

/// Waits until the deadline has passed, as often as the loader is called.
fn wait(house: &House) {
    for _ in 0..30 {
        house.after(Duration::from_secs(1));
    }
}

fn give_up(slot: Held) {
    slot.release();
    drop(slot);
}

#[test]
fn what_is_replaced_in_one_place_goes_on_in_the_other() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    let stays = begin(&one);
    let two = house.open(&sized(2));
    house.registry.loader().work();
    wait(&house);
    assert!(!stays.0.is_over(), "it is not its slot that has another");
    stays.request().unwrap();
    assert_eq!((house.said(), answer(&house, &two)), (vec!["1".to_owned()], "2".to_owned()));
    assert!(!begin(&one).0.is_over());
    assert_eq!((roles(&one), roles(&two)), (vec![Role::Serving], vec![Role::Serving]));

    // Now it is: its time begins.
    one.release();
    house.after(Duration::from_secs(19));
    assert!(!stays.0.is_over());
    assert_eq!(roles(&two), [Role::Serving, Role::Draining]);
    wait(&house);
    assert!(stays.0.is_over() && !begin(&two).0.is_over());
}

#[test]
fn before_streams_come_each_waits_for_its_own() {
    let supply = Supplier::near();
    supply.offer("1", &sizing());
    let house = House::supplied(1, &supply);
    let open = |size, load| {
        let mut config = sized(size);
        config.graft.swap.load = load;
        house.registry.open(Use::Filter, &config, false).unwrap()
    };
    let (one, two) = (open(1, LoadMode::Auto), open(2, LoadMode::Background));
    assert_eq!((answer(&house, &one), two.current().err()), ("1".to_owned(), Some(NotLoaded::Loading)));
    house.registry.loader().work();
    assert_eq!(answer(&house, &two), "2");
    let three = house.open(&sized(3));
    assert_eq!(three.current().err(), Some(NotLoaded::Loading), "of which of the two would it be?");
}

#[test]
fn a_source_that_goes_back_has_a_new_generation_if_streams_of_the_old_one_were_ended() {
    let served = Served::with(&sized(1), &saying(1));
    let stays = begin(&served.slot);
    served.offer(2);
    wait(&served.house);
    assert!(stays.0.is_over());
    served.offer(1);
    served.poll();
    let new = begin(&served.slot);
    assert!(!new.0.is_over() && !new.is_on(&stays.0.lease));
    new.request().unwrap();
    assert_eq!(served.house.said(), ["1"]);
    assert!(stays.0.is_over());
}

#[test]
fn a_source_that_goes_back_in_time_has_the_old_generation() {
    let served = Served::with(&sized(1), &saying(1));
    let stays = begin(&served.slot);
    served.offer(2);
    served.poll();
    served.offer(1);
    served.poll();
    wait(&served.house);
    assert!(!stays.0.is_over() && begin(&served.slot).is_on(&stays.0.lease));
    assert_eq!(served.slot.status().generations[0].streams, 1);
    assert_eq!(roles(&served.slot), [Role::Serving], "the second is gone");
}

#[test]
fn a_configuration_that_comes_back_has_a_new_generation_if_streams_of_the_old_one_were_ended() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    // Envoy's streams keep the slot.
    let stays = begin(&one);
    let two = house.open(&sized(2));
    one.release();
    wait(&house);
    assert!(stays.0.is_over());
    let back = house.open(&sized(1));
    two.release();
    assert_eq!(answer(&house, &back), "2", "until its own is ready");
    house.registry.loader().work();
    let new = begin(&back);
    new.request().unwrap();
    assert_eq!((house.said(), new.0.is_over()), (vec!["1".to_owned()], false));
}

#[test]
fn the_configuration_that_came_last_is_the_one_to_take_over_from() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    let two = house.open(&sized(2));
    one.release();
    house.registry.loader().work();
    let back = house.open(&sized(1));
    assert!(Arc::ptr_eq(&one, &back));
    two.release();
    house.registry.loader().work();
    let three = house.open(&sized(3));
    assert_eq!(answer(&house, &three), "1");
}

#[test]
fn what_was_a_route_s_may_become_what_all_have() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    let route: Arc<[u8]> = b"cc".as_slice().into();
    let edition = one.stable_edition().unwrap();
    let variant = house.registry.load_route(&edition, &route).unwrap();
    let (stays, routed) = (begin(&one), open(&variant, 0));
    let gone = [Arc::downgrade(edition.generation()), Arc::downgrade(&variant)];
    drop((edition, variant));

    let two = house.open(&sized(2));
    give_up(one);
    house.registry.loader().work();
    assert_eq!((answer(&house, &two), two.status().generations[0].number), ("2".to_owned(), 2));
    wait(&house);
    assert!(stays.0.is_over() && !routed.0.is_over());
    routed.request().unwrap();
    assert_eq!(house.said(), ["2"], "its VM is there");
    stays.end();
    wait(&house);
    assert_eq!(roles(&two), [Role::Serving]);
    routed.end();
    give_up(two);
    assert!(gone.iter().all(|generation| generation.strong_count() == 0));
}

#[test]
fn two_that_are_routes_of_each_other_hold_nothing() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    let two = house.open(&sized(2));
    house.registry.loader().work();
    let gone = [&one, &two].map(|slot| Arc::downgrade(&slot.stable().unwrap()));
    let routes = ["cc", "c"].map(|bytes| Arc::from(bytes.as_bytes()));
    for (slot, route) in [&one, &two].into_iter().zip(&routes) {
        house.registry.load_route(&slot.stable_edition().unwrap(), route).unwrap();
    }
    give_up(one);
    wait(&house);
    let stays = open(&gone[0].upgrade().unwrap(), 0);
    wait(&house);
    assert!(!stays.0.is_over(), "the route of a plugin that serves");
    stays.end();
    give_up(two);
    assert!(gone.iter().all(|generation| generation.strong_count() == 0));
}

#[test]
fn streams_of_routes_are_ended_with_those_of_their_plugin() {
    let Served { house, slot: one, .. } = Served::with(&sized(1), &sizing());
    let edition = one.stable_edition().unwrap();
    let route = Arc::from(&b"a route"[..]);
    let routed = open(&house.registry.load_route(&edition, &route).unwrap(), 0);
    drop(edition);
    let two = house.open(&sized(2));
    give_up(one);
    wait(&house);
    assert!(routed.0.is_over() && !begin(&two).0.is_over());
    assert_eq!(two.status().generations.iter().map(|found| found.streams).collect::<Vec<_>>(), [0, 1]);
    Open::end(routed);
}

#[test]
fn what_a_route_made_of_the_plugin_goes_with_the_route() {
    let Served { house, slot, .. } = Served::with(&sized(1), &sizing());
    let edition = slot.stable_edition().unwrap();
    let route = |size: usize| Arc::<[u8]>::from(vec![b'c'; size]);
    let make = |route| house.registry.load_route(&edition, route).unwrap();
    let (stays, twin, of_stream) = (route(2), route(2), route(3));
    let variants = [make(&stays), make(&of_stream)];
    assert!(Arc::ptr_eq(&variants[0], &make(&twin)));
    let stream = open(&variants[1], 0);
    let variants = variants.map(|variant| Arc::downgrade(&variant));
    let are_there = || {
        house.registry.forget_routes();
        house.after(Duration::from_secs(5));
        variants.each_ref().map(|variant| variant.strong_count() > 0)
    };
    drop((twin, of_stream));
    assert_eq!(are_there(), [true, true], "one has another route, the other a stream");
    stream.request().unwrap();
    assert_eq!(house.said(), ["3"]);
    stream.end();
    assert_eq!(are_there(), [true, false]);
    drop(stays);
    assert_eq!(are_there(), [false, false]);
    assert_eq!((edition.generation().streams(), slot.status().generations[0].begun), (0, 1));
}

#[test]
fn vms_that_are_being_given_up_stay_if_a_generation_begins_in_them_meanwhile() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    // None is entered ahead.
    let house = House::supplied_with(Workers { places: 2, prepared: 0 }, &supply);
    let mut config = sized(1);
    config.graft.swap.poll_interval = None;
    let slot = house.open(&config);
    house.registry.loader().work();
    let begin = |worker| Open(slot.current().unwrap().begin(worker, FakeStream::default()).unwrap());
    let old = [begin(0), begin(1)];
    supply.offer("2", &saying(2));
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    supply.offer("1", &saying(1));

    // Whoever gives up waits for a guest that is inside the first VM.
    let inside = old[0].0.lease.lock();
    std::thread::scope(|scope| {
        let gives_up = scope.spawn(|| house.after(DEADLINE));
        assert!(eventually(|| old[0].0.is_over()));
        // It comes to that VM right after; should it take longer, it finds the new one before it does.
        std::thread::sleep(Duration::from_millis(50));
        let new = house.load(&configured(&config, "another"));
        let stream = open(&new, 1);
        assert!(stream.is_on(&old[1].0.lease), "the VM of the old one");
        drop(inside);
        gives_up.join().unwrap();
        stream.request().unwrap();
        assert_eq!(house.said(), ["1"]);
        stream.end();
    });
}

#[test]
fn one_that_is_kept_is_looked_at_when_its_time_is_over() {
    let config = auth_with(|config| {
        config.graft.swap.poll_interval = None;
        config.graft.swap.keep_previous = Duration::from_mins(5);
    });
    let served = Served::with(&config, &saying(1));
    served.offer(2);
    served.house.registry.command(&served.slot, Command::Reload).unwrap();
    let next = served.house.after(Duration::ZERO);
    assert_eq!(next, Some(served.house.now() + 300_000_000_000));
    assert_eq!(served.house.after(Duration::from_mins(5)), None);
    assert_eq!(roles(&served.slot), [Role::Serving]);
}

#[test]
fn streams_do_not_end_what_one_may_go_back_to() {
    let config = auth_with(|config| {
        config.graft.swap.drain_deadline = DEADLINE;
        config.graft.swap.keep_previous = Duration::from_mins(5);
    });
    let served = Served::with(&config, &saying(1));
    let stays = begin(&served.slot);
    served.offer(2);
    served.poll();
    served.poll();
    wait(&served.house);
    assert!(!stays.0.is_over());
    served.command(Command::Rollback).unwrap();
    assert_eq!(served.answer(), "1");

    served.offer(3);
    served.poll();
    served.poll();
    served.house.after(Duration::from_mins(5));
    assert!(stays.0.is_over(), "it is kept no longer");
}

/// Nothing that makes another generation of it: two slots have one.
#[test]
fn what_two_slots_have_replaced_is_gone_from_both() {
    let Served { house, supply, slot: one } = Served::with(&sized(1), &saying(1));
    let mut open_policy = sized(1);
    open_policy.failure_policy = FailurePolicy::Open;
    let two = house.open(&open_policy);
    house.registry.loader().work();
    let shared = Arc::downgrade(&one.stable().unwrap());
    assert!(Arc::ptr_eq(&one.stable().unwrap(), &two.stable().unwrap()));
    supply.offer("2", &saying(2));
    for slot in [&one, &two] {
        house.registry.command(slot, Command::Reload).unwrap();
    }
    house.registry.loader().work();
    house.after(Duration::from_secs(5));
    house.after(Duration::from_secs(1));
    assert_eq!((roles(&one), roles(&two)), (vec![Role::Serving], vec![Role::Serving]));
    assert_eq!(shared.strong_count(), 0);
}
