//! `envoy_resolve_dns`: names to addresses.

use graft::host::calls::{Command, Found, Lookup, Reply, Token};
use graft::host::testing::FakeStream;
use graft::host::types::{Direction, Status};

use crate::background::Background;
use crate::guest::{Guest, exchange};
use crate::phases::unusual;

const ENTRY: &str = "envoy_on_resolve_dns";

/// Says what the hostcall answers, and the token.
fn resolve(name: &str) -> String {
    format!(
        r#"(call $say (call $envoy_resolve_dns (text "{name}") (i32.const 16)))
           (call $say (i32.load (i32.const 16)))"#
    )
}

/// Says the three numbers of an answer, then status and bytes of the buffer of call data.
const ANSWER: &str = "(call $say (local.get $0)) (call $say (local.get $1)) (call $say (local.get $2))
    (call $say (call $proxy_get_buffer_bytes
        (i32.const 8) (i32.const 0) (i32.const 999) (i32.const 8) (i32.const 12)))
    (call $show (i32.const 8))";

/// The one lookup that reached the process since the last time.
fn asked(vm: &Background) -> Lookup {
    let mut commands = vm.commands();
    let command = commands.pop();
    assert!(commands.is_empty(), "{commands:?}");
    let Some(Command::Resolve(lookup)) = command else { panic!("{command:?}") };
    lookup
}

fn addresses(list: &[&str]) -> Reply {
    Reply::of_lookup(&Found::Addresses(list.iter().map(|address| address.parse().unwrap()).collect()))
}

/// A guest that asks when it is configured.
fn configured(body: &str) -> Background {
    let guest = Guest::new().on("proxy_on_configure", &resolve("a.example")).on(ENTRY, body);
    let vm = Background::new(guest);
    assert_eq!(vm.said(), ["0", "7"], "the first token, of a lookup");
    vm
}

#[test]
fn a_name_is_asked_of_the_process_and_its_addresses_told_to_the_root() {
    let vm = configured(ANSWER);
    let lookup = asked(&vm);
    assert_eq!((lookup.token, lookup.name.as_slice()), (Token(7), &b"a.example"[..]));
    vm.reply(lookup.token, addresses(&["10.0.0.1", "10.0.0.2"]));
    let bytes = "\u{2}\0\0\0<\0\0\0<\0\0\x0010.0.0.1:0\x0010.0.0.2:0\0";
    assert_eq!(vm.said(), ["1", "7", "34", "0", bytes]);
    vm.reply(lookup.token, addresses(&["10.0.0.3"]));
    assert_eq!(vm.said(), [""; 0], "an answer is told once");
}

#[test]
fn a_name_that_nobody_has_is_told_as_none_and_a_failure_as_no_bytes() {
    let vm = configured(ANSWER);
    vm.reply(asked(&vm).token, addresses(&[]));
    assert_eq!(vm.said(), ["1", "7", "4", "0", "\0\0\0\0"]);
    let vm = configured(ANSWER);
    vm.reply(asked(&vm).token, Reply::of_lookup(&Found::Failed));
    assert_eq!(vm.said(), ["1", "7", "0", "0", ""]);
}

#[test]
fn any_bytes_are_a_name() {
    for name in ["", "not a name", "\\ff\\00"] {
        let vm = Background::new(Guest::new().on("proxy_on_configure", &resolve(name)));
        assert_eq!(vm.said(), ["0", "7"], "{name}");
        asked(&vm);
    }
}

#[test]
fn an_answer_can_be_read_in_parts_and_not_written_and_is_gone_afterwards() {
    let body = "(call $say (call $proxy_get_buffer_status (i32.const 8) (i32.const 8) (i32.const 12)))
        (call $say (i32.load (i32.const 8)))
        (call $say (call $proxy_get_buffer_bytes
            (i32.const 8) (i32.const 8) (i32.const 5) (i32.const 8) (i32.const 12)))
        (call $show (i32.const 8))
        (call $say (call $proxy_set_buffer_bytes
            (i32.const 8) (i32.const 0) (i32.const 1) (i32.const 8) (i32.const 1)))
        (call $say (call $proxy_set_tick_period_milliseconds (i32.const 1)))";
    let guest = Guest::new().on("proxy_on_configure", &resolve("a")).on(ENTRY, body).on(
        "proxy_on_tick",
        "(call $say (call $proxy_get_buffer_status (i32.const 8) (i32.const 8) (i32.const 12)))
            (call $say (i32.load (i32.const 8)))",
    );
    let vm = Background::new(guest);
    vm.said();
    vm.reply(asked(&vm).token, addresses(&["10.0.0.1"]));
    assert_eq!(vm.said(), ["0", "19", "0", "10.0.", "2", "0"]);
    vm.lease.lock().on_tick(1);
    assert_eq!(vm.said(), ["0", "0"]);
}

#[test]
fn every_phase_may_ask() {
    assert_eq!(unusual(Guest::new().data(16, "a.b"), Status::Ok, "envoy_resolve_dns", &[16, 3, 8]), []);
}

#[test]
fn what_a_stream_asks_is_told_where_it_can_be_worked_on() {
    let guest = Guest::new().on("proxy_on_request_headers", &resolve("a")).on(ENTRY, ANSWER);
    let vm = Background::new(guest);
    let stream = vm.open(FakeStream { is_wakeable: true, ..exchange() });
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["0", "7"]);
    vm.reply(asked(&vm).token, addresses(&["10.0.0.1"]));
    assert_eq!(vm.said(), [""; 0], "its worker is woken");
    let mut inside = vm.lease.lock();
    let replies = inside.take_replies(stream);
    assert_eq!(replies.len(), 1);
    for (token, reply) in replies {
        inside.deliver(token, reply).unwrap();
    }
    drop(inside);
    assert_eq!(vm.said()[..3], ["1", "7", "19"]);
}

#[test]
fn the_process_makes_no_calls_and_resolves_all_the_same() {
    let vm = Background::new(Guest::new().without_process_calls().on("proxy_on_configure", &resolve("a")));
    assert_eq!(vm.said(), ["0", "7"]);
    asked(&vm);
}

#[test]
fn lookups_count_as_callouts_until_they_are_answered() {
    let guest = Guest::new()
        .call_limits(2, 1000)
        .on("proxy_on_configure", &[resolve("a"), resolve("b"), resolve("c")].concat())
        .on("proxy_on_tick", &resolve("d"));
    let vm = Background::new(guest);
    let said = vm.said();
    assert_eq!(said[..4], ["0", "7", "0", "11"]);
    assert!(said[4].starts_with("a callout was refused: 2 are under way"), "{said:?}");
    assert_eq!(said[5..], ["10", "11"], "no token is given");
    assert_eq!(vm.commands().len(), 2);
    vm.lease.lock().on_tick(1);
    assert_eq!(vm.said(), ["10", "11"]);
    vm.reply(Token(7), addresses(&[]));
    vm.lease.lock().on_tick(1);
    assert_eq!(vm.said(), ["0", "15"]);
}

#[test]
fn bytes_of_names_are_bounded() {
    let long = resolve(&"n".repeat(600));
    let vm = Background::new(Guest::new().call_limits(10, 1000).on("proxy_on_configure", &long.repeat(2)));
    let said = vm.said();
    assert_eq!((said[0].as_str(), said[3].as_str()), ("0", "10"), "{said:?}");
    vm.commands();
}

#[test]
fn a_lookup_is_no_call_of_grpc() {
    for hostcall in ["proxy_grpc_close", "proxy_grpc_cancel"] {
        let body = format!("{} (call $say (call ${hostcall} (i32.const 7)))", resolve("a"));
        let vm = Background::new(Guest::new().on("proxy_on_configure", &body));
        assert_eq!(vm.said(), ["0", "7", "2"], "{hostcall}");
        asked(&vm);
    }
}

#[test]
fn an_answer_to_a_root_that_is_gone_is_told_to_nobody() {
    let vm = configured(ANSWER);
    let lookup = asked(&vm);
    vm.retire();
    assert!(vm.commands().is_empty(), "a lookup cannot be ended");
    vm.reply(lookup.token, addresses(&["10.0.0.1"]));
    assert_eq!(vm.said(), [""; 0]);
}

#[test]
fn a_trap_in_an_answer_is_logged_by_the_name_of_its_entry_point() {
    let guest = Guest::new().on("proxy_on_configure", &resolve("a")).export(ENTRY, "unreachable");
    let vm = Background::new(guest);
    let lookup = asked(&vm);
    vm.said();
    vm.reply(lookup.token, addresses(&["10.0.0.1"]));
    let lines = vm.services.log();
    assert!(lines.concat().contains("Function: envoy_on_resolve_dns failed"), "{lines:?}");
    assert!(vm.lease.lock().has_failed());
}
