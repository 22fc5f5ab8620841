//! How soon a VM is replaced, by a clock that only the test moves: at once if it was worth something, later and later
//! if VMs fail without having served.

use std::time::Duration;

use graft::lifecycle::generation::BeginError;
use graft::lifecycle::pool::HomeError;

use crate::guest::Guest;
use crate::house::{
    FIRST_WAIT, House, LONGEST_WAIT, Loaded, config, configured, crash, fragile, open, serve, try_open,
};

/// How long the next stream would have to wait; `None`: it begins.
fn wait(plugin: &Loaded, worker: usize) -> Option<Duration> {
    match try_open(plugin, worker) {
        Ok(stream) => {
            stream.end();
            None
        }
        Err(BeginError::Home(HomeError::BackingOff(wait))) => Some(wait),
        Err(error) => panic!("{error}"),
    }
}

/// Crashes VMs that served nothing until the next one has to wait; answers how many there were.
pub fn crash_until_it_waits(plugin: &Loaded, worker: usize) -> usize {
    for crashes in 0..100 {
        match try_open(plugin, worker) {
            Ok(stream) => {
                stream.crash();
                stream.end();
            }
            Err(BeginError::Home(HomeError::BackingOff(_))) => return crashes,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("it never waits");
}

#[test]
fn a_vm_that_served_is_replaced_at_once_however_often() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &fragile()));
    for _ in 0..200 {
        serve(&plugin, 0);
        crash(&plugin, 0);
    }
    serve(&plugin, 0);
}

#[test]
fn vms_that_served_nothing_wait_twice_as_long_each_time() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &fragile()));
    assert_eq!(crash_until_it_waits(&plugin, 0), 17, "the first VM, and those that are free");
    let mut expected = FIRST_WAIT;
    for _ in 0..6 {
        assert_eq!(wait(&plugin, 0), Some(expected));
        house.pass(expected.checked_sub(Duration::from_nanos(1)).unwrap());
        assert_eq!(wait(&plugin, 0), Some(Duration::from_nanos(1)));
        house.pass(Duration::from_nanos(1));
        crash(&plugin, 0);
        expected = (expected * 2).min(LONGEST_WAIT);
    }
}

#[test]
fn one_stream_that_ends_well_ends_the_loop() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &fragile()));
    crash_until_it_waits(&plugin, 0);
    house.pass(FIRST_WAIT);
    serve(&plugin, 0);
    crash(&plugin, 0);
    assert_eq!(wait(&plugin, 0), None);
    crash(&plugin, 0);
    assert_eq!(crash_until_it_waits(&plugin, 0), 16, "the count began anew");
}

#[test]
fn the_message_says_when_and_why() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &fragile()));
    crash_until_it_waits(&plugin, 0);
    let error = try_open(&plugin, 0).err().unwrap().to_string();
    let expected =
        "the plugin's VMs fail one after the other; the next is started in 1s (reload_config.backoff)";
    assert_eq!(error, expected);
}

#[test]
fn a_loop_on_one_worker_leaves_the_others() {
    let house = House::new(2);
    let plugin = house.load(&config("p", &fragile()));
    crash_until_it_waits(&plugin, 0);
    serve(&plugin, 1);
    crash(&plugin, 1);
    serve(&plugin, 1);
    assert_eq!(wait(&plugin, 0), Some(FIRST_WAIT));
}

#[test]
fn a_loop_of_one_pool_leaves_other_pools() {
    let house = House::new(1);
    let base = config("p", &fragile());
    let looping = house.load(&base);
    let other = house.load(&crate::house::with_vm(&base, |vm| vm.vm_id.push_str("other")));
    crash_until_it_waits(&looping, 0);
    serve(&other, 0);
}

#[test]
fn a_plugin_can_be_loaded_while_another_of_its_pool_is_in_a_loop() {
    let house = House::new(2);
    let base = config("p", &fragile());
    let looping = house.load(&configured(&base, "looping"));
    crash_until_it_waits(&looping, 0);
    let coming = house.load(&configured(&base, "coming"));
    assert_eq!(wait(&coming, 0), Some(FIRST_WAIT));
    serve(&coming, 1);
    house.pass(FIRST_WAIT);
    serve(&coming, 0);
    serve(&looping, 0);
}

/// Code that starts as long as the clock says no more than 1.
fn starting_early() -> Guest {
    starting_unless("(i64.gt_u {now} (i64.const 1))")
}

/// Code that traps at its start if this is true of what the clock says. While code starts, the clock is WASI's.
pub fn starting_unless(condition: &str) -> Guest {
    let condition = condition.replace("{now}", "(i64.load (i32.const 8))");
    fragile()
        .import(
            r#"(import "wasi_snapshot_preview1" "clock_time_get"
                (func $clock_time_get (param i32 i64 i32) (result i32)))"#,
        )
        .on(
            "_initialize",
            &format!(
                "(drop (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 8)))
                 (if {condition} (then unreachable))"
            ),
        )
}

/// Tries streams until they have to wait; answers how many found that no VM starts.
fn fail_until_it_waits(plugin: &Loaded, worker: usize) -> usize {
    for failures in 0..100 {
        match try_open(plugin, worker) {
            Err(BeginError::Home(HomeError::Start(error))) => {
                assert!(error.to_string().contains("Function: _initialize failed"), "{error}");
            }
            Err(BeginError::Home(HomeError::BackingOff(_))) => return failures,
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it started"),
        }
    }
    panic!("it never waits");
}

#[test]
fn vms_that_do_not_start_wait_too_although_the_last_that_did_had_served() {
    let house = House::new(1);
    let plugin = house.load(&config("p", &starting_early()));
    serve(&plugin, 0);
    house.pass(Duration::from_nanos(2));
    crash(&plugin, 0);
    let failures = fail_until_it_waits(&plugin, 0);
    assert!(failures <= 4, "{failures} starts without a wait");
    assert_eq!(wait(&plugin, 0), Some(FIRST_WAIT));
    house.pass(FIRST_WAIT);
    assert_eq!(fail_until_it_waits(&plugin, 0), 1);
    assert_eq!(wait(&plugin, 0), Some(FIRST_WAIT * 2));
}

#[test]
fn a_first_vm_that_does_not_start_waits_too() {
    let house = House::with(graft::lifecycle::registry::Workers { places: 2, prepared: 1 });
    let plugin = house.load(&config("p", &starting_early()));
    house.pass(Duration::from_nanos(2));
    let failures = fail_until_it_waits(&plugin, 1);
    assert!(failures <= 4, "{failures} starts without a wait");
    let stream = open(&plugin, 0);
    assert!(stream.request().is_ok(), "the VM that is there serves on");
}

#[test]
fn a_plugin_that_does_not_start_in_a_new_vm_tells_each_stream_and_recovers() {
    let house = House::new(1);
    // The configuration is refused once the clock has moved.
    let guest = fragile().export(
        "proxy_on_configure",
        "(drop (call $proxy_get_current_time_nanoseconds (i32.const 8)))
         (i64.le_u (i64.load (i32.const 8)) (i64.const 1))",
    );
    let plugin = house.load(&config("p", &guest));
    serve(&plugin, 0);
    crash(&plugin, 0);
    house.pass(Duration::from_nanos(2));
    for _ in 0..3 {
        let error = try_open(&plugin, 0).err().unwrap();
        assert_eq!(
            error.to_string(),
            "the plugin refused its configuration: proxy_on_configure answered false, expected true"
        );
    }
    house.services.now.store(0, std::sync::atomic::Ordering::Relaxed);
    serve(&plugin, 0);
}
