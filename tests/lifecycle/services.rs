//! Services: no stream comes by that would notice what became of their VMs, so the keeper does.

use std::time::Duration;

use graft::config::PluginConfig;
use graft::lifecycle::registry::{Use, Workers};

use crate::guest::Guest;
use crate::house::{FIRST_WAIT, House, Loaded, config, word};

const SECOND: Duration = Duration::from_secs(1);

/// A body that runs once in the process, whichever VM comes first.
fn once(name: &str, body: &str) -> String {
    format!(
        "(if (call $proxy_get_shared_data (text \"{name}\") (i32.const 16) (i32.const 20) (i32.const 24)) (then
            (drop (call $proxy_set_shared_data (text \"{name}\") (i32.const 0) (i32.const 0) (i32.const 0)))
            {body}))"
    )
}

/// A plugin that ticks every second.
fn ticking(body: &str) -> PluginConfig {
    let guest = Guest::new()
        .on("proxy_on_configure", "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))")
        .on("proxy_on_tick", body);
    config("p", &guest)
}

/// A second passes; answers what was said. Then the keeper works.
fn tick(house: &House) -> Vec<String> {
    house.pass(SECOND);
    house.registry.commons().agenda.work(|| house.now());
    let said = said(house);
    house.registry.keeper().work();
    said
}

/// What guests said since the last time; not what was said about them.
fn said(house: &House) -> Vec<String> {
    let lines = std::mem::take(&mut *house.services.lines.lock());
    lines.into_iter().filter_map(|(_, line)| Some(line.strip_prefix("wasm log: ")?.to_owned())).collect()
}

fn stat(house: &House, name: &str) -> i64 {
    house.services.metric(&format!("graft_{name}.p")).unwrap_or(0)
}

fn load(house: &House, purpose: Use, config: &PluginConfig) -> Loaded {
    house.registry.load(purpose, config).unwrap_or_else(|error| panic!("{}", error.describe(config)))
}

#[test]
fn a_service_that_traps_once_ticks_again() {
    for (purpose, vms) in [(Use::Singleton, 1), (Use::Service, 3)] {
        let house = House::new(3);
        let config = ticking(&[once("trapped", "unreachable"), word("tick")].concat());
        let service = load(&house, purpose, &config);
        assert_eq!(tick(&house), vec!["tick"; vms - 1]);
        assert_eq!(
            (stat(&house, "vms_retired"), stat(&house, "vms_active")),
            (1, i64::try_from(vms).unwrap())
        );
        assert_eq!(tick(&house), vec!["tick"; vms], "{purpose:?}");
        assert_eq!(service.pool().vms().len(), vms);
    }
}

#[test]
fn a_service_whose_places_are_not_all_used_has_no_vm_in_the_others() {
    let house = House::with(Workers { places: 8, prepared: 1 });
    let service = load(&house, Use::Service, &ticking(&once("trapped", "unreachable")));
    tick(&house);
    assert_eq!(stat(&house, "vms_created"), 2);
    assert_eq!(service.pool().vms().len(), 1);
}

#[test]
fn a_service_that_traps_in_each_tick_is_started_later_and_later() {
    let house = House::new(1);
    let _service = load(&house, Use::Singleton, &ticking("unreachable"));
    for _ in 0..40 {
        tick(&house);
    }
    let made = stat(&house, "vms_created");
    assert!((17..22).contains(&made), "{made} VMs of a loop in 40 seconds");
    assert_eq!(stat(&house, "breakers_open"), 1);
}

#[test]
fn one_vm_of_a_service_that_refuses_is_asked_later_and_later_whatever_the_others_do() {
    let house = House::new(2);
    let guest = Guest::new()
        .export(
            "proxy_on_configure",
            "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))
             (i32.ne (i32.const 0)
                (call $proxy_get_shared_data (text \"refuse\") (i32.const 16) (i32.const 20) (i32.const 24)))",
        )
        .on("proxy_on_tick", &once("refuse", "unreachable"));
    let _service = load(&house, Use::Service, &config("p", &guest));
    tick(&house);
    // The first, and those that are free.
    assert_eq!(stat(&house, "start_failures"), 4);
    house.pass(FIRST_WAIT);
    house.registry.keeper().work();
    assert_eq!(stat(&house, "start_failures"), 5);
}

#[test]
fn the_memory_of_a_service_is_told_when_it_grows() {
    let house = House::new(1);
    let _service =
        load(&house, Use::Singleton, &ticking(&once("grown", "(drop (memory.grow (i32.const 1)))")));
    let before = stat(&house, "memory_bytes");
    tick(&house);
    house.pass(SECOND);
    house.registry.keeper().work();
    assert_eq!(stat(&house, "memory_bytes"), before + 0x1_0000);
}

#[test]
fn a_service_that_is_gone_is_not_started_again() {
    let house = House::new(1);
    let service = load(&house, Use::Singleton, &ticking("unreachable"));
    house.pass(SECOND);
    house.registry.commons().agenda.work(|| house.now());
    drop(service);
    house.registry.keeper().work();
    assert_eq!(stat(&house, "vms_created"), 1);
}
