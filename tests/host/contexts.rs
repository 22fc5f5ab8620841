//! Contexts: ids, acting for another one, and how roots end.

use graft::host::contexts::{ContextId, StreamIndex};
use graft::host::stream::Effect;
use graft::host::types::{Direction, Status};

use crate::guest::{Guest, Running, exchange, plugin};
use crate::phases::unusual;

/// Says the ids that an entry point is called with.
const IDS: &str = "(call $say (local.get $0)) (call $say (local.get $1))";
const ID: &str = "(call $say (local.get $0))";

#[test]
fn ids_count_from_one_and_a_stream_knows_its_root() {
    let mut vm = Guest::new().on("proxy_on_context_create", IDS).start();
    vm.add(plugin(2, "", b"")).unwrap();
    vm.open(exchange());
    assert_eq!(vm.said(), ["1", "0", "2", "0", "3", "1"]);
}

#[test]
fn an_id_is_not_used_again() {
    let mut vm = Guest::new().on("proxy_on_context_create", ID).start();
    for _ in 0..3 {
        let stream = vm.open(exchange());
        vm.vm.end_stream(stream);
    }
    assert_eq!(vm.said(), ["1", "2", "3", "4"]);
    let stream = vm.open(exchange());
    assert_eq!(vm.vm.stream_mut(stream).unwrap().id, ContextId(5));
}

#[test]
fn a_stream_lives_from_create_to_delete() {
    let mut vm = Guest::new()
        .on("proxy_on_context_create", ID)
        .on("proxy_on_log", ID)
        .answer("proxy_on_done", 0, ID)
        .on("proxy_on_delete", ID)
        .start();
    let stream = vm.open(exchange());
    vm.said();
    vm.vm.on_log(stream).unwrap();
    vm.vm.end_stream(stream);
    assert_eq!(vm.said(), ["2", "2", "2"], "a stream cannot wait: what it answers to done is not looked at");
    assert!(vm.vm.stream_mut(stream).is_none());
}

#[test]
fn done_is_said_once_whether_early_or_at_the_end() {
    let mut vm = Guest::new()
        .answer("proxy_on_done", 0, r#"(drop (call $proxy_log (i32.const 2) (text "done")))"#)
        .on("proxy_on_log", r#"(drop (call $proxy_log (i32.const 2) (text "log")))"#)
        .on("proxy_on_delete", r#"(drop (call $proxy_log (i32.const 2) (text "delete")))"#)
        .start();
    let (first, second) = (vm.open(exchange()), vm.open(exchange()));
    vm.vm.on_done(first).unwrap();
    vm.vm.on_done(first).unwrap();
    vm.vm.on_log(first).unwrap();
    vm.vm.end_stream(first);
    assert_eq!(vm.said(), ["done", "log", "delete"]);
    vm.vm.end_stream(second);
    assert_eq!(vm.said(), ["done", "delete"]);
}

#[test]
fn two_streams_are_told_apart() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            r#"(call $say (local.get $0))
               (drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#,
        )
        .start();
    let first = vm.open(exchange());
    let mut other = exchange();
    other.request_headers = graft::host::testing::pairs(&[(":path", "/other")]);
    let second = vm.open(other);
    vm.request_headers(second).unwrap();
    vm.request_headers(first).unwrap();
    assert_eq!(vm.said(), ["3", "/other", "2", "/a"]);
}

#[test]
fn a_live_context_can_be_acted_for_and_others_cannot() {
    let rows: &[&[i64]] = &[&[1], &[2], &[0], &[3], &[0xffff_ffff]];
    let mut vm =
        Guest::new().calling("proxy_on_request_headers", "proxy_set_effective_context", rows).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0", "0", "2", "2"]);
    assert_eq!(unusual(Guest::new(), Status::BadArgument, "proxy_set_effective_context", &[77]), []);
}

#[test]
fn a_context_that_ended_cannot_be_acted_for() {
    let mut vm =
        Guest::new().calling("proxy_on_request_headers", "proxy_set_effective_context", &[&[2]]).start();
    let first = vm.open(exchange());
    let second = vm.open(exchange());
    vm.vm.end_stream(first);
    vm.request_headers(second).unwrap();
    assert_eq!(vm.said(), ["2"]);
}

#[test]
fn acting_for_another_stream_reaches_its_maps_and_effects() {
    let mut vm = Guest::new()
        .allowing_stop_iteration()
        .answer("proxy_on_request_headers", 1, "")
        .on(
            "proxy_on_request_body",
            r#"(call $say (call $proxy_set_effective_context (i32.const 2)))
               (drop (call $proxy_add_header_map_value (i32.const 0) (text "from") (text "3")))
               (drop (call $proxy_continue_stream (i32.const 0)))"#,
        )
        .start();
    let first = vm.open(exchange());
    let second = vm.open(exchange());
    vm.request_headers(first).unwrap();
    vm.request_body(second).unwrap();
    assert_eq!(vm.stream(first).request_headers.as_ref().unwrap().last().unwrap().0, b"from");
    assert_eq!(vm.stream(second).clone(), exchange());
    assert_eq!(vm.effects(first), [Effect::Continue(Direction::Request)]);
    assert_eq!(vm.effects(second), []);
}

/// How often a stream was woken, after a thread that was inside has left.
fn wakes(vm: &mut Running, stream: StreamIndex) -> usize {
    vm.vm.pass_on();
    vm.stream(stream).wakes.get()
}

#[test]
fn a_stream_that_got_effects_from_another_is_told_of_once() {
    let ask = "(drop (call $proxy_set_effective_context (i32.const 2)))
        (drop (call $proxy_continue_stream (i32.const 0)))
        (drop (call $proxy_continue_stream (i32.const 1)))
        (drop (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))";
    let mut vm = Guest::new().on("proxy_on_request_headers", ask).start();
    let (first, second) = (vm.open(exchange()), vm.open(exchange()));
    vm.request_headers(second).unwrap();
    assert_eq!(wakes(&mut vm, first), 1);
    assert_eq!(wakes(&mut vm, first), 1);
    assert_eq!(vm.effects(first).len(), 2);
    vm.request_headers(first).unwrap();
    vm.effects(first);
    assert_eq!(wakes(&mut vm, first), 1, "whoever runs a stream takes its effects himself");
}

#[test]
fn a_guest_that_wakes_others_for_ever_does_not_fill_memory() {
    let ask = "(local $left i32) (local.set $left (i32.const 100000))
        (drop (call $proxy_set_effective_context (i32.const 2)))
        (loop $again
            (drop (call $proxy_continue_stream (i32.const 0)))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let mut vm = Guest::new().on("proxy_on_request_headers", ask).start();
    let (first, second) = (vm.open(exchange()), vm.open(exchange()));
    vm.request_headers(second).unwrap();
    assert_eq!(wakes(&mut vm, first), 1);
}

#[test]
fn acting_for_another_ends_with_the_entry_point() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            "(drop (call $proxy_set_effective_context (i32.const 1)))
             (call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))",
        )
        .on(
            "proxy_on_response_headers",
            "(call $say (call $proxy_get_header_map_size (i32.const 2) (i32.const 8)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.response_headers(stream).unwrap();
    assert_eq!(vm.said(), ["2", "0"]);
}

#[test]
fn acting_for_context_zero_is_acting_for_oneself_again() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            "(drop (call $proxy_set_effective_context (i32.const 1)))
             (call $say (call $proxy_set_effective_context (i32.const 0)))
             (call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0"]);
}

#[test]
fn acting_for_another_root_does_not_show_its_configuration() {
    let mut vm = Guest::new()
        .configuration("a secret")
        .on(
            "proxy_on_configure",
            "(call $say (call $proxy_get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))
             (drop (call $proxy_set_effective_context (i32.const 1)))
             (call $say (call $proxy_get_buffer_bytes (i32.const 7) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))",
        )
        .start();
    assert_eq!(vm.said(), ["0", "0"], "oneself is fine");
    vm.add(plugin(2, "", b"own")).unwrap();
    assert_eq!(vm.said(), ["0", "1"]);
}

#[test]
fn the_log_names_the_plugin_that_is_acted_for() {
    let mut vm = Guest::new()
        .named("one", "", "")
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_set_effective_context (i32.const 3)))
               (drop (call $proxy_log (i32.const 2) (text "hello")))"#,
        )
        .start();
    let two = vm.add(plugin(2, "two", b"")).unwrap();
    vm.vm.create_stream(two, exchange()).unwrap();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.services.log(), ["wasm log two: hello"]);
}

#[test]
fn a_root_without_streams_ends_at_once() {
    let mut vm = Guest::new().on("proxy_on_done", ID).on("proxy_on_delete", ID).start();
    let root = vm.root();
    vm.vm.retire_root(root);
    assert_eq!(vm.said(), ["1", "1"]);
    assert_eq!(vm.vm.root(vm.plugin.key), None);
}

#[test]
fn a_root_ends_with_its_last_stream() {
    let mut vm = Guest::new().on("proxy_on_done", ID).on("proxy_on_delete", ID).start();
    let root = vm.root();
    let (first, second) = (vm.open(exchange()), vm.open(exchange()));
    vm.vm.retire_root(root);
    assert_eq!(vm.said(), [""; 0]);
    assert_eq!(vm.vm.root(vm.plugin.key), None, "nobody finds it for new streams");
    vm.vm.end_stream(first);
    assert_eq!(vm.said(), ["2", "2"]);
    vm.vm.end_stream(second);
    assert_eq!(vm.said(), ["3", "3", "1", "1"]);
}

#[test]
fn a_root_that_waits_is_deleted_when_its_guest_says_done() {
    let mut vm = Guest::new()
        .answer("proxy_on_done", 0, "(call $say (call $proxy_done))")
        .on("proxy_on_delete", ID)
        .on(
            "proxy_on_request_headers",
            "(call $say (call $proxy_done))
             (drop (call $proxy_set_effective_context (i32.const 1)))
             (call $say (call $proxy_done)) (call $say (call $proxy_done))",
        )
        .start();
    let other = vm.add(plugin(2, "", b"")).unwrap();
    let stream = vm.vm.create_stream(other, exchange()).unwrap();
    let root = vm.root();
    vm.vm.retire_root(root);
    assert_eq!(vm.said(), ["1"], "inside proxy_on_done it does not wait yet");
    vm.request_headers(stream).unwrap();
    // The stream's own plugin does not wait; the first root does, once; and it is deleted after this entry point.
    assert_eq!(vm.said(), ["1", "0", "1", "1"]);
    vm.vm.end_stream(stream);
    assert_eq!(vm.said(), ["1", "3"]);
}

#[test]
fn all_roots_that_said_done_are_deleted_after_the_call() {
    let mut vm = Guest::new()
        .answer("proxy_on_done", 0, "")
        .on("proxy_on_delete", ID)
        .on(
            "proxy_on_request_headers",
            "(drop (call $proxy_set_effective_context (i32.const 1))) (drop (call $proxy_done))
             (drop (call $proxy_set_effective_context (i32.const 2))) (drop (call $proxy_done))",
        )
        .start();
    let (first, second) = (vm.root(), vm.add(plugin(2, "", b"")).unwrap());
    let third = vm.add(plugin(3, "", b"")).unwrap();
    let stream = vm.vm.create_stream(third, exchange()).unwrap();
    vm.vm.retire_root(first);
    vm.vm.retire_root(second);
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["1", "2"]);
}

#[test]
fn a_root_is_told_that_it_is_done_only_once() {
    let mut vm = Guest::new().answer("proxy_on_done", 0, ID).on("proxy_on_delete", ID).start();
    let root = vm.root();
    vm.vm.retire_root(root);
    vm.vm.retire_root(root);
    assert_eq!(vm.said(), ["1"]);
}

#[test]
fn the_status_of_no_callout_is_zero_without_a_message() {
    let vm = Guest::new()
        .export("malloc", "unreachable")
        .on(
            "proxy_on_configure",
            "(i32.store (i32.const 16) (i32.const -1)) (i64.store (i32.const 8) (i64.const -1))
             (call $say (call $proxy_get_status (i32.const 16) (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 16))) (call $say64 (i64.load (i32.const 8)))",
        )
        .start();
    assert_eq!(vm.said(), ["0", "0", "0"]);
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_get_status", &[16, 8, 12]), []);
}

#[test]
fn done_is_not_found_wherever_nobody_waits() {
    assert_eq!(unusual(Guest::new(), Status::NotFound, "proxy_done", &[]), []);
}

#[test]
fn a_place_that_is_free_takes_the_next_stream_with_its_own_state() {
    let mut vm = Guest::new().on("proxy_on_request_headers", ID).start();
    let first = vm.open(exchange());
    vm.request_headers(first).unwrap();
    vm.vm.end_stream(first);
    let second = vm.open(graft::host::testing::FakeStream::default());
    assert_eq!(first, second, "the place");
    vm.request_headers(second).unwrap();
    assert_eq!(vm.said(), ["2", "3"]);
    assert_eq!(*vm.stream(second), graft::host::testing::FakeStream::default());
}

#[test]
fn thousands_of_streams_come_and_go_in_any_order() {
    let mut vm = Guest::new().on("proxy_on_request_headers", "").start();
    let mut open = Vec::new();
    for round in 0..5_000_usize {
        let stream = vm.open(exchange());
        open.push(stream);
        if round % 3 != 0 {
            let ended = open.swap_remove(round * 7919 % open.len());
            vm.vm.end_stream(ended);
        }
    }
    for stream in open {
        vm.request_headers(stream).unwrap();
        vm.vm.end_stream(stream);
    }
    let root = vm.root();
    vm.vm.retire_root(root);
    assert_eq!(vm.vm.root(vm.plugin.key), None);
}
