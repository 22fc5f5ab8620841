//! Ticks: `proxy_set_tick_period_milliseconds`, and `proxy_on_tick` on the agenda, under a clock that the test moves.

use graft::host::testing::FakeStream;
use graft::host::types::Status;

use crate::background::{Background, pairs_text};
use crate::guest::{Guest, exchange, plugin};
use crate::phases::unusual;

/// Sets a period and says the status.
fn set(milliseconds: i64) -> String {
    crate::guest::say("proxy_set_tick_period_milliseconds", &[milliseconds])
}

/// A plugin that ticks every 100 milliseconds and says the root that does.
fn ticking() -> Guest {
    Guest::new().on("proxy_on_configure", &set(100)).on("proxy_on_tick", "(call $say (local.get $0))")
}

#[test]
fn the_first_tick_is_a_period_after_it_was_set_and_each_next_one_a_period_later() {
    let vm = Background::new(ticking());
    assert_eq!(vm.said(), ["0"], "the status");
    assert_eq!(vm.at(0), Some(100));
    assert_eq!(vm.at(99), Some(100));
    assert_eq!(vm.said(), [""; 0]);
    assert_eq!(vm.at(100), Some(200));
    assert_eq!(vm.said(), ["1"]);
    assert_eq!(vm.at(205), Some(305), "a period after it ran, not after it was due");
    assert_eq!(vm.said(), ["1"]);
}

#[test]
fn ticks_that_were_missed_are_not_made_up_for() {
    let vm = Background::new(ticking());
    vm.said();
    assert_eq!(vm.at(10_000), Some(10_100));
    assert_eq!(vm.said(), ["1"]);
}

#[test]
fn a_new_period_counts_from_when_it_is_set() {
    let vm = Background::new(
        ticking().on("proxy_on_request_headers", &set(30)).on("proxy_on_response_headers", &set(500)),
    );
    let stream = vm.open(exchange());
    vm.at(50);
    vm.lease.lock().on_headers(stream, graft::host::types::Direction::Request, true).unwrap();
    assert_eq!(vm.at(60), Some(80), "the root's tick, though a stream set it");
    assert_eq!(vm.said(), ["0", "0"]);
    assert_eq!(vm.at(80), Some(110));
    assert_eq!(vm.said(), ["1"], "and once: the old one is forgotten");
    vm.lease.lock().on_headers(stream, graft::host::types::Direction::Response, true).unwrap();
    assert_eq!(vm.at(110), Some(580));
}

#[test]
fn a_period_of_zero_ends_the_ticks() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", &set(100))
            .on("proxy_on_tick", &set(0))
            .on("proxy_on_request_headers", &set(1)),
    );
    assert_eq!(vm.at(100), None);
    assert_eq!(vm.said(), ["0", "0"]);
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, graft::host::types::Direction::Request, true).unwrap();
    assert_eq!(vm.at(100), Some(101), "and they can begin again");
}

#[test]
fn the_last_period_that_is_set_in_one_entry_point_counts() {
    let vm = Background::new(
        Guest::new().on("proxy_on_configure", &[set(5), set(0), set(70)].concat()).on("proxy_on_tick", ""),
    );
    assert_eq!(vm.at(0), Some(70));
}

#[test]
fn the_longest_period_is_longer_than_a_month() {
    let vm =
        Background::new(Guest::new().on("proxy_on_configure", &set(0xffff_ffff)).on("proxy_on_tick", ""));
    assert_eq!(vm.at(0), Some(0xffff_ffff));
}

#[test]
fn a_period_can_be_set_in_every_phase() {
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_set_tick_period_milliseconds", &[100]), []);
}

#[test]
fn a_plugin_without_the_entry_point_has_no_ticks() {
    let vm = Background::new(Guest::new().on("proxy_on_configure", &set(100)));
    assert_eq!(vm.said(), ["0"]);
    assert_eq!(vm.at(1000), None);
}

#[test]
fn each_root_has_its_own_period() {
    let vm = Background::new(
        Guest::new()
            .on(
                "proxy_on_configure",
                &format!("{} (if (i32.eq (local.get $0) (i32.const 2)) (then {}))", set(100), set(40)),
            )
            .on("proxy_on_tick", "(call $say (local.get $0))"),
    );
    vm.lease.lock().create_root(&std::sync::Arc::new(plugin(2, "second", b""))).unwrap();
    vm.said();
    assert_eq!(vm.at(40), Some(80));
    assert_eq!(vm.at(80), Some(100));
    assert_eq!(vm.at(100), Some(120));
    assert_eq!(vm.said(), ["2", "2", "1"]);
}

#[test]
fn each_vm_of_a_plugin_ticks() {
    let linked = ticking().link().unwrap();
    let (first, second) = (Background::of(&linked), Background::of(&linked));
    first.said();
    assert_eq!(first.at(100), Some(200));
    assert_eq!(second.said(), ["1", "1"]);
    drop(second);
    first.at(200);
    assert_eq!(first.said(), ["1"], "a VM that is gone does not");
}

/// A plugin whose next tick is due when the last one has ended, and that has `messages` in its queue. It says 1 for a tick and
/// 2 for a message, and does `also` then.
fn busy(messages: usize, also: &str) -> Background {
    let queue = "(i32.load (i32.const 16))";
    let push = format!("(drop (call $proxy_enqueue_shared_queue {queue} (text \"message\")))");
    let register = "(drop (call $proxy_register_shared_queue (text \"queue\") (i32.const 16)))";
    let take = format!(
        "(drop (call $proxy_dequeue_shared_queue {queue} (i32.const 8) (i32.const 12))) (call $say (i32.const 2))"
    );
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", &[register, &set(1)].concat())
            .on("proxy_on_request_headers", &push)
            .on("proxy_on_tick", "(call $say (i32.const 1))")
            .on("proxy_on_queue_ready", &[take, also.replace("PUSH", &push)].concat()),
    );
    for _ in 0..messages {
        let stream = vm.open(exchange());
        vm.lease.lock().on_headers(stream, graft::host::types::Direction::Request, true).unwrap();
    }
    vm.said();
    vm
}

/// Works off what comes in so many milliseconds, if a tick and a message take as long as that, and answers what was said.
fn work_for(vm: &Background, end: u64, tick: u64, message: u64) -> String {
    let millisecond = 1_000_000;
    let now = std::cell::Cell::new(millisecond);
    let lines = &vm.services.lines;
    let seen = std::cell::Cell::new(lines.lock().len());
    vm.commons.agenda.work(|| {
        let lines = lines.lock();
        for (_, line) in lines.iter().skip(seen.replace(lines.len())) {
            let took = if line.ends_with('1') { tick } else { message };
            now.set(now.get() + took * millisecond);
        }
        vm.services.now.store(now.get(), std::sync::atomic::Ordering::Relaxed);
        // No tick is due at the beginning of time.
        if now.get() > end * millisecond { 0 } else { now.get() }
    });
    vm.said().concat()
}

#[test]
fn ticks_without_end_leave_half_of_the_time_to_messages() {
    let vm = busy(40, "");
    let said = work_for(&vm, 400, 90, 9);
    let round = ["1", &"2".repeat(10)].concat();
    assert!(said.starts_with(&round.repeat(3)), "{said}");
}

#[test]
fn messages_without_end_leave_half_of_the_time_to_ticks() {
    let count = "(i32.store (i32.const 20) (i32.add (i32.const 1) (i32.load (i32.const 20))))";
    let vm =
        busy(1, &format!("(if (i32.lt_u (i32.load (i32.const 20)) (i32.const 50)) (then PUSH {count}))"));
    let said = work_for(&vm, 100, 2, 4);
    assert!(said.starts_with(&["12", &"112".repeat(10)].concat()), "{said}");
}

#[test]
fn a_retired_root_ticks_until_its_last_stream_has_ended() {
    let vm = Background::new(ticking());
    let stream = vm.open(FakeStream::default());
    vm.retire();
    vm.said();
    assert_eq!(vm.at(100), Some(200));
    assert_eq!(vm.said(), ["1"]);
    vm.lease.lock().end_stream(stream);
    assert_eq!(vm.at(200), None);
    assert_eq!(vm.said(), [""; 0]);
}

#[test]
fn a_root_that_waits_ticks_until_it_is_done() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", &set(100))
            .answer("proxy_on_done", 0, "")
            .on("proxy_on_tick", "(call $say (call $proxy_done))")
            .on("proxy_on_delete", "(call $say (local.get $0))"),
    );
    vm.retire();
    vm.said();
    assert_eq!(vm.at(99), Some(100));
    assert_eq!(vm.at(100), None, "what waits flushes what it has, and says so");
    assert_eq!(vm.said(), ["0", "1"]);
}

#[test]
fn a_period_set_at_the_very_end_has_no_tick_and_does_not_change_anothers() {
    let vm = Background::new(ticking().on("proxy_on_delete", &set(10)));
    vm.said();
    let mut entered = vm.lease.lock();
    let root = entered.root(vm.plugin.key).unwrap();
    entered.retire_root(root);
    // The place of the root that is gone is the next one's.
    entered.create_root(&std::sync::Arc::new(plugin(2, "second", b""))).unwrap();
    drop(entered);
    assert_eq!(vm.at(99), Some(100));
    assert_eq!(vm.at(100), Some(200));
    assert_eq!(vm.said(), ["0", "0", "2"]);
}

#[test]
fn a_tick_that_traps_is_logged_and_is_the_last() {
    let vm = Background::new(
        Guest::new()
            .named("careless", "", "")
            .on("proxy_on_configure", &set(100))
            .export("proxy_on_tick", "unreachable"),
    );
    let other = vm.open(FakeStream { is_wakeable: true, ..FakeStream::default() });
    vm.said();
    assert_eq!(vm.at(100), None);
    let lines = vm.services.log();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("graft: plugin \"careless\": Function: proxy_on_tick failed"), "{lines:?}");
    assert!(vm.lease.lock().has_failed());
    assert_eq!(vm.lease.lock().stream_mut(other).unwrap().stream.wakes.get(), 1, "its owner has to know");
}

#[test]
fn a_vm_that_failed_elsewhere_does_not_tick() {
    let vm = Background::new(ticking().export("proxy_on_request_headers", "unreachable"));
    vm.said();
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, graft::host::types::Direction::Request, true).unwrap_err();
    assert_eq!(vm.at(100), None);
    assert_eq!(vm.said(), [""; 0]);
}

#[test]
fn a_root_that_is_refused_has_no_ticks() {
    let refusing = format!("{} (i32.const 0)", set(100));
    let guest =
        Guest::new().export("proxy_on_configure", &refusing).on("proxy_on_tick", "(call $say (i32.const 9))");
    let linked = guest.link().unwrap();
    let mut vm = graft::host::vm::Vm::start(&linked.template).unwrap();
    vm.create_root(&linked.plugin).unwrap_err();
    vm.pass_on();
    assert_eq!(vm.commons().agenda.work(|| u64::MAX), None);
}

#[test]
fn a_tick_may_call_and_its_entry_point_runs_as_the_root() {
    let body = format!(
        r#"(drop (call $proxy_log (i32.const 2) (text "tick")))
           (call $say (call $proxy_http_call
               (text "keys") {} (text "") (text "") (i32.const 5) (i32.const 16)))"#,
        pairs_text(&[(":method", "GET"), (":path", "/"), (":authority", "keys")])
    );
    let vm = Background::new(
        Guest::new().named("name", "root", "vm").on("proxy_on_configure", &set(1)).on("proxy_on_tick", &body),
    );
    vm.services.lines.lock().clear();
    vm.at(1);
    // A root has no name before its root id, as in the built-in host.
    assert_eq!(vm.services.log(), ["wasm log root vm: tick", "wasm log root vm: 0"]);
    assert_eq!(vm.started().cluster, "keys");
}
