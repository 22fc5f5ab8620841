//! Replies to HTTP calls: `proxy_on_http_call_response`, what can be read inside and outside of it, and whose it is.

use graft::host::calls::{Incoming, Reply, Start, Token};
use graft::host::contexts::StreamIndex;
use graft::host::stream::Effect;
use graft::host::testing::FakeStream;
use graft::host::types::Direction;

use crate::background::{Background, exchange_of, owned, pairs_text};
use crate::guest::{Guest, exchange};

const ENTRY: &str = "proxy_on_http_call_response";

/// A call whose token is 4 the first time.
fn call() -> String {
    let headers = pairs_text(&[(":method", "GET"), (":path", "/"), (":authority", "a")]);
    format!(
        r#"(drop (call $proxy_http_call (text "a") {headers} (text "") (text "") (i32.const 0) (i32.const 16)))"#
    )
}

/// Says the five numbers of a reply.
const SAY: &str = "(call $say (local.get $0)) (call $say (local.get $1)) (call $say (local.get $2))
    (call $say (local.get $3)) (call $say (local.get $4))";

/// Says status and value of a header.
fn get(map: u32, name: &str) -> String {
    format!(
        r#"(i64.store (i32.const 8) (i64.const 0))
           (call $say (call $proxy_get_header_map_value (i32.const {map}) (text "{name}") (i32.const 8) (i32.const 12)))
           (call $show (i32.const 8))"#
    )
}

/// Says status and bytes of a buffer.
fn buffer(number: u32) -> String {
    format!(
        "(i64.store (i32.const 8) (i64.const 0))
         (call $say (call $proxy_get_buffer_bytes
             (i32.const {number}) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))
         (call $show (i32.const 8))"
    )
}

/// Says code and message of the last call.
const STATUS: &str = "(i64.store (i32.const 8) (i64.const 0))
    (call $say (call $proxy_get_status (i32.const 20) (i32.const 8) (i32.const 12)))
    (call $say (i32.load (i32.const 20))) (call $show (i32.const 8))";

fn reply() -> Reply {
    Reply::Http {
        headers: owned(&[(":status", "200"), ("x-a", "1"), ("x-empty", "")]),
        body: b"hello".to_vec(),
        trailers: owned(&[("x-t", "2")]),
    }
}

/// A guest that calls when it is configured.
fn configured(body: &str) -> Background {
    let vm = Background::new(Guest::new().on("proxy_on_configure", &call()).on(ENTRY, body));
    vm.started();
    vm
}

#[test]
fn a_reply_is_told_with_the_sizes_of_its_parts_to_the_root() {
    let vm = configured(SAY);
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["1", "4", "3", "5", "1"]);
}

#[test]
fn a_reply_comes_together_from_its_pieces_and_is_told_once() {
    let vm = Background::new(Guest::new().on("proxy_on_configure", &call()).on(ENTRY, SAY));
    let mut exchange = exchange_of(vm.started());
    vm.feed(&mut exchange, Incoming::Headers(&[(b":status", b"200")], false));
    vm.feed(&mut exchange, Incoming::Data(b"12", false));
    vm.feed(&mut exchange, Incoming::Data(b"345", false));
    assert_eq!(vm.said(), [""; 0]);
    vm.feed(&mut exchange, Incoming::Trailers(&[(b"t", b"1"), (b"u", b"2")]));
    vm.feed(&mut exchange, Incoming::Complete);
    assert_eq!(vm.said(), ["1", "4", "1", "5", "2"]);
}

#[test]
fn its_maps_and_its_body_are_read_while_it_is_told() {
    let body =
        [get(6, ":status"), get(6, "X-A"), get(6, "x-empty"), get(6, "none"), get(7, "x-t"), buffer(4)];
    let vm = configured(&body.concat());
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["0", "200", "0", "1", "0", "", "1", "", "0", "2", "0", "hello"]);
}

#[test]
fn all_pairs_are_encoded_like_those_of_a_stream() {
    let pairs = |map: u32| {
        format!(
            "(call $say (call $proxy_get_header_map_pairs (i32.const {map}) (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 12)))
             (if (i32.load (i32.const 12)) (then (call $say (i32.load (i32.load (i32.const 8))))))"
        )
    };
    let vm = configured(&[pairs(6), pairs(7), pairs(4)].concat());
    vm.reply(Token(4), reply());
    let lengths = [4 + 3 * 8 + ":status".len() + 5 + 3 + 3 + 7 + 2, 4 + 8 + 3 + 3];
    assert_eq!(
        vm.said(),
        ["0", &lengths[0].to_string(), "3", "0", &lengths[1].to_string(), "1", "0", "0"],
        "an absent map is an empty list"
    );
}

#[test]
fn a_part_of_the_body_can_be_read_and_its_size_asked() {
    let vm = configured(
        "(call $say (call $proxy_get_buffer_bytes
             (i32.const 4) (i32.const 1) (i32.const 3) (i32.const 8) (i32.const 12)))
         (call $show (i32.const 8))
         (call $say (call $proxy_get_buffer_status (i32.const 4) (i32.const 8) (i32.const 12)))
         (call $say (i32.load (i32.const 8)))",
    );
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["0", "ell", "0", "5"]);
}

#[test]
fn a_reply_cannot_be_changed() {
    let vm = configured(
        r#"(call $say (call $proxy_add_header_map_value (i32.const 6) (text "a") (text "b")))
           (call $say (call $proxy_replace_header_map_value (i32.const 6) (text ":status") (text "b")))
           (call $say (call $proxy_remove_header_map_value (i32.const 7) (text "x-t")))
           (call $say (call $proxy_get_header_map_size (i32.const 6) (i32.const 8)))
           (call $say (call $proxy_set_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 5) (text "b")))"#,
    );
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["2", "2", "2", "2", "2"]);
}

#[test]
fn parts_that_a_reply_lacks_are_absent() {
    let body = [SAY, &get(7, "x-t"), &get(4, "x"), &get(5, "x"), &buffer(4), &buffer(5)].concat();
    let vm = configured(&body);
    vm.reply(Token(4), Reply::Http { headers: vec![], body: vec![], trailers: vec![] });
    assert_eq!(vm.said(), ["1", "4", "0", "0", "0", "2", "", "2", "", "2", "", "0", "", "0", ""]);
}

#[test]
fn outside_of_its_entry_point_a_reply_is_not_there() {
    let body = [get(6, ":status"), get(7, "x-t"), buffer(4), buffer(5)].concat();
    let vm = Background::new(
        Guest::new().on("proxy_on_configure", &call()).on(ENTRY, "").on("proxy_on_request_headers", &body),
    );
    let stream = vm.open(exchange());
    for _ in 0..2 {
        vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
        assert_eq!(vm.said(), ["2", "", "2", "", "1", "", "0", ""]);
        vm.reply(Token(4), reply());
    }
}

#[test]
fn a_call_that_failed_is_told_without_parts_and_its_status_says_why() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", &call())
            .on(ENTRY, &[SAY, STATUS].concat())
            .on("proxy_on_request_headers", STATUS),
    );
    let mut exchange_of_it = exchange_of(vm.started());
    vm.feed(&mut exchange_of_it, Incoming::Headers(&[(b":status", b"200")], false));
    vm.feed(&mut exchange_of_it, Incoming::Reset);
    assert_eq!(vm.said(), ["1", "4", "0", "0", "0", "0", "11", "reset"]);
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["0", "11", ""], "the code stays, the message does not");
}

#[test]
fn a_token_is_told_once_and_others_not_at_all() {
    let vm = configured(SAY);
    for token in [0, 3, 5, 8, u32::MAX] {
        vm.reply(Token(token), reply());
    }
    assert_eq!(vm.said(), [""; 0]);
    vm.reply(Token(4), reply());
    assert_eq!(vm.said().len(), 5);
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), [""; 0]);
}

#[test]
fn several_calls_are_told_in_the_order_of_their_replies() {
    let vm = Background::new(
        Guest::new()
            .on("proxy_on_configure", &[call(), call(), call()].concat())
            .on(ENTRY, "(call $say (local.get $1))"),
    );
    vm.commands();
    for token in [8, 12, 4] {
        vm.reply(Token(token), reply());
    }
    assert_eq!(vm.said(), ["8", "12", "4"]);
}

#[test]
fn a_reply_may_call_again() {
    let vm = configured(&["(call $say (local.get $1))", &call()].concat());
    vm.reply(Token(4), reply());
    assert_eq!(vm.started().token, Token(8));
    vm.reply(Token(8), reply());
    assert_eq!(vm.said(), ["4", "8"]);
}

#[test]
fn a_plugin_without_the_entry_point_is_not_entered_and_the_call_is_over() {
    let vm = Background::new(
        Guest::new()
            .call_limits(1, 1000)
            .on("proxy_on_configure", &call())
            .on("proxy_on_request_headers", &call().replace("(drop", "(call $say")),
    );
    vm.reply(Token(4), reply());
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["0"], "its place is free");
}

#[test]
fn a_reply_that_traps_is_logged_and_ends_all_calls() {
    let vm = Background::new(
        Guest::new()
            .named("careless", "", "")
            .on("proxy_on_configure", &[call(), call()].concat())
            .export(ENTRY, "unreachable"),
    );
    let waiting = vm.open(FakeStream::default());
    vm.commands();
    vm.reply(Token(4), reply());
    let lines = vm.services.log();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("graft: plugin \"careless\": Function: proxy_on_http_call_response failed"),
        "{lines:?}"
    );
    assert_eq!(vm.commands().len(), 1, "the other one is cancelled");
    assert_eq!(vm.lease.lock().stream_mut(waiting).unwrap().stream.wakes.get(), 1);
    vm.reply(Token(8), reply());
    assert_eq!(vm.services.log().len(), 1);
}

/// A guest whose stream (context 2) calls in request headers and is acted for in the reply.
fn resuming() -> Guest {
    Guest::new().answer("proxy_on_request_headers", 4, &call()).on(
        ENTRY,
        r#"(call $say (local.get $0))
           (call $say (call $proxy_set_effective_context (i32.const 2)))
           (call $say (call $proxy_add_header_map_value (i32.const 0) (text "x-user") (text "me")))
           (call $say (call $proxy_get_header_map_value (i32.const 6) (text "x-a") (i32.const 8) (i32.const 12)))
           (call $say (call $proxy_continue_stream (i32.const 0)))"#,
    )
}

fn paused(vm: &Background, stream: FakeStream) -> StreamIndex {
    let index = vm.open(stream);
    vm.lease.lock().on_headers(index, Direction::Request, true).unwrap();
    index
}

#[test]
fn a_reply_acts_for_its_stream_by_the_effective_context() {
    let vm = Background::new(resuming());
    let stream = paused(&vm, exchange());
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["1", "0", "0", "0", "0"], "the reply is still the root's to read");
    let mut entered = vm.lease.lock();
    let context = entered.stream_mut(stream).unwrap();
    assert_eq!(context.stream.wakes.get(), 1, "its owner has to come for the effects");
    assert_eq!(context.stream.request_headers.as_ref().unwrap().last(), owned(&[("x-user", "me")]).last());
    assert_eq!(entered.take_effects(stream).as_slice(), [Effect::Continue(Direction::Request)]);
}

#[test]
fn a_stream_that_can_be_woken_has_its_replies_on_its_own_thread() {
    let vm = Background::new(resuming());
    let stream = paused(&vm, FakeStream { is_wakeable: true, ..exchange() });
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), [""; 0], "the guest is not entered here");
    let mut entered = vm.lease.lock();
    assert_eq!(entered.stream_mut(stream).unwrap().stream.wakes.get(), 1);
    let replies = entered.take_replies(stream);
    assert_eq!(replies.as_slice(), [(Token(4), reply())]);
    for (token, reply) in replies {
        entered.deliver(token, reply).unwrap();
    }
    assert_eq!(entered.take_effects(stream).len(), 1);
    drop(entered);
    assert_eq!(vm.said().len(), 5);
}

#[test]
fn a_reply_after_its_stream_has_gone_is_the_roots_all_the_same() {
    let vm = Background::new(resuming());
    let stream = paused(&vm, FakeStream { is_wakeable: true, ..exchange() });
    vm.lease.lock().end_stream(stream);
    vm.reply(Token(4), reply());
    assert_eq!(vm.said(), ["1", "2", "2", "0", "0"], "the stream's context cannot be acted for");
}

#[test]
fn a_reply_that_waited_for_a_stream_which_ends_is_told_then() {
    let vm = Background::new(resuming().on("proxy_on_delete", "(call $say (i32.const 99))"));
    let stream = paused(&vm, FakeStream { is_wakeable: true, ..exchange() });
    vm.reply(Token(4), reply());
    vm.lease.lock().end_stream(stream);
    assert_eq!(vm.said(), ["99", "1", "2", "2", "0", "0"]);
}

#[test]
fn a_stream_in_the_place_of_one_that_ended_does_not_get_its_replies() {
    let vm = Background::new(resuming());
    let first = paused(&vm, FakeStream { is_wakeable: true, ..exchange() });
    vm.lease.lock().end_stream(first);
    let second = vm.open(FakeStream { is_wakeable: true, ..exchange() });
    assert_eq!(first, second, "the place");
    vm.reply(Token(4), reply());
    let mut entered = vm.lease.lock();
    assert_eq!(entered.stream_mut(second).unwrap().stream.wakes.get(), 0);
    assert!(entered.take_replies(second).is_empty());
    assert_eq!(entered.take_effects(second).as_slice(), []);
}

#[test]
fn a_call_that_a_stream_has_in_hand_is_its_owners_to_end() {
    let vm = Background::new(resuming());
    let stream = paused(&vm, FakeStream { start: Some(Start::UnderWay(1)), ..exchange() });
    assert!(vm.commands().is_empty());
    assert_eq!(vm.lease.lock().take_commands(stream).len(), 1);
    // Its owner fed the exchange and brings the reply, inside the VM.
    vm.lease.lock().deliver(Token(4), reply()).unwrap();
    assert_eq!(vm.said(), ["1", "0", "0", "0", "0"]);
    vm.lease.lock().end_stream(stream);
    assert!(vm.commands().is_empty());
}
