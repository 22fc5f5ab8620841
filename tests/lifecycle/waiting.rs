//! Streams that find all VMs busy: they wait in turn, are called when one is free, and not for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use graft::host::vm::{Waiting, Watch};

use crate::house::{House, Loaded, config, eventually, fragile, open, serve, try_open_if_free, word};
use crate::isolation::isolated;
use crate::spares::with_spares;

/// A stream that waits, and how often it was called.
struct Waiter {
    calls: Arc<AtomicUsize>,
    _place: Waiting,
}

impl Waiter {
    fn new(plugin: &Loaded, until: u64) -> Self {
        Self::on(plugin, 0, until)
    }

    fn on(plugin: &Loaded, worker: usize, until: u64) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let wake = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        Self { calls, _place: plugin.wait(worker, Box::new(wake), until) }
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

const LATE: u64 = u64::MAX;

#[test]
fn a_stream_that_ends_calls_the_next() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let stream = open(&plugin, 0);
    assert!(try_open_if_free(&plugin, 0).err().unwrap().is_busy());
    let (first, second) = (Waiter::new(&plugin, LATE), Waiter::new(&plugin, LATE));
    assert_eq!((first.calls(), second.calls()), (0, 0));
    stream.end();
    assert_eq!((first.calls(), second.calls()), (1, 0));
    serve(&plugin, 0);
    assert_eq!(second.calls(), 1, "the seat of the first is free again");
}

#[test]
fn a_seat_that_came_free_before_the_stream_waited_is_not_missed() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let waiter = Waiter::new(&plugin, LATE);
    assert_eq!(waiter.calls(), 1);
}

#[test]
fn a_thread_that_leaves_a_shared_vm_calls_the_next() {
    let house = House::new(1);
    let mut config = config("p", &fragile());
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let home = plugin.pool().home(0).unwrap();
    let inside = home.lock();
    let error = std::thread::scope(|scope| {
        scope.spawn(|| try_open_if_free(&plugin, 0).err().unwrap()).join().unwrap()
    });
    assert!(error.is_busy());
    let waiter = Waiter::new(&plugin, LATE);
    drop(inside);
    assert_eq!(waiter.calls(), 1);
    serve(&plugin, 0);
}

#[test]
fn a_stream_whose_time_is_over_is_called_by_the_keeper() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let _stream = open(&plugin, 0);
    let until = house.now() + 1_000_000_000;
    let (waiter, other) = (Waiter::new(&plugin, until), Waiter::new(&plugin, until * 2));
    let keeper = house.registry.keeper();
    assert_eq!((keeper.work(), waiter.calls()), (Some(until), 0));
    house.pass(Duration::from_secs(1));
    assert_eq!((keeper.work(), waiter.calls(), other.calls()), (Some(until * 2), 1, 0));
}

#[test]
fn a_guest_that_takes_long_to_start_makes_streams_of_others_wait_no_longer() {
    let house = House::new(1);
    // Each of its VMs says a word when it starts, which takes until the test lets it.
    let slow = fragile().on("_initialize", &word("started"));
    let slow = house.load(&with_spares(&config("slow", &slow), 1));
    let mut config = with_spares(&isolated(&config("p", &fragile())), 0);
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let _stream = open(&plugin, 0);
    let waiter = Waiter::new(&plugin, house.now() + 1_000_000_000);
    house.pass(Duration::from_secs(1));
    let silence = house.services.lines.lock();
    house.registry.keeper().start().unwrap();
    assert!(eventually(|| waiter.calls() == 1));
    assert_eq!(slow.pool().vms().len(), 1, "the spare has not started yet");
    drop(silence);
    assert!(eventually(|| slow.pool().vms().len() == 2));
}

#[test]
fn a_stream_that_goes_away_makes_room_for_the_next() {
    let house = House::new(1);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let stream = open(&plugin, 0);
    let (first, second) = (Waiter::new(&plugin, LATE), Waiter::new(&plugin, LATE));
    stream.end();
    drop(first);
    assert_eq!(second.calls(), 1, "the first was called and did not come");
}

#[test]
fn a_seat_that_comes_free_on_a_worker_calls_a_stream_of_that_worker() {
    let house = House::new(2);
    let mut config = isolated(&config("p", &fragile()));
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let (one, two) = (open(&plugin, 0), open(&plugin, 1));
    let (first, second) = (Waiter::on(&plugin, 0, LATE), Waiter::on(&plugin, 1, LATE));
    assert!(plugin.is_waited_for(0) && plugin.is_waited_for(1));
    two.end();
    assert_eq!((first.calls(), second.calls()), (0, 1));
    one.end();
    assert_eq!((first.calls(), second.calls()), (1, 1));
    assert!(!plugin.is_waited_for(0) && !plugin.is_waited_for(1));
}

#[test]
fn a_shared_vm_that_is_left_calls_one_stream_of_each_worker() {
    let house = House::new(2);
    let mut config = config("p", &fragile());
    config.graft.pool.max_vms = 1;
    let plugin = house.load(&config);
    let homes = [plugin.pool().home(0).unwrap(), plugin.pool().home(1).unwrap()];
    let [one, two] = [homes[0].lock(), homes[1].lock()];
    let (first, second) = (Waiter::on(&plugin, 0, LATE), Waiter::on(&plugin, 1, LATE));
    drop(two);
    assert_eq!(second.calls(), 1, "whose VM it was is not known, so both look");
    drop(one);
    assert_eq!(first.calls(), 1);
}

#[test]
fn a_fault_of_ours_in_the_call_of_one_stream_costs_others_nothing() {
    let house = House::new(1);
    let keeper = house.registry.keeper();
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let (faulty, other) = (Arc::new(Watch::default()), Arc::new(Watch::default()));
    let _first = faulty.wait(0, Box::new(|| panic!("on purpose")), 10);
    let _second = other.wait(
        0,
        Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }),
        10,
    );
    keeper.call_late(&faulty, 10);
    keeper.call_late(&other, 10);
    house.pass(Duration::from_nanos(10));
    let again = keeper.work();
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(again, Some(10 + u64::try_from(Duration::from_mins(1).as_nanos()).unwrap()));
}
