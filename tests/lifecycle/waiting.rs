//! Streams that find all VMs busy: they wait in turn, are called when one is free, and not for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use graft::host::vm::Waiting;

use crate::house::{House, Loaded, config, fragile, open, serve, try_open_if_free};
use crate::isolation::isolated;

/// A stream that waits, and how often it was called.
struct Waiter {
    calls: Arc<AtomicUsize>,
    _place: Waiting,
}

impl Waiter {
    fn new(plugin: &Loaded, until: u64) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        let wake = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        Self { calls, _place: plugin.wait(0, Box::new(wake), until) }
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
