//! What a slot tells of itself, and that whoever asks does not wait.

use std::time::{Duration, Instant};

use graft::config::CanaryConfig;
use graft::lifecycle::registry::{Use, Workers};
use graft::lifecycle::slot::Stage;
use graft::lifecycle::slot::status::{Role, TrialStatus};

use crate::guest::Guest;
use crate::house::{House, config, serve};
use crate::supplier::Supplier;

#[test]
fn times_are_told_by_the_clock_that_never_goes_back() {
    let supply = Supplier::far();
    let house = House::supplied(1, &supply);
    let mut config = config("auth", &Guest::new());
    config.graft.swap.poll_interval = Some(Duration::from_secs(5));
    let slot = house.open(&config);
    assert!(!slot.is_settled());
    house.registry.loader().work();
    house.pass(Duration::from_millis(400));
    let failed = slot.status();
    assert_eq!((failed.stage, failed.stage_for), (Stage::Failed, Duration::from_millis(400)));
    assert_eq!(failed.retry_in, Some(Duration::from_millis(600)));
    assert!(!slot.is_settled(), "what is far away may come");

    supply.offer("1", &Guest::new());
    house.pass(Duration::from_millis(600));
    house.registry.loader().work();
    house.pass(Duration::from_secs(3));
    let serving = slot.status();
    assert_eq!((serving.stage, serving.stage_for), (Stage::Serving, Duration::from_secs(3)));
    assert_eq!((serving.last_error, serving.retry_in), (None, None));
    assert_eq!((serving.purpose, serving.poll_interval), (Use::Filter, Some(Duration::from_secs(5))));
    assert_eq!(serving.generations[0].age, Duration::from_secs(3));
    assert!(slot.is_settled());
}

#[test]
fn what_fails_for_good_is_settled() {
    let supply = Supplier::far();
    supply.offer_bytes("1", b"no Wasm".to_vec());
    let house = House::supplied(1, &supply);
    let slot = house.open(&config("auth", &Guest::new()));
    assert!(!slot.is_settled());
    house.registry.loader().work();
    assert!(slot.is_settled());
    assert_eq!((slot.status().retry_in, slot.status().generations.len()), (None, 0));
}

#[test]
fn a_trial_is_told_with_what_is_left_of_it() {
    let supply = Supplier::far();
    supply.offer("1", &Guest::new());
    let house = House::supplied(1, &supply);
    let mut config = config("auth", &Guest::new());
    config.graft.swap.poll_interval = Some(Duration::from_secs(1));
    let duration = Duration::from_mins(1);
    config.graft.swap.canary =
        Some(CanaryConfig { percent: 25, duration, max_failures: 2, max_failure_percent: 10 });
    let slot = house.open(&config);
    house.registry.loader().work();
    assert_eq!(slot.status().trial, None);
    supply.offer("2", &Guest::new().on("proxy_on_log", ""));
    house.pass(Duration::from_secs(1));
    house.registry.loader().work();
    house.pass(Duration::from_secs(20));
    let status = slot.status();
    let number = status.generations.iter().find(|found| found.role == Role::OnTrial(25)).unwrap().number;
    assert_eq!(status.trial, Some(TrialStatus { number, percent: 25, left: Duration::from_secs(40) }));
}

/// A worker holds its place while it starts a VM, for as long as the guest takes.
#[test]
fn the_state_is_told_while_a_vm_starts() {
    let takes_long = "(local $count i32) (local.set $count (i32.const 400000000))
        (loop $again
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br_if $again (local.get $count)))";
    let supply = Supplier::far();
    supply.offer("1", &Guest::new().export("_initialize", takes_long));
    let house = House::supplied_with(Workers { places: 2, prepared: 1 }, &supply);
    let mut config = config("auth", &Guest::new());
    config.graft.pool.spare_vms = 0;
    let slot = house.open(&config);
    house.registry.loader().work();
    let stable = slot.stable().unwrap();
    let (mut answers, took) = std::thread::scope(|scope| {
        let began = Instant::now();
        let worker = scope.spawn(|| serve(&stable, 1));
        let mut answers = Vec::new();
        while !worker.is_finished() {
            let before = Instant::now();
            assert_eq!(slot.status().stage, Stage::Serving);
            answers.push(before.elapsed());
        }
        (answers, began.elapsed())
    });
    answers.sort_unstable();
    let (asked, typical) = (answers.len(), answers[answers.len() / 2]);
    assert!(asked > 3 && typical < took / 2, "{asked} times, typically {typical:?} of {took:?}");
    assert_eq!(slot.status().generations[0].vms, 2);
}
