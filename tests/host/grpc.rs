//! gRPC: `proxy_grpc_call`, `proxy_grpc_stream`, `proxy_grpc_send`, `proxy_grpc_close`, `proxy_grpc_cancel`, and the
//! entry points of their replies.

use std::time::Duration;

use graft::host::calls::{Command, Incoming, Kind, Refusal, Reply, Request, Start, Token, frame};
use graft::host::testing::FakeStream;
use graft::host::types::{Direction, Status};

use crate::background::{Background, exchange_of, literal, owned, pairs_text};
use crate::guest::{Guest, exchange, say};
use crate::phases::unusual;

/// Tokens of the first call and the first stream.
const CALL: Token = Token(1 << 2 | 1);
const STREAM: Token = Token(1 << 2 | 2);

/// `proxy_grpc_call` with a service; says status and token.
fn call_to(service: &str, timeout: &str) -> String {
    format!(
        r#"(call $say (call $proxy_grpc_call (text "{service}") (text "pkg.Service") (text "Method") {}
               (text "message") (i32.const {timeout}) (i32.const 16)))
           (call $say (i32.load (i32.const 16)))"#,
        pairs_text(&[("X-Meta", "Data")])
    )
}

/// `proxy_grpc_stream` with a service.
fn stream_to(service: &str) -> String {
    format!(
        r#"(call $say (call $proxy_grpc_stream (text "{service}") (text "pkg.Service") (text "Method") {}
               (i32.const 16)))
           (call $say (i32.load (i32.const 16)))"#,
        pairs_text(&[("X-Meta", "Data")])
    )
}

fn send(token: u32, end: u32) -> String {
    format!(r#"(call $say (call $proxy_grpc_send (i32.const {token}) (text "hi") (i32.const {end})))"#)
}

fn close(token: u32) -> String {
    say("proxy_grpc_close", &[token.into()])
}

fn cancel(token: u32) -> String {
    say("proxy_grpc_cancel", &[token.into()])
}

/// Every entry point of a reply says its numbers, after a number of its own.
fn listening(guest: Guest) -> Guest {
    let say = |number: u32| {
        format!(
            "(call $say (i32.const {number})) (call $say (local.get $0)) (call $say (local.get $1))
             (call $say (local.get $2))"
        )
    };
    guest
        .on("proxy_on_grpc_receive_initial_metadata", &say(101))
        .on("proxy_on_grpc_receive", &say(102))
        .on("proxy_on_grpc_receive_trailing_metadata", &say(103))
        .on("proxy_on_grpc_close", &say(104))
}

/// A guest that runs this when it is configured, and this in request headers.
fn started(configure: &str, headers: &str) -> Background {
    let guest = Guest::new().on("proxy_on_configure", configure).on("proxy_on_request_headers", headers);
    let vm = Background::new(listening(guest));
    vm.said();
    vm
}

fn run(vm: &Background) -> Vec<String> {
    let stream = vm.open(exchange());
    vm.lease.lock().on_headers(stream, Direction::Request, true).unwrap();
    vm.said()
}

fn request(body: &str) -> Request {
    Background::new(Guest::new().on("proxy_on_configure", body)).started()
}

#[test]
fn a_call_is_a_post_with_one_framed_message() {
    let request = request(&call_to("auth", "250"));
    assert_eq!((request.token, request.kind, request.cluster.as_str()), (CALL, Kind::GrpcCall, "auth"));
    let expected = owned(&[
        (":method", "POST"),
        (":path", "/pkg.Service/Method"),
        (":authority", "auth"),
        (":scheme", "http"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "250m"),
        ("x-meta", "Data"),
    ]);
    assert_eq!(request.headers, expected);
    assert_eq!(request.body, b"\0\0\0\0\x07message");
    assert!(request.is_complete && request.trailers.is_empty());
    assert_eq!(request.timeout, Some(Duration::from_millis(250)));
}

#[test]
fn a_stream_is_a_post_that_goes_on_and_has_no_timeout() {
    let request = request(&stream_to("auth"));
    assert_eq!((request.token, request.kind), (STREAM, Kind::GrpcStream));
    assert!(!request.is_complete && request.body.is_empty());
    assert_eq!(request.timeout, None);
    assert!(!request.headers.iter().any(|(name, _)| name == b"grpc-timeout"));
}

#[test]
fn a_service_message_names_cluster_authority_and_metadata() {
    let service = b"\x0a\x0d\x0a\x04auth\x12\x05a.com\x2a\x08\x0a\x03X-A\x12\x01b";
    for body in [call_to(&literal(service), "0"), stream_to(&literal(service))] {
        let request = request(&body);
        assert_eq!(request.cluster, "auth");
        for pair in owned(&[(":authority", "a.com"), ("x-a", "b"), ("x-meta", "Data")]) {
            assert!(request.headers.contains(&pair), "{:?}", request.headers);
        }
    }
}

#[test]
fn long_timeouts_are_told_in_eight_digits() {
    for (timeout, told) in
        [("99999999", Some("99999999m")), ("100000000", Some("100000S")), ("0x7fffffff", Some("2147483S"))]
    {
        let headers = request(&call_to("auth", timeout)).headers;
        let found = headers.iter().find(|(name, _)| name == b"grpc-timeout");
        assert_eq!(found.map(|(_, value)| value.as_slice()), told.map(str::as_bytes));
    }
    let request = request(&call_to("auth", "0"));
    assert_eq!(request.timeout, None);
    assert!(!request.headers.iter().any(|(name, _)| name == b"grpc-timeout"));
}

#[test]
fn services_that_cannot_be_called_are_refused() {
    // Nothing; a message without a cluster (one for Google's client); neither a message nor text.
    for (service, status) in [("", "10"), ("\\12\\00", "10"), ("\\ff\\fe", "4")] {
        for body in [call_to(service, "0"), stream_to(service)] {
            let vm = Background::new(Guest::new().on("proxy_on_configure", &body));
            assert_eq!(vm.said(), [status, "0"], "{service}");
            assert!(vm.commands().is_empty());
        }
    }
    let vm = Background::new(Guest::new().on("proxy_on_configure", &call_to("auth", "-1")));
    assert_eq!(vm.said(), ["2", "0"], "a negative timeout");
}

#[test]
fn a_cluster_that_is_not_there_is_a_parse_failure_by_its_name_and_an_internal_one_in_a_message() {
    let message = literal(b"\x0a\x06\x0a\x04none");
    for (service, status) in [("none", "4"), (&message, "10")] {
        for body in [call_to(service, "0"), stream_to(service)] {
            let mut vm = Guest::new().on("proxy_on_request_headers", &body).start();
            let start = Some(Start::Refused(Refusal::NoCluster));
            let stream = vm.open(FakeStream { start, ..exchange() });
            vm.request_headers(stream).unwrap();
            assert_eq!(vm.said(), [status, "0"], "as in the built-in host");
        }
    }
}

#[test]
fn every_phase_may_call_and_open_streams() {
    let guest = || Guest::new().data(16, "auth");
    let call = [16, 4, 16, 4, 16, 4, 0, 0, 0, 0, 0, 8];
    assert_eq!(unusual(guest(), Status::Ok, "proxy_grpc_call", &call), []);
    assert_eq!(unusual(guest(), Status::Ok, "proxy_grpc_stream", &[16, 4, 16, 4, 16, 4, 0, 0, 8]), []);
}

#[test]
fn tokens_of_no_call_are_not_found_and_of_another_kind_bad_in_every_phase() {
    for (hostcall, rest) in
        [("proxy_grpc_send", &[0, 0, 0][..]), ("proxy_grpc_close", &[]), ("proxy_grpc_cancel", &[])]
    {
        for (token, status) in [(6, Status::NotFound), (4, Status::BadArgument), (7, Status::BadArgument)] {
            let arguments = [&[token], rest].concat();
            assert_eq!(unusual(Guest::new(), status, hostcall, &arguments), [], "{hostcall} {token}");
        }
    }
    // A call can be closed and cancelled, and nothing can be sent on it.
    assert_eq!(unusual(Guest::new(), Status::BadArgument, "proxy_grpc_send", &[5, 0, 0, 0]), []);
    assert_eq!(unusual(Guest::new(), Status::NotFound, "proxy_grpc_close", &[5]), []);
    assert_eq!(unusual(Guest::new(), Status::NotFound, "proxy_grpc_cancel", &[5]), []);
}

/// Shows what is at hand inside an entry point: both maps, the message, the status.
const SHOW: &str = r#"(i64.store (i32.const 8) (i64.const 0))
    (call $say (call $proxy_get_header_map_value (i32.const 4) (text "x-i") (i32.const 8) (i32.const 12)))
    (call $show (i32.const 8)) (i64.store (i32.const 8) (i64.const 0))
    (call $say (call $proxy_get_header_map_value (i32.const 5) (text "x-t") (i32.const 8) (i32.const 12)))
    (call $show (i32.const 8)) (i64.store (i32.const 8) (i64.const 0))
    (call $say (call $proxy_get_buffer_bytes
        (i32.const 5) (i32.const 0) (i32.const 99) (i32.const 8) (i32.const 12)))
    (call $show (i32.const 8)) (i64.store (i32.const 8) (i64.const 0))
    (drop (call $proxy_get_status (i32.const 20) (i32.const 8) (i32.const 12)))
    (call $say (i32.load (i32.const 20))) (call $show (i32.const 8))"#;

#[test]
fn a_reply_to_a_stream_is_told_part_by_part_each_with_what_it_brings() {
    let guest = Guest::new()
        .on("proxy_on_configure", &stream_to("auth"))
        .on("proxy_on_grpc_receive_initial_metadata", SHOW)
        .on("proxy_on_grpc_receive", SHOW)
        .on("proxy_on_grpc_receive_trailing_metadata", SHOW)
        .on("proxy_on_grpc_close", SHOW);
    let vm = Background::new(guest);
    vm.said();
    let mut exchange = exchange_of(vm.started());
    vm.feed(&mut exchange, Incoming::Headers(&[(b":status", b"200"), (b"x-i", b"one")], false));
    assert_eq!(vm.said(), ["0", "one", "2", "", "0", "", "0", ""]);
    vm.feed(&mut exchange, Incoming::Data(&frame(b"two"), false));
    assert_eq!(vm.said(), ["2", "", "2", "", "0", "two", "0", ""]);
    vm.feed(
        &mut exchange,
        Incoming::Trailers(&[(b"grpc-status", b"9"), (b"grpc-message", b"no"), (b"x-t", b"three")]),
    );
    assert_eq!(vm.said(), ["2", "", "0", "three", "0", "", "0", "", "2", "", "2", "", "0", "", "9", "no"]);
}

#[test]
fn each_part_of_a_reply_has_its_entry_point_with_root_token_and_size() {
    let vm = started(&stream_to("auth"), STATUS_ALONE);
    let mut exchange = exchange_of(vm.started());
    vm.feed(&mut exchange, Incoming::Headers(&[(b":status", b"200")], false));
    vm.feed(&mut exchange, Incoming::Data(&[frame(b"a"), frame(b"bcd")].concat(), false));
    vm.feed(&mut exchange, Incoming::Trailers(&[(b"grpc-status", b"0")]));
    let told: Vec<Vec<String>> = vm.said().chunks(4).map(<[String]>::to_vec).collect();
    assert_eq!(
        told,
        [
            ["101", "1", "6", "1"],
            ["102", "1", "6", "1"],
            ["102", "1", "6", "3"],
            ["103", "1", "6", "1"],
            ["104", "1", "6", "0"]
        ]
    );
    assert_eq!(run(&vm), ["0", ""], "the status of the last stream that closed");
}

/// Says what `proxy_get_status` tells outside of a reply.
const STATUS_ALONE: &str = "(drop (call $proxy_get_status (i32.const 20) (i32.const 8) (i32.const 12)))
    (call $say (i32.load (i32.const 20))) (call $show (i32.const 8))";

#[test]
fn a_call_that_went_well_ends_with_its_message_and_any_other_with_a_close() {
    let vm = started(&call_to("auth", "0"), STATUS_ALONE);
    vm.started();
    vm.reply(CALL, Reply::GrpcMessage(b"four".to_vec()));
    vm.reply(CALL, Reply::GrpcClose(0, Vec::new()));
    assert_eq!(vm.said(), ["102", "1", "5", "4"], "nothing comes after the message");

    let vm = started(&call_to("auth", "0"), STATUS_ALONE);
    vm.started();
    vm.reply(CALL, Reply::GrpcClose(14, b"down".to_vec()));
    assert_eq!(vm.said(), ["104", "1", "5", "14"]);
    assert_eq!(run(&vm), ["14", ""], "the code stays, the message does not");
}

#[test]
fn messages_are_sent_framed_by_who_has_the_stream_in_hand() {
    let vm = started(&stream_to("auth"), &[send(6, 0), send(6, 1), close(6)].concat());
    vm.started();
    assert_eq!(run(&vm), ["0", "0", "0"]);
    let sent: Vec<(Vec<u8>, bool)> = vm
        .commands()
        .into_iter()
        .map(|command| {
            let Command::Send(STREAM, outgoing, end) = command else { panic!("{command:?}") };
            (outgoing.bytes.clone(), end)
        })
        .collect();
    assert_eq!(sent, [(frame(b"hi"), false), (frame(b"hi"), true), (Vec::new(), true)]);
}

#[test]
fn what_is_sent_on_a_streams_own_call_goes_there_and_wakes_it_for_others() {
    let mut vm = Guest::new()
        .on("proxy_on_request_headers", &[stream_to("auth"), send(6, 0)].concat())
        .on("proxy_on_response_headers", &send(6, 1))
        .start();
    let first = vm.open(FakeStream { start: Some(Start::UnderWay(3)), ..exchange() });
    vm.request_headers(first).unwrap();
    assert_eq!(vm.said(), ["0", "6", "0"]);
    vm.vm.pass_on();
    assert_eq!(vm.stream(first).wakes.get(), 0, "its owner is here");
    let commands = vm.vm.take_commands(first);
    assert!(matches!(commands.as_slice(), [Command::Adopt(3, _), Command::Send(STREAM, _, false)]));

    let second = vm.open(exchange());
    vm.response_headers(second).unwrap();
    vm.response_headers(second).unwrap();
    vm.vm.pass_on();
    assert_eq!(vm.stream(first).wakes.get(), 1);
    assert_eq!(vm.vm.take_commands(first).len(), 2);
    assert!(vm.services.commands.lock().is_empty());
}

#[test]
fn a_stream_that_the_peer_has_ended_swallows_messages_until_it_is_closed() {
    let vm = started(&stream_to("auth"), &[send(6, 0), close(6), send(6, 0), close(6), cancel(6)].concat());
    vm.started();
    vm.reply(STREAM, Reply::GrpcClose(0, Vec::new()));
    vm.said();
    assert_eq!(run(&vm), ["0", "0", "1", "1", "1"]);
    assert!(vm.commands().is_empty(), "nobody is there to be told");
}

#[test]
fn a_stream_that_the_peer_has_ended_can_be_cancelled() {
    let vm = started(&stream_to("auth"), &[cancel(6), send(6, 0)].concat());
    vm.started();
    vm.reply(STREAM, Reply::GrpcClose(0, Vec::new()));
    vm.said();
    assert_eq!(run(&vm), ["0", "1"]);
    assert!(vm.commands().is_empty());
}

#[test]
fn half_closed_streams_do_not_count_and_only_so_many_are_remembered() {
    let body = ["(call $say (i32.const 7))", &stream_to("auth"), &send(6, 0)].concat();
    let guest = Guest::new().call_limits(1, 1000).on("proxy_on_request_headers", &body);
    let vm = Background::new(guest);
    for number in 1..=257_u32 {
        let said = run(&vm);
        let token = number << 2 | 2;
        vm.commands();
        assert_eq!(said[1..], ["0".to_owned(), token.to_string(), "0".to_owned()], "{number}");
        vm.reply(Token(token), Reply::GrpcClose(0, Vec::new()));
    }
    assert_eq!(run(&vm)[3], "1", "the first one is forgotten");
}

#[test]
fn closing_a_call_cancels_it_and_cancelling_ends_both_without_a_word() {
    for (open, end, token) in [
        (call_to("auth", "0"), close(5), CALL),
        (call_to("auth", "0"), cancel(5), CALL),
        (stream_to("auth"), cancel(6), STREAM),
    ] {
        let vm = started(&open, &[end.as_str(), &end].concat());
        vm.started();
        assert_eq!(run(&vm), ["0", "1"], "the second time it is not there");
        let commands = vm.commands();
        assert!(matches!(commands.as_slice(), [Command::Cancel(cancelled)] if *cancelled == token));
        vm.reply(token, Reply::GrpcMessage(b"late".to_vec()));
        vm.reply(token, Reply::GrpcClose(0, Vec::new()));
        assert_eq!(vm.said(), [""; 0]);
    }
}

#[test]
fn a_guest_may_cancel_inside_a_reply() {
    let guest = Guest::new()
        .on("proxy_on_configure", &stream_to("auth"))
        .on("proxy_on_grpc_receive", &cancel(6))
        .on("proxy_on_grpc_close", "(call $say (i32.const 104))");
    let vm = Background::new(guest);
    vm.said();
    let mut exchange = exchange_of(vm.started());
    vm.feed(&mut exchange, Incoming::Headers(&[(b":status", b"200")], false));
    vm.feed(&mut exchange, Incoming::Data(&[frame(b"a"), frame(b"b")].concat(), false));
    vm.feed(&mut exchange, Incoming::Reset);
    assert_eq!(vm.said(), ["0"], "the second message and the end are not told");
}

#[test]
fn a_message_that_is_larger_than_the_bound_ends_the_stream_with_its_reason() {
    let guest = Guest::new()
        .call_limits(10, 500)
        .on("proxy_on_configure", &stream_to("auth"))
        .on("proxy_on_grpc_close", STATUS_ALONE);
    let vm = Background::new(guest);
    vm.said();
    let mut exchange = exchange_of(vm.started());
    vm.feed(&mut exchange, Incoming::Headers(&[(b":status", b"200")], false));
    vm.feed(&mut exchange, Incoming::Data(&[0; 500], false));
    assert_eq!(vm.said(), ["13", "the reply is longer than graft.limits.callout_bytes allows"]);
}

#[test]
fn a_message_may_not_be_larger_than_the_guests_memory_in_one_call() {
    let body = [
        stream_to("auth"),
        "(call $say (call $proxy_grpc_send (i32.const 6) (i32.const 0) (i32.const 131072) (i32.const 0)))"
            .repeat(2),
    ]
    .concat();
    let said = Guest::new().limits(2 * 65_536 + 70_000, 10).on("proxy_on_configure", &body).start().said();
    assert_eq!(said, ["0", "6", "0", "10"]);
}

#[test]
fn what_is_sent_and_not_taken_yet_is_bounded_over_entry_points() {
    let send = format!(
        "(call $say (call $proxy_grpc_send (i32.const 6) (text \"{}\") (i32.const 0)))",
        "x".repeat(395)
    );
    let guest = Guest::new()
        .call_limits(10, 1000)
        .on("proxy_on_configure", &stream_to("auth"))
        .on("proxy_on_request_headers", &send);
    let vm = Background::new(guest);
    assert_eq!(vm.said(), ["0", "6"]);
    let _request = vm.started();
    assert_eq!([run(&vm), run(&vm)].concat(), ["0", "0"]);
    let said = run(&vm);
    assert!(
        said[0].starts_with("a callout was refused: 1 are under way and hold ")
            && said[0].ends_with(
                "bytes; expected at most 10 with 1000 bytes in all (graft.limits: callouts, callout_bytes; told once)"
            ),
        "{said:?}"
    );
    assert_eq!(said[1..], ["10"]);
    assert_eq!(run(&vm), ["10"], "told once");
    assert_eq!(vm.commands().len(), 2, "the proxy has taken them");
    assert_eq!(run(&vm), ["0"]);
}

#[test]
fn traps_in_replies_are_logged_by_the_name_of_their_entry_point() {
    for (entry, reply) in [
        ("proxy_on_grpc_receive_initial_metadata", Reply::GrpcInitial(Vec::new())),
        ("proxy_on_grpc_receive", Reply::GrpcMessage(Vec::new())),
        ("proxy_on_grpc_receive_trailing_metadata", Reply::GrpcTrailing(Vec::new())),
        ("proxy_on_grpc_close", Reply::GrpcClose(0, Vec::new())),
    ] {
        let guest = Guest::new().on("proxy_on_configure", &stream_to("auth")).export(entry, "unreachable");
        let vm = Background::new(guest);
        vm.started();
        vm.said();
        vm.reply(STREAM, reply);
        let lines = vm.services.log();
        assert!(lines.concat().contains(&format!("Function: {entry} failed")), "{lines:?}");
        assert!(vm.lease.lock().has_failed());
    }
}
