//! Time, memory and stack: a guest that takes too much ends, soon and alone, and says why.

use std::time::{Duration, Instant};

use graft::engine::Engine;
use graft::engine::code::{Code, Effort, Wasm};
use graft::host::types::HeadersAction;
use graft::host::vm::CallError;

use crate::guest::{Guest, Running, exchange};

const FOR_EVER: &str = "(loop $again (br $again))";

/// A guest that ran too long is ended within this time of its deadline, also on a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

/// How a call on request headers fails, and that it fails soon.
fn failure(mut vm: Running) -> String {
    let stream = vm.open(exchange());
    let begun = Instant::now();
    let error = vm.request_headers(stream).unwrap_err();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(vm.vm.has_failed());
    vm.vm.end_stream(stream);
    error.to_string()
}

#[test]
fn a_call_that_does_not_return_is_ended_at_its_deadline() {
    let begun = Instant::now();
    let error = failure(Guest::new().deadlines(20_000, 50).on("proxy_on_request_headers", FOR_EVER).start());
    assert!(begun.elapsed() >= Duration::from_millis(50), "not before it");
    assert!(
        error.starts_with(
            "Function: proxy_on_request_headers failed: did not return within \
             graft.limits.call_deadline (50ms)"
        ),
        "{error}"
    );
    assert!(error.contains("in-VM backtrace"), "{error}");
}

#[test]
fn recursion_without_a_loop_is_ended_too() {
    let fibonacci = "(func $slow (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add
                (call $slow (i32.sub (local.get 0) (i32.const 1)))
                (call $slow (i32.sub (local.get 0) (i32.const 2)))))))";
    let guest = Guest::new().deadlines(20_000, 50).with(fibonacci);
    let error = failure(guest.on("proxy_on_request_headers", "(drop (call $slow (i32.const 60)))").start());
    assert!(error.contains("did not return within"), "{error}");
}

#[test]
fn a_start_that_does_not_return_is_ended_at_its_own_deadline() {
    for entry in
        ["_initialize", "_start", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"]
    {
        let begun = Instant::now();
        let started = Guest::new().deadlines(50, 20_000).on(entry, FOR_EVER).try_start();
        let error = started.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(&format!("Function: {entry} failed: did not return within")), "{error}");
        assert!(begun.elapsed() < SOON, "{entry}");
    }
}

#[test]
fn a_start_section_that_does_not_return_is_ended() {
    let begun = Instant::now();
    let guest = Guest::new().deadlines(50, 20_000).with(&format!("(func $begin {FOR_EVER}) (start $begin)"));
    let error = guest.try_start().map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("cannot be instantiated: did not return within"), "{error}");
    assert!(begun.elapsed() < SOON);
}

#[test]
fn an_allocator_that_does_not_return_is_ended() {
    let vm = Guest::new()
        .deadlines(20_000, 50)
        .export("malloc", &format!("{FOR_EVER} (i32.const 0)"))
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))"#,
        )
        .start();
    let error = failure(vm);
    assert!(error.contains("did not return within"), "{error}");
}

#[test]
fn a_guest_that_logs_for_ever_is_ended() {
    let log = r#"(loop $again (drop (call $proxy_log (i32.const 2) (text "again"))) (br $again))"#;
    let error = failure(Guest::new().deadlines(20_000, 50).on("proxy_on_request_headers", log).start());
    assert!(error.contains("did not return within"), "{error}");
}

#[test]
fn a_guest_that_prints_for_ever_is_ended() {
    let print = "(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 65536))
        (loop $again (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))) (br $again))";
    let vm = Guest::new()
        .deadlines(20_000, 20)
        .log_level(graft::telemetry::Level::Error)
        .import(r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#)
        .on("proxy_on_request_headers", print)
        .start();
    let error = failure(vm);
    assert!(error.contains("did not return within"), "{error}");
}

#[test]
fn each_call_has_the_whole_deadline_again() {
    // Calls of about 30 ms under a deadline of a second, which all of them together exceed.
    let busy = "(local $left i32)
        (loop $again
            (drop (call $proxy_get_current_time_nanoseconds (i32.const 8)))
            (br_if $again (i32.lt_u (local.tee $left (i32.add (local.get $left) (i32.const 1))) (i32.const 1000))))";
    let mut vm = Guest::new().deadlines(20_000, 1000).on("proxy_on_request_headers", busy).start();
    let stream = vm.open(exchange());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(vm.request_headers(stream), Ok(HeadersAction::Continue));
    }
}

#[test]
fn unbounded_recursion_is_a_trap_of_the_guest() {
    let vm = Guest::new()
        .with("(func $deeper (param i32) (result i32) (i32.add (i32.const 1) (call $deeper (local.get 0))))")
        .on("proxy_on_request_headers", "(drop (call $deeper (i32.const 0)))")
        .start();
    let error = failure(vm);
    assert!(error.contains("call stack exhausted"), "{error}");
}

#[test]
fn recursion_has_as_much_stack_as_a_small_thread_leaves() {
    // The guest's stack lies on ours; hostcalls at its deepest point must still find room.
    let vm = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
        let vm = Guest::new()
            .with(
                "(func $deeper (result i32)
                    (drop (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 8) (i32.const 12)))
                    (i32.add (i32.const 1) (call $deeper)))",
            )
            .on("proxy_on_request_headers", "(drop (call $deeper))")
            .export("malloc", "(i32.const 70000)")
            .start();
        failure(vm)
    });
    let error = vm.unwrap().join().unwrap();
    assert!(error.contains("call stack exhausted"), "{error}");
}

#[test]
fn memory_grows_to_its_limit_and_the_guest_is_told_no_beyond_it() {
    let pages = 8;
    let mut vm = Guest::new()
        .limits(pages * 65_536, 1000)
        .on(
            "proxy_on_request_headers",
            "(call $say (memory.grow (i32.const 6))) (call $say (memory.grow (i32.const 1))) (call $say (memory.size))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["2", "4294967295", "8"]);
    assert_eq!(vm.vm.memory_bytes(), pages * 65_536);
}

#[test]
fn a_trap_after_a_refused_growth_says_what_was_refused() {
    let vm = Guest::new()
        .limits(4 * 65_536, 1000)
        .on(
            "proxy_on_request_headers",
            "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))",
        )
        .start();
    let error = failure(vm);
    assert!(
        error.contains(
            "; before that, memory of 6684672 bytes was refused: graft.limits.memory_bytes is 262144"
        ),
        "{error}"
    );
}

#[test]
fn code_that_begins_with_more_than_its_limits_does_not_start() {
    let large = Guest::new().limits(65_536, 1000).try_start().map(|_| ()).unwrap_err().to_string();
    assert!(large.starts_with("cannot be instantiated") && large.contains("memory"), "{large}");
    let table = Guest::new().limits(16 * 65_536, 10).with("(table 11 funcref)").try_start();
    let table = table.map(|_| ()).unwrap_err().to_string();
    assert!(table.starts_with("cannot be instantiated") && table.contains("table"), "{table}");
}

#[test]
fn code_with_the_largest_sizes_that_can_be_written_is_refused() {
    let engine = Engine::new().unwrap();
    let refusal = |guest: Guest| {
        Code::compile(&engine, &Wasm::new(guest.wasm()), Effort::FULL, None).unwrap_err().to_string()
    };
    let memory = refusal(Guest::new().memory(r#"(memory (export "memory") 65536)"#));
    assert!(memory.contains("exceeds the limit of 0x40000000"), "{memory}");
    let table = refusal(Guest::new().with("(table 0xffffffff funcref)"));
    assert!(table.contains("exceeds the limit of 1000000"), "{table}");
    let memories = refusal(Guest::new().memory(r#"(memory (export "memory") 2) (memory 1)"#));
    assert!(memories.contains("memories count of 2 exceeds"), "{memories}");
    let tables = refusal(Guest::new().with(&"(table 1 funcref)".repeat(5)));
    assert!(tables.contains("tables count of 5 exceeds"), "{tables}");
}

/// Runs one hostcall again and again in `proxy_on_request_body` and says how often it succeeded and what ended that.
fn repeated(hostcall: &str) -> (usize, String, graft::host::testing::FakeStream) {
    let body = format!(
        "(local $count i32) (local $status i32)
         (loop $again
            (i32.store16 (i32.const 16) (local.get $count))
            (br_if $again (i32.and
                (i32.eqz (local.tee $status {hostcall}))
                (i32.lt_u (local.tee $count (i32.add (local.get $count) (i32.const 1))) (i32.const 60000)))))
         (call $say (local.get $count)) (call $say (local.get $status))"
    );
    let mut vm = Guest::new()
        .limits(4 * 65_536, 10)
        .allowing_stop_iteration()
        .answer("proxy_on_request_headers", 1, "")
        .on("proxy_on_request_body", &body)
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.request_body(stream).unwrap();
    let said = vm.said();
    let left = vm.stream(stream).clone();
    // The next call begins anew.
    vm.request_body(stream).unwrap();
    assert_eq!(vm.said().len(), 2);
    (said[0].parse().unwrap(), said[1].clone(), left)
}

#[test]
fn what_the_proxy_keeps_for_a_guest_in_one_call_is_bounded_by_its_memory() {
    // Values of 1,000 bytes under a limit of 256 KiB; each counts 128 bytes more, and the names of two.
    let (count, status, stream) = repeated(
        "(call $proxy_add_header_map_value (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 1000) (i32.const 1000))",
    );
    assert_eq!((count, status.as_str()), (231 + 1, "10"), "the last one was refused");
    assert_eq!(stream.request_headers.unwrap().len(), 5 + 231);

    let (count, status, stream) =
        repeated("(call $proxy_set_property (i32.const 16) (i32.const 2) (i32.const 1000) (i32.const 1000))");
    assert_eq!((count, status.as_str()), (231 + 1, "10"));
    assert_eq!(stream.properties.len(), 1 + 231);

    let (count, status, stream) = repeated(
        "(call $proxy_set_buffer_bytes (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 1000) (i32.const 1000))",
    );
    assert_eq!((count, status.as_str()), (232 + 1, "10"));
    assert_eq!(stream.request_body.1.len(), 5 + 232 * 1000);
}

#[test]
fn what_the_proxy_keeps_with_a_stream_is_bounded_however_many_calls_ask() {
    let adds = "
        (drop (call $proxy_add_header_map_value
            (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 1000) (i32.const 60000)))";
    let mut vm = Guest::new()
        .allowing_stop_iteration()
        .answer("proxy_on_request_headers", 1, "")
        .answer("proxy_on_request_body", 1, adds)
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let before = vm.stream(stream).request_headers.as_ref().unwrap().len();
    for _ in 0..200 {
        vm.request_body(stream).unwrap();
    }
    // 4 MiB of 60,130 bytes each.
    assert_eq!(vm.stream(stream).request_headers.as_ref().unwrap().len(), before + 69);
    // Another stream has as much of its own.
    let other = vm.open(exchange());
    vm.request_headers(other).unwrap();
    vm.request_body(other).unwrap();
    assert_eq!(vm.stream(other).request_headers.as_ref().unwrap().len(), before + 1);
}

#[test]
fn empty_entries_are_bounded_too() {
    let (count, status, _) = repeated(
        "(call $proxy_add_header_map_value (i32.const 0) (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 0))",
    );
    assert_eq!(status, "10");
    assert!(count < 4 * 65_536 / 128, "{count}");
    let (count, status, _) =
        repeated("(call $proxy_set_header_map_pairs (i32.const 0) (i32.const 0) (i32.const 0))");
    assert_eq!(status, "10");
    assert!(count < 4 * 65_536 / 127, "{count}");
}

#[test]
fn tables_grow_to_their_limit() {
    let mut vm = Guest::new()
        .limits(16 * 65_536, 10)
        .with("(table $table 1 funcref)")
        .on(
            "proxy_on_request_headers",
            "(call $say (table.grow $table (ref.null func) (i32.const 9)))
             (call $say (table.grow $table (ref.null func) (i32.const 1)))
             (call $say (table.grow $table (ref.null func) (i32.const -1)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["1", "4294967295", "4294967295"]);
}

#[test]
fn the_deadline_strikes_on_every_thread_at_once() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                failure(Guest::new().deadlines(20_000, 50).on("proxy_on_request_headers", FOR_EVER).start())
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().contains("did not return within"));
    }
}

#[test]
fn a_vm_may_move_between_threads() {
    let mut vm = Guest::new().on("proxy_on_request_headers", "(call $say (local.get $0))").start();
    let stream = vm.open(exchange());
    let mut vm = std::thread::spawn(move || {
        vm.request_headers(stream).unwrap();
        vm
    })
    .join()
    .unwrap();
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::Continue));
    assert_eq!(vm.said(), ["2", "2"]);
    assert_ne!(vm.request_headers(stream), Err(CallError::VmFailed));
}
