//! Entry points: what each is told, what each answer means, and what is let go after it.

use graft::host::testing::{FakeStream, pairs};
use graft::host::types::{BodyAction, Direction, HeadersAction, TrailersAction};

use crate::guest::{Guest, exchange};

const SAY_TWO: &str = "(call $say (local.get $0)) (call $say (local.get $1))";
const SAY_THREE: &str = "(call $say (local.get $0)) (call $say (local.get $1)) (call $say (local.get $2))";

/// The entry point of a kind in a direction.
fn name(direction: Direction, kind: &str) -> &'static str {
    match (direction, kind) {
        (Direction::Request, "headers") => "proxy_on_request_headers",
        (Direction::Request, "body") => "proxy_on_request_body",
        (Direction::Request, _) => "proxy_on_request_trailers",
        (Direction::Response, "headers") => "proxy_on_response_headers",
        (Direction::Response, "body") => "proxy_on_response_body",
        (Direction::Response, _) => "proxy_on_response_trailers",
    }
}

const BOTH: [Direction; 2] = [Direction::Request, Direction::Response];

#[test]
fn headers_are_told_with_their_number_and_the_end_of_the_stream() {
    for (direction, number) in [(Direction::Request, "5"), (Direction::Response, "2")] {
        let mut vm = Guest::new().on(name(direction, "headers"), SAY_THREE).start();
        let stream = vm.open(exchange());
        vm.vm.on_headers(stream, direction, false).unwrap();
        vm.vm.on_headers(stream, direction, true).unwrap();
        assert_eq!(vm.said(), ["2", number, "0", "2", number, "1"]);
    }
}

#[test]
fn headers_of_0_1_0_are_told_with_their_number_alone() {
    for direction in BOTH {
        let mut vm = Guest::new().abi("0_1_0").on(name(direction, "headers"), SAY_TWO).start();
        let stream = vm.open(FakeStream {
            request_headers: pairs(&[("a", "1")]),
            response_headers: pairs(&[("a", "1")]),
            ..FakeStream::default()
        });
        vm.vm.on_headers(stream, direction, true).unwrap();
        assert_eq!(vm.said(), ["2", "1"]);
    }
}

#[test]
fn a_body_is_told_with_its_size_and_the_end_of_the_stream() {
    for direction in BOTH {
        let mut vm = Guest::new().on(name(direction, "body"), SAY_THREE).start();
        let stream = vm.open(exchange());
        vm.vm.on_body(stream, direction, false).unwrap();
        vm.vm.on_body(stream, direction, true).unwrap();
        assert_eq!(vm.said(), ["2", "5", "0", "2", "5", "1"]);
    }
}

#[test]
fn trailers_are_told_with_their_number() {
    for direction in BOTH {
        let mut vm = Guest::new().on(name(direction, "trailers"), SAY_TWO).start();
        let stream = vm.open(exchange());
        vm.vm.on_trailers(stream, direction).unwrap();
        assert_eq!(vm.said(), ["2", "1"]);
    }
}

#[test]
fn every_answer_to_headers_has_its_meaning() {
    use HeadersAction::{Continue, StopAllAndBuffer, StopAllAndWatermark, StopIteration};
    for direction in BOTH {
        for (answer, usual, allowed) in [
            (0, Continue, Continue),
            (1, StopAllAndWatermark, StopIteration),
            (2, Continue, Continue),
            (3, StopAllAndBuffer, StopAllAndBuffer),
            (4, StopAllAndWatermark, StopAllAndWatermark),
            (5, StopAllAndWatermark, StopAllAndWatermark),
            (0xffff_ffff, StopAllAndWatermark, StopAllAndWatermark),
        ] {
            for (guest, expected) in
                [(Guest::new(), usual), (Guest::new().allowing_stop_iteration(), allowed)]
            {
                let mut vm = guest.answer(name(direction, "headers"), answer, "").start();
                let stream = vm.open(exchange());
                assert_eq!(vm.vm.on_headers(stream, direction, false), Ok(expected), "{answer}");
            }
        }
    }
}

#[test]
fn every_answer_to_a_body_has_its_meaning() {
    use BodyAction::{Continue, StopAndBuffer, StopAndWatermark, StopNoBuffer};
    for direction in BOTH {
        for (answer, expected) in [
            (0, Continue),
            (1, StopAndBuffer),
            (2, StopAndWatermark),
            (3, StopNoBuffer),
            (4, StopNoBuffer),
            (0xffff_ffff, StopNoBuffer),
        ] {
            let mut vm = Guest::new().answer(name(direction, "body"), answer, "").start();
            let stream = vm.open(exchange());
            assert_eq!(vm.vm.on_body(stream, direction, true), Ok(expected), "{answer}");
        }
    }
}

#[test]
fn every_answer_to_trailers_has_its_meaning() {
    use TrailersAction::{Continue, StopIteration};
    for direction in BOTH {
        for (answer, expected) in
            [(0, Continue), (1, StopIteration), (2, StopIteration), (0xffff_ffff, StopIteration)]
        {
            let mut vm = Guest::new().answer(name(direction, "trailers"), answer, "").start();
            let stream = vm.open(exchange());
            assert_eq!(vm.vm.on_trailers(stream, direction), Ok(expected), "{answer}");
        }
    }
}

#[test]
fn what_is_not_exported_goes_on_without_the_guest() {
    let mut vm = Guest::new().start();
    let stream = vm.open(exchange());
    for direction in BOTH {
        assert_eq!(vm.vm.on_headers(stream, direction, true), Ok(HeadersAction::Continue));
        assert_eq!(vm.vm.on_body(stream, direction, true), Ok(BodyAction::Continue));
        assert_eq!(vm.vm.on_trailers(stream, direction), Ok(TrailersAction::Continue));
    }
    assert_eq!(vm.vm.on_log(stream), Ok(()));
}

#[test]
fn headers_that_go_on_are_not_at_hand_afterwards() {
    let size = "(call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))";
    for (answer, expected) in [(0, "2"), (1, "0"), (2, "2"), (3, "0"), (4, "0")] {
        let mut vm = Guest::new()
            .answer("proxy_on_request_headers", answer, "")
            .on("proxy_on_response_headers", size)
            .start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        vm.response_headers(stream).unwrap();
        assert_eq!(vm.said(), [expected], "{answer}");
    }
}

#[test]
fn trailers_that_are_held_stay_at_hand() {
    let size = "(call $say (call $proxy_get_header_map_size (i32.const 1) (i32.const 8)))";
    for (answer, expected) in [(0, "2"), (1, "0")] {
        let mut vm = Guest::new()
            .answer("proxy_on_request_trailers", answer, "")
            .on("proxy_on_response_headers", size)
            .start();
        let stream = vm.open(exchange());
        vm.request_trailers(stream).unwrap();
        vm.response_headers(stream).unwrap();
        assert_eq!(vm.said(), [expected], "{answer}");
    }
}

#[test]
fn a_body_chunk_without_bytes_is_told_as_such() {
    let mut vm = Guest::new().on("proxy_on_request_body", SAY_THREE).start();
    let stream = vm.open(FakeStream::default());
    vm.vm.on_body(stream, Direction::Request, true).unwrap();
    assert_eq!(vm.said(), ["2", "0", "1"]);
}

#[test]
fn the_names_of_entry_points_are_all_known_to_the_harness() {
    // A guest with every entry point starts, so each name is exported with the type that the host expects.
    let guest = graft::host::entry_points::NAMES.iter().fold(Guest::new(), |guest, name| guest.on(name, ""));
    assert!(guest.try_start().is_ok());
}
