//! All of it at once: workers with streams and crashes on one pool while plugins come and go on another thread. Each
//! test is over in bounded time, or says that it hangs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use graft::host::vm::CallError;
use graft::lifecycle::generation::BeginError;
use graft::lifecycle::pool::HomeError;

use crate::guest::Guest;
use crate::house::{
    House, Loaded, Open, config, configured, eventually, fragile, open, serve, try_open, word,
};

const WORKERS: usize = 4;

/// Rounds of each worker; a round is two streams.
const ROUNDS: usize = 3000;

/// Runs something that must come to an end.
fn in_bounded_time(run: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        run();
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(Duration::from_mins(5)) {
        Ok(()) => thread.join().unwrap(),
        Err(RecvTimeoutError::Disconnected) => {
            thread.join().unwrap();
        }
        Err(RecvTimeoutError::Timeout) => panic!("it hangs: a deadlock"),
    }
}

/// Runs workers, and beside them something again and again until they are through; answers how often.
fn with_workers(work: impl Fn(usize) + Sync, beside: impl Fn(usize) + Sync) -> usize {
    let (is_over, together) = (AtomicBool::new(false), Barrier::new(WORKERS + 1));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            together.wait();
            let mut times = 0;
            // Once at least, however late this thread gets its turn.
            loop {
                beside(times);
                times += 1;
                if is_over.load(Ordering::Relaxed) {
                    return times;
                }
            }
        });
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (work, together) = (&work, &together);
                scope.spawn(move || {
                    together.wait();
                    work(worker);
                })
            })
            .collect();
        let joined: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        let times = other.join().unwrap();
        assert!(joined.iter().all(Result::is_ok), "a worker panicked");
        times
    })
}

/// Opens a stream; where VMs have to wait, time passes at once.
fn open_in_time(house: &House, plugin: &Loaded, worker: usize) -> Open {
    loop {
        match try_open(plugin, worker) {
            Ok(stream) => return stream,
            Err(BeginError::Home(HomeError::BackingOff(wait))) => house.pass(wait),
            Err(error) => panic!("{error}"),
        }
    }
}

/// What became of streams.
#[derive(Debug, Default)]
struct Counts {
    well: AtomicUsize,
    crashed: AtomicUsize,
    lost: AtomicUsize,
}

impl Counts {
    fn count<T>(&self, result: &Result<T, CallError>) {
        let counter = match result {
            Ok(_) => &self.well,
            Err(CallError::Trapped { .. }) => &self.crashed,
            Err(CallError::VmFailed) => &self.lost,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> [usize; 3] {
        [&self.well, &self.crashed, &self.lost].map(|counter| counter.load(Ordering::Relaxed))
    }
}

#[test]
fn workers_crash_vms_while_plugins_come_and_go() {
    in_bounded_time(|| {
        let house = House::new(WORKERS);
        let base = config("p", &fragile());
        let plugin = house.load(&base);
        let counts = Counts::default();
        let work = |worker: usize| {
            for round in 0..ROUNDS {
                let (one, two) = (try_open(&plugin, worker).unwrap(), try_open(&plugin, worker).unwrap());
                if round % 10 == 9 {
                    one.0.lease.lock().stream_mut(one.0.stream).unwrap().stream.request_headers = None;
                }
                counts.count(&one.request());
                counts.count(&two.request());
                one.end();
                two.end();
            }
        };
        with_workers(work, |times| {
            let coming = house.load(&configured(&base, &(times % 7).to_string()));
            let stream = open(&coming, times % WORKERS);
            // Its worker may crash the VM just now.
            let _served_or_lost = stream.request();
            stream.end();
        });
        let [well, crashed, lost] = counts.all();
        assert_eq!(well + crashed + lost, 2 * WORKERS * ROUNDS);
        assert_eq!(
            (crashed, lost),
            (WORKERS * ROUNDS / 10, WORKERS * ROUNDS / 10),
            "each crash cost the stream beside it, and no other"
        );
        assert_eq!(plugin.pool().vms().len(), WORKERS);
        assert_eq!(Arc::strong_count(&plugin), 1);
    });
}

#[test]
fn plugins_whose_end_kills_vms_cost_no_stream_its_beginning_and_no_plugin_its_start() {
    in_bounded_time(|| {
        // A configuration of four bytes makes a root whose end traps.
        let guest = Guest::new()
            .with("(global $deadly (mut i32) (i32.const 0))")
            .on(
                "proxy_on_configure",
                "(if (i32.eq (local.get $1) (i32.const 4)) (then (global.set $deadly (local.get $0))))",
            )
            .on("proxy_on_done", "(if (i32.eq (local.get $0) (global.get $deadly)) (then unreachable))");
        let house = House::new(WORKERS);
        let base = config("p", &guest);
        let plugin = house.load(&base);
        let counts = Counts::default();
        let work = |worker: usize| {
            for _ in 0..ROUNDS {
                let stream = open_in_time(&house, &plugin, worker);
                counts.count(&stream.request());
                stream.end();
            }
        };
        let deaths = with_workers(work, |_| drop(house.load(&configured(&base, "kill"))));
        let [well, crashed, lost] = counts.all();
        assert_eq!(well + crashed + lost, WORKERS * ROUNDS);
        assert_eq!(crashed, 0);
        // A death meets at most the one stream that each worker has open.
        assert!(lost <= deaths * WORKERS, "{lost} streams, {deaths} deaths");
        for worker in 0..WORKERS {
            let stream = open_in_time(&house, &plugin, worker);
            assert!(stream.request().is_ok());
            stream.end();
        }
    });
}

#[test]
fn workers_that_share_a_vm_take_turns() {
    in_bounded_time(|| {
        let guest = Guest::new().with("(global $count (mut i32) (i32.const 0))").on(
            "proxy_on_request_headers",
            "(global.set $count (i32.add (global.get $count) (i32.const 1)))",
        );
        let house = House::new(1);
        let base = config("p", &guest.on("proxy_on_log", "(call $say (global.get $count))"));
        let plugin = house.load(&base);
        with_workers(
            |worker| (0..ROUNDS).for_each(|_| serve(&plugin, worker)),
            |times| drop(house.load(&configured(&base, &times.to_string()))),
        );
        let stream = try_open(&plugin, 0).unwrap();
        stream.0.lease.lock().on_log(stream.0.stream).unwrap();
        assert_eq!(house.said(), [(WORKERS * ROUNDS).to_string()], "no request was lost, none counted twice");
        stream.end();
    });
}

#[test]
fn the_last_holder_may_be_any_thread() {
    in_bounded_time(|| {
        let house = House::new(WORKERS);
        let config = config("p", &fragile());
        // Every worker holds the plugin for a stream only, so it comes and goes all the time, under the others' feet.
        let work = |worker: usize| {
            for _ in 0..ROUNDS / 50 {
                let plugin = house.load(&config);
                let stream = try_open(&plugin, worker).unwrap();
                drop(plugin);
                stream.request().unwrap();
                stream.end();
            }
        };
        with_workers(work, |_| drop(house.load(&config)));
        let plugin = house.load(&config);
        assert_eq!(Arc::strong_count(&plugin), 1);
    });
}

#[test]
fn a_fault_of_ours_in_one_tick_leaves_the_thread_to_the_others() {
    let house = House::new(1);
    graft::lifecycle::agenda::work_off(house.registry.commons()).unwrap();
    let load = |name: &str| {
        let period = "(drop (call $proxy_set_tick_period_milliseconds (i32.const 1000)))";
        let guest = Guest::new().on("proxy_on_configure", period).on("proxy_on_tick", &word(name));
        house.load(&config(name, &guest))
    };
    let one = load("one");
    house.services.is_faulty.store(true, Ordering::Relaxed);
    house.pass(Duration::from_secs(1));
    // Whoever asks for a tick wakes the thread.
    let _two = load("two");
    assert!(eventually(|| one.pool().vms()[0].has_failed()));
    house.services.is_faulty.store(false, Ordering::Relaxed);
    house.pass(Duration::from_secs(1));
    let _three = load("three");
    assert!(eventually(|| house.services.log() == ["wasm log: two"]));
}
