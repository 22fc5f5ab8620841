//! Sources that go back to what they had, and what is known of that: refused, failing, serving.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use graft::lifecycle::registry::Use;
use graft::lifecycle::slot::{Command, NotLoaded, Stage};

use crate::house::{FIRST_WAIT, House};
use crate::served::{Served, answer, auth, auth_with, refusing, saying};
use crate::supplier::Supplier;

/// The stage and the last error.
fn state(served: &Served) -> (Stage, Option<String>) {
    let status = served.slot.status();
    (status.stage, status.last_error)
}

#[test]
fn what_serves_comes_back_after_something_that_is_refused() {
    let served = Served::new();
    served.supply.offer_bytes("2", b"garbage".to_vec());
    served.poll();
    assert_eq!(state(&served).0, Stage::Failed);
    served.offer(1);
    served.poll();
    assert_eq!(state(&served), (Stage::Serving, None));

    served.supply.offer_bytes("2", b"garbage".to_vec());
    served.command(Command::Reload).unwrap();
    assert_eq!(state(&served).0, Stage::Failed);
    served.offer(1);
    served.command(Command::Reload).unwrap();
    assert_eq!(state(&served), (Stage::Serving, None), "asked for, too");
}

#[test]
fn what_failed_is_tried_again_when_it_comes_again() {
    let config = auth_with(|config| {
        config.graft.swap.retry.base_interval = Duration::from_mins(1);
        config.graft.swap.retry.max_interval = Duration::from_mins(1);
    });
    let served = Served::with(&config, &saying(1));
    served.supply.offer("2", &refusing());
    served.poll();
    assert_eq!(state(&served).0, Stage::Failed);
    served.offer(1);
    served.poll();
    assert_eq!((state(&served), served.slot.status().retry_in), ((Stage::Serving, None), None));
    for _ in 0..20 {
        served.poll();
    }
    served.offer(2);
    served.poll();
    assert_eq!(served.answer(), "2");
}

#[test]
fn a_source_out_of_reach_says_nothing_of_what_was_refused() {
    let served = Served::new();
    served.supply.offer_bytes("2", b"garbage".to_vec());
    served.poll();
    let (_, refused) = state(&served);
    served.supply.withdraw();
    served.command(Command::Reload).unwrap();
    assert_ne!(state(&served).1, refused);
    let failures = served.stat("load_failures");
    served.supply.offer_bytes("2", b"garbage".to_vec());
    served.house.after(FIRST_WAIT);
    served.poll();
    assert_eq!((state(&served), served.stat("load_failures")), ((Stage::Failed, refused), failures));
}

#[test]
fn what_fails_for_good_is_fetched_once() {
    let served = Served::new();
    served.supply.fails_for_good.store(true, Ordering::Relaxed);
    served.offer(2);
    for _ in 0..5 {
        served.poll();
    }
    assert_eq!((served.supply.fetches(), state(&served).0), (2, Stage::Failed));
    served.supply.fails_for_good.store(false, Ordering::Relaxed);
    served.offer(3);
    served.poll();
    assert_eq!(served.answer(), "3");
}

#[test]
fn who_waits_for_what_was_refused_before_is_told_so() {
    let supply = Supplier::near();
    let house = House::supplied(1, &supply);
    supply.offer_bytes("1", b"garbage".to_vec());
    let slot = house.open(&auth());
    house.registry.loader().work();
    let again = house.registry.open(Use::Filter, &auth(), false).unwrap_err().describe(&auth());
    assert!(again.contains("7 bytes that start with") && again.contains("vm_config.code"), "{again}");

    // While it is fetched once more nobody knows.
    let (calls, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::new(parking_lot::Mutex::new(None)));
    let on_fetch = {
        let (slot, calls, waiting) = (Arc::downgrade(&slot), Arc::clone(&calls), Arc::clone(&waiting));
        move || {
            let (slot, calls) = (slot.upgrade().unwrap(), Arc::clone(&calls));
            let wake = move || {
                calls.fetch_add(1, Ordering::Relaxed);
            };
            assert_eq!(slot.current().err(), Some(NotLoaded::Loading));
            *waiting.lock() = Some(slot.wait(Box::new(wake), u64::MAX));
        }
    };
    *supply.on_fetch.lock() = Some(Box::new(on_fetch));
    let _another = house.open(&auth());
    house.registry.loader().work();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    drop(waiting.lock().take());
}

#[test]
fn a_load_that_one_waits_for_and_that_fails_is_tried_again_for_the_others() {
    let supply = Supplier::near();
    let house = House::supplied(1, &supply);
    supply.offer("1", &saying(1));
    let config = auth_with(|config| config.graft.swap.poll_interval = None);
    let slot = house.open(&config);
    assert_eq!(house.registry.loader().work(), None, "nothing is due");
    supply.withdraw();
    assert!(house.registry.open(Use::Filter, &config, false).is_err());
    supply.offer("2", &saying(2));
    house.registry.loader().work();
    assert_eq!(answer(&house, &slot), "1", "not at once");
    house.after(FIRST_WAIT);
    assert_eq!(answer(&house, &slot), "2");
}
