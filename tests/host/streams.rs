//! Local responses, continue, close, the route cache: what a guest asks of the proxy, as effects in order.

use graft::host::stream::{Effect, LocalResponse};
use graft::host::types::{BodyAction, Direction, HeadersAction, Status, TrailersAction};

use crate::guest::{Guest, exchange};
use crate::phases::unusual;

const SEND: &str = r#"(call $say (call $proxy_send_local_response (i32.const 403)
    (text "two words") (text "body")
    (text "\01\00\00\00\03\00\00\00\01\00\00\00X-A\001\00") (i32.const -1)))"#;

fn sent(grpc_status: Option<u32>) -> Effect {
    Effect::LocalResponse(Box::new(LocalResponse {
        status: 403,
        details: b"two_words".to_vec(),
        body: b"body".to_vec(),
        headers: vec![(b"x-a".to_vec(), b"1".to_vec())],
        grpc_status,
    }))
}

/// What a guest asked for that ran this in `proxy_on_request_headers`.
fn asked(guest: Guest, body: &str) -> (Vec<String>, Vec<Effect>) {
    let mut vm = guest.on("proxy_on_request_headers", body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    (vm.said(), vm.effects(stream))
}

#[test]
fn a_local_response_is_asked_for_with_all_its_parts() {
    assert_eq!(asked(Guest::new(), SEND), (vec!["0".to_owned()], vec![sent(None)]));
}

#[test]
fn grpc_statuses_that_exist_are_kept_and_others_mean_none() {
    for (given, expected) in [(0, Some(0)), (14, Some(14)), (16, Some(16)), (17, None), (-1, None)] {
        let body = SEND.replace("(i32.const -1)", &format!("(i32.const {given})"));
        assert_eq!(asked(Guest::new(), &body).1, [sent(expected)], "{given}");
    }
}

#[test]
fn a_status_is_any_number_and_bad_pairs_are_no_headers() {
    let body = r#"(call $say (call $proxy_send_local_response (i32.const 0xffffffff)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (text "nonsense") (i32.const 0)))"#;
    let response = LocalResponse {
        status: u32::MAX,
        details: vec![],
        body: vec![],
        headers: vec![],
        grpc_status: Some(0),
    };
    assert_eq!(
        asked(Guest::new(), body),
        (vec!["0".to_owned()], vec![Effect::LocalResponse(Box::new(response))])
    );
}

#[test]
fn white_space_in_details_becomes_underscores() {
    let body = SEND.replace("two words", r" a\09b\0ac\0dd  ");
    let Effect::LocalResponse(response) = asked(Guest::new(), &body).1.remove(0) else { panic!() };
    assert_eq!(response.details, b"_a_b_c_d__");
}

#[test]
fn a_second_local_response_in_one_entry_point_is_dropped() {
    let second = SEND.replace("403", "500");
    let (said, effects) = asked(Guest::new(), &format!("{SEND} {second}"));
    assert_eq!(said, ["0", "0"]);
    assert_eq!(
        effects,
        [sent(None)],
        "the first one is already the answer; its successors are not even held"
    );
}

#[test]
fn after_a_local_response_the_answer_of_the_entry_point_does_not_count() {
    let mut vm = Guest::new()
        .on("proxy_on_request_headers", SEND)
        .on("proxy_on_request_body", SEND)
        .on("proxy_on_request_trailers", SEND)
        .start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::StopAllAndWatermark));
    assert_eq!(vm.request_body(stream), Ok(BodyAction::StopNoBuffer));
    assert_eq!(vm.request_trailers(stream), Ok(TrailersAction::StopIteration));
}

#[test]
fn only_the_entry_point_that_answered_is_stopped() {
    let mut vm = Guest::new().on("proxy_on_request_headers", SEND).on("proxy_on_request_body", "").start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::StopAllAndWatermark));
    assert_eq!(vm.request_body(stream), Ok(BodyAction::Continue));
}

#[test]
fn a_local_response_can_be_asked_for_anywhere_and_a_root_has_none() {
    let arguments = [200, 0, 0, 0, 0, 0, 0, -1];
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_send_local_response", &arguments), []);
    let vm = Guest::new().on("proxy_on_configure", SEND).start();
    assert_eq!(vm.said(), ["0"]);
}

#[test]
fn where_it_would_reach_nobody_a_strict_host_says_so() {
    let everywhere = ["proxy_on_configure", "proxy_on_request_headers", "proxy_on_log", "proxy_on_done"];
    let guest = || everywhere.iter().fold(Guest::new(), |guest, entry| guest.on(entry, SEND));
    for (guest, nobody) in [(guest(), "0"), (guest().strict_local_responses(), "2")] {
        let mut vm = guest.start();
        let stream = vm.open(exchange());
        assert_eq!(vm.said(), [nobody], "a root context");
        vm.request_headers(stream).unwrap();
        assert_eq!(vm.said(), ["0"], "a request can be answered");
        drop(vm.effects(stream));
        vm.vm.on_log(stream).unwrap();
        vm.vm.on_done(stream).unwrap();
        assert_eq!(vm.said(), [nobody, nobody], "the exchange is over");
        assert_eq!(vm.effects(stream), []);
    }
    let (said, effects) = asked(Guest::new().strict_local_responses(), &format!("{SEND} {SEND}"));
    assert_eq!((said, effects), (vec!["0".to_owned(), "2".to_owned()], vec![sent(None)]), "the second");
}

#[test]
fn continuing_is_an_effect_of_the_direction_named() {
    let body = "(call $say (call $proxy_continue_stream (i32.const 1)))
                (call $say (call $proxy_continue_stream (i32.const 0)))";
    let (said, effects) = asked(Guest::new(), body);
    assert_eq!(said, ["0", "0"]);
    assert_eq!(effects, [Effect::Continue(Direction::Response), Effect::Continue(Direction::Request)]);
}

#[test]
fn closing_is_an_effect_of_the_direction_named() {
    let body = "(call $say (call $proxy_close_stream (i32.const 0)))
                (call $say (call $proxy_close_stream (i32.const 1)))";
    let (said, effects) = asked(Guest::new(), body);
    assert_eq!(said, ["0", "0"]);
    assert_eq!(effects, [Effect::Close(Direction::Request), Effect::Close(Direction::Response)]);
}

#[test]
fn connections_are_not_here_and_their_upstream_cannot_be_continued() {
    let body = "(call $say (call $proxy_continue_stream (i32.const 2)))
                (call $say (call $proxy_continue_stream (i32.const 3)))
                (call $say (call $proxy_close_stream (i32.const 2)))
                (call $say (call $proxy_close_stream (i32.const 3)))";
    let expected = ["0", "12", "0", "0"].map(str::to_owned).to_vec();
    assert_eq!(asked(Guest::new(), body), (expected, vec![]));
}

#[test]
fn a_number_that_is_no_stream_is_a_bad_argument() {
    for hostcall in ["proxy_continue_stream", "proxy_close_stream"] {
        for stream in [4, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(unusual(Guest::new(), Status::BadArgument, hostcall, &[stream]), [], "{hostcall}");
        }
        assert_eq!(unusual(Guest::new(), Status::Ok, hostcall, &[0]), [], "{hostcall}");
    }
}

#[test]
fn continuing_lets_the_request_go_within_the_same_call() {
    for stream in [0, 1] {
        let body = format!(
            "(call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))
             (drop (call $proxy_continue_stream (i32.const {stream})))
             (call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))"
        );
        assert_eq!(asked(Guest::new(), &body).0, ["0", "2"], "{stream}");
    }
}

#[test]
fn continuing_the_response_leaves_its_headers_at_hand() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_response_headers",
            "(drop (call $proxy_continue_stream (i32.const 1)))
             (call $say (call $proxy_get_header_map_size (i32.const 2) (i32.const 8)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.response_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0"]);
}

#[test]
fn the_hostcalls_of_0_1_0_continue_and_clear_the_route_cache() {
    let guest = || Guest::new().abi("0_1_0");
    let body = "(call $say (call $proxy_continue_request)) (call $say (call $proxy_continue_response))";
    let (said, effects) = asked(guest(), body);
    assert_eq!(said, ["0", "0"]);
    assert_eq!(effects, [Effect::Continue(Direction::Request), Effect::Continue(Direction::Response)]);

    let mut vm =
        guest().on("proxy_on_request_headers", "(call $say (call $proxy_clear_route_cache))").start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!((vm.said(), vm.stream(stream).route_cache_clears), (vec!["0".to_owned()], 1));
    for hostcall in ["proxy_continue_request", "proxy_continue_response", "proxy_clear_route_cache"] {
        assert_eq!(
            unusual(guest(), Status::Ok, hostcall, &[]),
            [],
            "{hostcall}: also a root may, to no effect"
        );
    }
}

#[test]
fn effects_are_taken_once_and_in_order() {
    let mut vm = Guest::new()
        .on("proxy_on_request_headers", "(drop (call $proxy_continue_stream (i32.const 0)))")
        .on("proxy_on_request_body", "(drop (call $proxy_close_stream (i32.const 0)))")
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.request_body(stream).unwrap();
    assert_eq!(vm.effects(stream), [Effect::Continue(Direction::Request), Effect::Close(Direction::Request)]);
    assert_eq!(vm.effects(stream), []);
}

#[test]
fn a_guest_that_asks_for_ever_does_not_fill_memory() {
    let body = "(local $left i32) (local.set $left (i32.const 100000))
        (loop $again
            (drop (call $proxy_continue_stream (i32.const 0)))
            (drop (call $proxy_close_stream (i32.const 0)))
            (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
    let (_, effects) = asked(Guest::new(), body);
    assert!((2..=16).contains(&effects.len()), "{}", effects.len());
    assert_eq!(effects[..2], [Effect::Continue(Direction::Request), Effect::Close(Direction::Request)]);
}
