//! Large code serves when it is compiled quickly, and once more when it is optimised. A blocking load stops between the
//! two; the loader does the rest.

use std::sync::Arc;
use std::time::Duration;

use graft::config::{CacheConfig, CanaryConfig, CompileMode, LoadMode, PluginConfig};
use graft::engine::code::Tier;
use graft::lifecycle::registry::Use;
use graft::lifecycle::slot::status::Role;
use graft::lifecycle::slot::{Command, CommandError};

use crate::guest::Guest;
use crate::house::{FIRST_WAIT, House, config, configured};
use crate::isolation::isolated;
use crate::served::{Held, answer, begin, saying};
use crate::supplier::Supplier;

/// A plugin that the opener waits for, and that is compiled in tiers.
fn tiered() -> PluginConfig {
    let mut config = config("large", &saying(0));
    config.graft.swap.load = LoadMode::Blocking;
    config.graft.swap.compile = CompileMode::Tiered;
    config
}

/// A process whose source has that guest.
fn house(guest: &Guest) -> (House, Arc<Supplier>) {
    let supply = Supplier::far();
    supply.offer("1", guest);
    (House::supplied(1, &supply), supply)
}

/// Number, role and tier of all generations.
fn generations(slot: &Held) -> Vec<(u64, Role, Tier)> {
    let tier = |is_optimized| if is_optimized { Tier::Optimized } else { Tier::Baseline };
    slot.status().generations.iter().map(|one| (one.number, one.role, tier(one.is_optimized))).collect()
}

#[test]
fn quick_code_serves_until_the_optimised_is_ready() {
    let (house, _supply) = house(&saying(1));
    let slot = house.open(&tiered());
    assert_eq!(generations(&slot), [(1, Role::Serving, Tier::Baseline)]);
    assert_eq!(answer(&house, &slot), "1");

    let old = begin(&slot);
    house.registry.loader().work();
    let both = [(2, Role::Serving, Tier::Optimized), (1, Role::Draining, Tier::Baseline)];
    assert_eq!(generations(&slot), both);
    old.request().unwrap();
    old.end();
    assert_eq!((house.said(), answer(&house, &slot)), (vec!["1".to_owned()], "1".to_owned()));

    house.pass(Duration::from_secs(1));
    house.registry.loader().work();
    assert_eq!(generations(&slot), [(2, Role::Serving, Tier::Optimized)]);
}

#[test]
fn streams_stay_on_quick_code_until_a_new_version_comes() {
    let (house, supply) = house(&saying(1));
    let mut config = tiered();
    config.graft.swap.drain_deadline = Duration::from_secs(20);
    let slot = house.open(&config);
    let old = begin(&slot);
    let pass = |seconds| {
        for _ in 0..seconds {
            house.after(Duration::from_secs(1));
        }
    };
    pass(60);
    assert_eq!(generations(&slot).first().unwrap().2, Tier::Optimized);
    assert!(!old.0.is_over(), "nobody has changed anything");
    old.request().unwrap();

    supply.offer("2", &saying(2));
    house.registry.command(&slot, Command::Reload).unwrap();
    pass(19);
    assert!(!old.0.is_over(), "its time begins with that of the optimised code");
    pass(2);
    assert!(old.0.is_over());
    old.end();
}

#[test]
fn code_from_the_cache_is_optimised_already() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiered();
    config.graft.cache = CacheConfig { directory: Some(folder.path().join("c")), ..CacheConfig::default() };
    for first in [Tier::Baseline, Tier::Optimized] {
        for config in [&config, &isolated(&config)] {
            let (house, _supply) = house(&saying(1));
            let slot = house.open(config);
            assert_eq!(generations(&slot).first().unwrap().2, first);
            house.registry.loader().work();
            assert_eq!(
                (generations(&slot).first().unwrap().2, answer(&house, &slot).as_str()),
                (Tier::Optimized, "1")
            );
        }
    }
}

#[test]
fn a_new_configuration_finds_the_vms_of_code_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tiered();
    config.graft.cache = CacheConfig { directory: Some(folder.path().join("c")), ..CacheConfig::default() };
    let (first, _supply) = house(&saying(1));
    let _fills_the_cache = first.load(&config);

    let (house, _supply) = house(&saying(1));
    let minute = Duration::from_mins(1);
    config.graft.swap.canary =
        Some(CanaryConfig { percent: 50, duration: minute, max_failures: 0, max_failure_percent: 0 });
    let slot = house.open(&config);
    let old = begin(&slot);
    let next = house.open(&configured(&config, "other"));
    assert_eq!(generations(&next)[1], (2, Role::OnTrial(50), Tier::Optimized));
    let [one, other] = [begin(&next), begin(&next)];
    assert!(one.is_on(&old.0.lease) && other.is_on(&old.0.lease), "of both generations");
}

#[test]
fn by_default_small_code_and_services_are_optimised_at_once() {
    let large = saying(1).wasm().into_iter().chain(padding(2 << 20)).collect::<Vec<_>>();
    for (bytes, purpose, expected) in [
        (saying(1).wasm(), Use::Filter, Tier::Optimized),
        (large.clone(), Use::Filter, Tier::Baseline),
        (large, Use::Service, Tier::Optimized),
    ] {
        let supply = Supplier::far();
        supply.offer_bytes("1", bytes);
        let house = House::supplied(1, &supply);
        let mut config = tiered();
        config.graft.swap.compile = CompileMode::default();
        let slot = house.registry.open(purpose, &config, true).unwrap();
        assert_eq!(generations(&slot).first().unwrap().2, expected, "{purpose:?}");
        config.graft.swap.compile = CompileMode::Optimized;
        let slot = house.registry.open(purpose, &config, true).unwrap();
        assert_eq!(generations(&slot).first().unwrap().2, Tier::Optimized, "{purpose:?}");
    }
}

/// A custom section of so many bytes.
fn padding(bytes: usize) -> Vec<u8> {
    let mut size = bytes + 2;
    let mut section = vec![0];
    while size >= 0x80 {
        section.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        size >>= 7;
    }
    section.extend([u8::try_from(size).unwrap(), 1, b'x']);
    section.resize(section.len() + bytes, 0);
    section
}

/// Starts well the first time, and not the second: then it does this. Shared data tell.
fn starting_badly_once(what: &str) -> Guest {
    let lacks = |key: &str| {
        format!("(call $proxy_get_shared_data (text \"{key}\") (i32.const 16) (i32.const 20) (i32.const 24))")
    };
    let set = |key: &str| {
        format!("(drop (call $proxy_set_shared_data (text \"{key}\") (text \"yes\") (i32.const 0)))")
    };
    let second = format!("(if {} (then {} {what}))", lacks("two"), set("two"));
    let body = format!("(if {} (then {}) (else {second}))", lacks("one"), set("one"));
    saying(1).on("proxy_on_configure", &body)
}

#[test]
fn optimised_code_that_did_not_start_in_time_is_tried_again() {
    let (house, _supply) = house(&starting_badly_once("(loop $again (br $again))"));
    let mut config = tiered();
    config.graft.limits.configure_deadline = Duration::from_millis(500);
    let slot = house.open(&config);
    house.registry.loader().work();
    assert_eq!(generations(&slot), [(1, Role::Serving, Tier::Baseline)]);
    let status = slot.status();
    let why = status.optimizer_error.unwrap();
    assert!(why.contains("graft.limits.configure_deadline"), "{why}");
    assert_eq!((status.optimizer_retry_in, status.last_error), (Some(FIRST_WAIT), None));
    house.after(FIRST_WAIT);
    assert_eq!(generations(&slot).first().unwrap().2, Tier::Optimized);
    assert_eq!((slot.status().optimizer_error, slot.status().optimizer_retry_in), (None, None));
}

#[test]
fn what_the_plugin_refuses_is_not_optimised_again() {
    let (house, _supply) = house(&starting_badly_once("(return (i32.const 0))"));
    let slot = house.open(&tiered());
    house.after(Duration::from_hours(1));
    house.after(Duration::from_hours(1));
    assert_eq!(generations(&slot), [(1, Role::Serving, Tier::Baseline)]);
    let status = slot.status();
    assert!(status.optimizer_error.unwrap().contains("refused its configuration"));
    assert_eq!(status.optimizer_retry_in, None);
}

#[test]
fn what_was_replaced_meanwhile_is_not_brought_back() {
    let (house, supply) = house(&saying(1));
    let slot = house.open(&tiered());
    supply.offer("2", &saying(2));
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "2");
    assert_eq!(generations(&slot).first().unwrap().2, Tier::Optimized);
    let next = house.open(&configured(&tiered(), "other"));
    slot.release();
    house.registry.loader().work();
    assert_eq!(
        (answer(&house, &next), generations(&next).first().unwrap().2),
        ("2".to_owned(), Tier::Optimized)
    );
}

#[test]
fn the_same_bytes_under_another_name_are_no_new_version() {
    let (house, supply) = house(&saying(1));
    let mut config = tiered();
    config.graft.swap.keep_previous = Duration::from_hours(1);
    let slot = house.open(&config);
    // The optimiser is done, and has not published it yet.
    let twin = house.load(&config);
    supply.offer("2", &saying(1));
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(generations(&slot), [(twin.plugin().key, Role::Serving, Tier::Optimized)]);
    assert_eq!(slot.status().generations[0].revision, "2");
    let back = house.registry.command(&slot, Command::Rollback);
    assert_eq!(back, Err(CommandError::NoPrevious), "the same code is nothing to go back to");
}

#[test]
fn a_trial_is_of_optimised_code_and_the_optimiser_waits_for_its_end() {
    let (house, supply) = house(&saying(1));
    let mut config = tiered();
    let minute = Duration::from_mins(1);
    config.graft.swap.canary =
        Some(CanaryConfig { percent: 50, duration: minute, max_failures: 0, max_failure_percent: 0 });
    let slot = house.open(&config);
    supply.offer("2", &saying(2));
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    let trial = [(1, Role::Serving, Tier::Baseline), (2, Role::OnTrial(50), Tier::Optimized)];
    assert_eq!(generations(&slot), trial);

    house.registry.command(&slot, Command::Rollback).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "1");
    assert_eq!(generations(&slot).first().unwrap().2, Tier::Optimized);
}

#[test]
fn each_stream_has_a_vm_of_its_own_in_either_tier() {
    let (house, _supply) = house(&saying(1));
    let slot = house.open(&isolated(&tiered()));
    assert_eq!(generations(&slot), [(1, Role::Serving, Tier::Baseline)]);
    assert_eq!(answer(&house, &slot), "1");
    house.registry.loader().work();
    assert_eq!(generations(&slot).first(), Some(&(2, Role::Serving, Tier::Optimized)));
    assert_eq!(answer(&house, &slot), "1");
}

#[test]
fn routes_have_their_variant_in_either_tier() {
    let guest = Guest::new().on("proxy_on_configure", "(call $say (local.get $1))");
    let (house, _supply) = house(&guest);
    let slot = house.open(&tiered());
    let route: Arc<[u8]> = Arc::from(&b"four"[..]);
    slot.add_route(&route);
    assert_eq!(house.said(), ["0"]);
    house.registry.loader().work();
    assert_eq!(house.said(), ["0", "4", "4"], "tried, and made ahead");
    let variant = house.registry.load_variant(&slot.stable().unwrap(), &route).unwrap();
    assert_eq!((variant.tier(), house.said().len()), (Tier::Optimized, 0));
}

#[test]
fn what_one_goes_back_to_is_optimised_too() {
    let supply = Supplier::far();
    supply.offer("1", &saying(1));
    let house = House::supplied(1, &supply);
    let mut config = tiered();
    config.graft.swap.keep_previous = Duration::from_hours(1);
    let slot = house.open(&config);
    supply.offer("2", &saying(2));
    // Before the optimiser has a turn.
    house.registry.command(&slot, Command::Reload).unwrap();
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "2");
    house.registry.command(&slot, Command::Rollback).unwrap();
    house.registry.loader().work();
    assert_eq!(
        (answer(&house, &slot), generations(&slot).first().unwrap().2),
        ("1".to_owned(), Tier::Optimized)
    );
}
