//! What a VM counts for Graft's own statistics: traps by cause, deadlines that were missed, the time of calls, calls that
//! a limit refused.

use std::sync::atomic::Ordering;

use crate::background::pairs_text;
use crate::guest::{Guest, Running, exchange};

const FOR_EVER: &str = "(loop $again (br $again))";

/// Has the host call the guest's allocator.
const ALLOCATE: &str =
    r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))"#;

/// All statistics of a name, with the values of their labels.
fn statistics(vm: &Running, name: &str) -> Vec<(String, i64)> {
    let metrics = vm.services.metrics.lock();
    let named = metrics.iter().filter_map(|(key, value)| Some((key.strip_prefix(name)?, value)));
    named.map(|(labels, value)| (labels.to_owned(), value.load(Ordering::Relaxed))).collect()
}

/// The cause of the trap of request headers.
fn cause(guest: Guest) -> String {
    let mut vm = guest.named("p", "", "").start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap_err();
    let traps = statistics(&vm, "graft_traps.p.");
    let [(cause, 1)] = &traps[..] else { panic!("{traps:?}") };
    assert_eq!(vm.services.publications.load(Ordering::Relaxed), 1, "nobody needs to come by");
    cause.clone()
}

fn on_request(body: &str) -> Guest {
    Guest::new().on("proxy_on_request_headers", body)
}

#[test]
fn each_cause_of_a_trap_has_its_name() {
    assert_eq!(cause(on_request(FOR_EVER).deadlines(20_000, 50)), "deadline");
    assert_eq!(cause(on_request("unreachable")), "unreachable");
    assert_eq!(cause(on_request("(drop (i32.load (i32.const -8)))")), "trap");
    assert_eq!(cause(on_request("(drop (i32.div_u (i32.const 1) (i32.const 0)))")), "trap");
    let recursion =
        "(func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))";
    assert_eq!(cause(on_request("(drop (call $deeper (i32.const 0)))").with(recursion)), "stack");
    let greedy = "(if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))";
    assert_eq!(cause(on_request(greedy).limits(4 * 65_536, 100)), "memory");
}

#[test]
fn a_trap_of_the_allocator_is_told_apart() {
    assert_eq!(cause(on_request(ALLOCATE).export("malloc", "unreachable (i32.const 0)")), "allocator");
    let stuck = format!("{FOR_EVER} (i32.const 0)");
    let stuck = on_request(ALLOCATE).export("malloc", &stuck).deadlines(20_000, 50);
    assert_eq!(cause(stuck), "deadline", "what was not in time is that, wherever it was");
    let calling = format!("{ALLOCATE} (i32.const 0)");
    assert_eq!(cause(on_request(ALLOCATE).export("malloc", &calling)), "allocator");
}

#[test]
fn a_deadline_that_was_missed_says_which() {
    let mut vm = on_request(FOR_EVER).named("p", "", "").deadlines(20_000, 50).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap_err();
    assert_eq!(statistics(&vm, "graft_deadline_hits."), [("p.call".to_owned(), 1)]);
}

#[test]
fn each_64th_call_is_timed() {
    let mut vm = on_request("").named("p", "", "").start();
    // Each look at the clock takes three microseconds.
    vm.services.pace.store(3_000, Ordering::Relaxed);
    let stream = vm.open(exchange());
    let before = vm.services.now.load(Ordering::Relaxed);
    for _ in 0..640 {
        vm.request_headers(stream).unwrap();
    }
    let looks = (vm.services.now.load(Ordering::Relaxed) - before) / 3_000;
    assert_eq!(looks, 20, "two for each that is timed");
    let times = statistics(&vm, "graft_call_us.");
    assert_eq!(times, [("p.proxy_on_request_headers".to_owned(), 30)], "the sum of ten times");
}

#[test]
fn calls_that_a_limit_refuses_are_counted() {
    let headers = pairs_text(&[(":method", "POST"), (":path", "/check"), (":authority", "auth.local")]);
    let call = format!(
        r#"(drop (call $proxy_http_call (text "auth") {headers} (text "") {} (i32.const 1000) (i32.const 16)))"#,
        pairs_text(&[])
    );
    let guest =
        Guest::new().named("p", "", "").call_limits(1, 10_000).on("proxy_on_configure", &call.repeat(4));
    let vm = guest.start();
    assert_eq!(statistics(&vm, "graft_callouts_refused."), [("p".to_owned(), 3)]);
}
