//! Buffers: bodies and configurations, clipped reads, the three ways to write, and when each is there.

use graft::host::testing::FakeStream;
use graft::host::types::{BodyAction, Direction, Status};

use crate::guest::{Guest, exchange};
use crate::phases::unusual;

/// What a guest says that reads a buffer in `proxy_on_request_body`: status, and the bytes.
fn read(guest: Guest, buffer: u32, start: u32, length: u32) -> Vec<String> {
    let body = format!(
        "(call $say (call $proxy_get_buffer_bytes (i32.const {buffer}) (i32.const {start}) (i32.const {length})
            (i32.const 8) (i32.const 12)))
         (call $show (i32.const 8))"
    );
    let mut vm = guest.on("proxy_on_request_body", &body).start();
    let stream = vm.open(exchange());
    vm.request_body(stream).unwrap();
    vm.said()
}

/// The chunk of the request body after a guest set part of it, and the status.
fn set(start: u32, length: u32, bytes: &str) -> (String, String) {
    let body = format!(
        r#"(call $say (call $proxy_set_buffer_bytes (i32.const 0) (i32.const {start}) (i32.const {length}) (text "{bytes}")))"#
    );
    let mut vm = Guest::new().on("proxy_on_request_body", &body).start();
    let stream = vm.open(exchange());
    vm.request_body(stream).unwrap();
    let status = vm.said().remove(0);
    (status, String::from_utf8(vm.stream(stream).request_body.1.clone()).unwrap())
}

#[test]
fn a_part_of_the_body_is_read_and_clipped_to_what_is_there() {
    for (start, length, expected) in [
        (0, 5, "chunk"),
        (0, 100, "chunk"),
        (0, u32::MAX, "chunk"),
        (1, 2, "hu"),
        (4, 1, "k"),
        (4, 9, "k"),
        (5, 1, ""),
        (6, 1, ""),
        (u32::MAX, 0, ""),
        (0, 0, ""),
    ] {
        assert_eq!(read(Guest::new(), 0, start, length), ["0", expected], "{start} {length}");
    }
}

#[test]
fn a_start_and_length_whose_sum_exceeds_32_bits_are_clipped_like_any_other() {
    for (start, length, expected) in
        [(1, u32::MAX, "hunk"), (u32::MAX, 1, ""), (u32::MAX, u32::MAX, ""), (0x8000_0000, 0x8000_0000, "")]
    {
        assert_eq!(read(Guest::new(), 0, start, length), ["0", expected], "{start} {length}");
    }
}

#[test]
fn an_empty_part_asks_the_allocator_for_nothing() {
    let guest = Guest::new().export("malloc", "unreachable");
    assert_eq!(read(guest, 0, 5, 10), ["0", ""]);
}

#[test]
fn buffers_that_this_phase_does_not_have_read_as_empty_or_are_not_found() {
    // The response's body, both sides of a connection, a gRPC message, call data: empty, as in the built-in host.
    for buffer in [1, 2, 3, 5, 8] {
        assert_eq!(read(Guest::new(), buffer, 0, 10), ["0", ""], "{buffer}");
    }
    // A callout's body, and the plugin's configuration outside its configuration.
    for buffer in [4, 7] {
        assert_eq!(read(Guest::new(), buffer, 0, 10), ["1", ""], "{buffer}");
    }
}

#[test]
fn a_number_that_is_no_buffer_is_a_bad_argument() {
    for buffer in [9, 10, 0xffff_ffff] {
        for (hostcall, arguments) in [
            ("proxy_get_buffer_bytes", &[buffer, 0, 1, 8, 12][..]),
            ("proxy_get_buffer_status", &[buffer, 8, 12]),
            ("proxy_set_buffer_bytes", &[buffer, 0, 0, 0, 0]),
        ] {
            assert_eq!(unusual(Guest::new(), Status::BadArgument, hostcall, arguments), [], "{hostcall}");
        }
    }
}

#[test]
fn the_plugin_configuration_is_there_while_the_root_is_created_and_configured() {
    let found = |hostcall, arguments: &[i64]| {
        unusual(Guest::new().configuration("{}"), Status::NotFound, hostcall, arguments)
    };
    let expected = [("root create", "0".to_owned()), ("configure", "0".to_owned())];
    assert_eq!(found("proxy_get_buffer_bytes", &[7, 0, 100, 8, 12]), expected);
    assert_eq!(found("proxy_get_buffer_status", &[7, 8, 12]), expected);
    let written = [("root create", "2".to_owned()), ("configure", "2".to_owned())];
    assert_eq!(found("proxy_set_buffer_bytes", &[7, 0, 0, 0, 0]), written, "it cannot be written");
}

#[test]
fn the_vm_configuration_is_always_there_and_cannot_be_written() {
    let guest = || Guest::new().vm_configuration("vm configuration");
    assert_eq!(unusual(guest(), Status::Ok, "proxy_get_buffer_bytes", &[6, 0, 100, 8, 12]), []);
    assert_eq!(unusual(guest(), Status::BadArgument, "proxy_set_buffer_bytes", &[6, 0, 0, 0, 0]), []);
    assert_eq!(read(guest(), 6, 3, 6), ["0", "config"]);
}

#[test]
fn configurations_are_given_whole_with_their_sizes() {
    let show = |buffer: u32| {
        format!(
            "(call $say (local.get $1))
             (drop (call $proxy_get_buffer_bytes (i32.const {buffer}) (i32.const 0) (local.get $1)
                (i32.const 8) (i32.const 12)))
             (call $show (i32.const 8))"
        )
    };
    let vm = Guest::new()
        .vm_configuration("the vm's")
        .configuration("the plugin's")
        .on("proxy_on_vm_start", &show(6))
        .on("proxy_on_configure", &show(7))
        .start();
    assert_eq!(vm.said(), ["8", "the vm's", "12", "the plugin's"]);
}

#[test]
fn the_status_of_a_buffer_is_its_length_and_no_flags() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_body",
            "(i32.store (i32.const 12) (i32.const -1))
             (call $say (call $proxy_get_buffer_status (i32.const 0) (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 8)))
             (call $say (i32.load (i32.const 12)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_body(stream).unwrap();
    assert_eq!(vm.said(), ["0", "5", "0"]);
}

#[test]
fn setting_from_the_start_replaces_the_length_given() {
    for (length, expected) in [(0, "NEWchunk"), (1, "NEWhunk"), (5, "NEW"), (6, "NEW"), (u32::MAX, "NEW")] {
        assert_eq!(set(0, length, "NEW"), ("0".to_owned(), expected.to_owned()), "{length}");
    }
    assert_eq!(set(0, 5, ""), ("0".to_owned(), String::new()));
}

#[test]
fn setting_from_the_end_or_behind_it_appends() {
    for start in [5, 6, u32::MAX] {
        assert_eq!(set(start, 0, "NEW"), ("0".to_owned(), "chunkNEW".to_owned()), "{start}");
        assert_eq!(set(start, u32::MAX, "NEW"), ("0".to_owned(), "chunkNEW".to_owned()), "{start}");
    }
}

#[test]
fn setting_inside_is_a_bad_argument_and_changes_nothing() {
    for start in 1..5 {
        assert_eq!(set(start, 1, "NEW"), ("2".to_owned(), "chunk".to_owned()), "{start}");
    }
}

#[test]
fn only_the_body_of_the_phase_can_be_set() {
    let at =
        |buffer| unusual(Guest::new(), Status::BadArgument, "proxy_set_buffer_bytes", &[buffer, 0, 0, 0, 0]);
    assert_eq!(at(0), [("request body", "0".to_owned())]);
    assert_eq!(at(1), [("response body", "0".to_owned())]);
    for buffer in [2, 3, 5, 8] {
        assert_eq!(at(buffer), [], "{buffer}");
    }
    assert_eq!(
        unusual(Guest::new(), Status::NotFound, "proxy_set_buffer_bytes", &[4, 0, 0, 0, 0]),
        [],
        "the body of a callout"
    );
}

#[test]
fn a_buffering_guest_sees_what_was_held_before_the_chunk() {
    let see = "(call $say (local.get $1))
        (drop (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 12)))
        (call $show (i32.const 8))";
    let mut vm = Guest::new().answer("proxy_on_request_body", 1, see).start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_body(stream), Ok(BodyAction::StopAndBuffer));
    assert_eq!(vm.said(), ["5", "chunk"]);
    // From now on the proxy holds the bytes, and the next chunk comes on top of them.
    assert_eq!(vm.request_body(stream), Ok(BodyAction::StopAndBuffer));
    assert_eq!(vm.said(), ["10", "held chunk"]);
}

#[test]
fn held_bytes_are_replaced_with_the_chunk() {
    let mut vm = Guest::new()
        .export(
            "proxy_on_request_body",
            r#"(drop (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 7) (text "NEW")))
               (i32.const 1)"#,
        )
        .start();
    let stream = vm.open(FakeStream { request_body: (Vec::new(), b"1234567890".to_vec()), ..exchange() });
    vm.request_body(stream).unwrap();
    assert_eq!(vm.stream(stream).request_body, (Vec::new(), b"NEW890".to_vec()));
    vm.stream(stream).request_body = (b"NEW890".to_vec(), b"ab".to_vec());
    vm.request_body(stream).unwrap();
    assert_eq!(vm.stream(stream).request_body, (Vec::new(), b"NEWb".to_vec()));
}

#[test]
fn a_body_that_the_guest_let_go_is_gone_and_one_that_it_holds_is_not() {
    for (answer, expected) in [(0, "0"), (1, "5"), (2, "5"), (3, "5")] {
        let mut vm = Guest::new()
            .answer("proxy_on_request_body", answer, "")
            .on(
                "proxy_on_request_trailers",
                "(drop (call $proxy_get_buffer_status (i32.const 0) (i32.const 8) (i32.const 12)))
                 (call $say (i32.load (i32.const 8)))",
            )
            .start();
        let stream = vm.open(FakeStream { request_body: (Vec::new(), b"chunk".to_vec()), ..exchange() });
        vm.request_body(stream).unwrap();
        vm.request_trailers(stream).unwrap();
        assert_eq!(vm.said(), [expected], "{answer}");
    }
}

#[test]
fn a_buffered_body_stays_at_hand_after_continuing() {
    let length = "(drop (call $proxy_get_buffer_status (i32.const 0) (i32.const 8) (i32.const 12)))
        (call $say (i32.load (i32.const 8)))";
    for (answer, expected) in [(1, ["5", "10", "10"]), (2, ["5", "5", "0"])] {
        let mut vm = Guest::new()
            .answer("proxy_on_request_body", answer, length)
            .on(
                "proxy_on_request_trailers",
                &format!("{length} (drop (call $proxy_continue_stream (i32.const 0))) {length}"),
            )
            .start();
        let stream = vm.open(exchange());
        vm.request_body(stream).unwrap();
        vm.request_trailers(stream).unwrap();
        assert_eq!(vm.said(), expected, "{answer}");
    }
}

#[test]
fn the_configuration_of_0_1_0_is_the_plugins_while_it_is_configured_and_else_the_vms() {
    let show =
        "(call $say (call $proxy_get_configuration (i32.const 8) (i32.const 12))) (call $show (i32.const 8))";
    let mut vm = Guest::new()
        .abi("0_1_0")
        .vm_configuration("the vm's")
        .configuration("the plugin's")
        .on("proxy_on_vm_start", show)
        .on("proxy_on_configure", show)
        .on("proxy_on_request_headers", show)
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "the vm's", "0", "the plugin's", "0", "the vm's"]);
    assert_eq!(unusual(Guest::new().abi("0_1_0"), Status::Ok, "proxy_get_configuration", &[8, 12]), []);
}

#[test]
fn each_direction_has_its_own_body() {
    let see = "(call $say (local.get $1))
        (drop (call $proxy_get_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 100) (i32.const 8) (i32.const 12)))
        (call $show (i32.const 8))";
    let mut vm = Guest::new().on("proxy_on_response_body", see).start();
    let stream = vm.open(exchange());
    vm.vm.on_body(stream, Direction::Response, true).unwrap();
    assert_eq!(vm.said(), ["5", "piece"]);
}

#[test]
fn a_body_of_a_mebibyte_crosses_whole() {
    let mut vm = Guest::new()
        .memory(r#"(memory (export "memory") 40)"#)
        .on(
            "proxy_on_request_body",
            "(call $say (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 8) (i32.const 12)))
             (call $say (i32.load (i32.const 12)))
             (call $say (call $proxy_set_buffer_bytes (i32.const 0) (i32.const 0) (i32.const -1)
                (i32.add (i32.load (i32.const 8)) (i32.const 1)) (i32.sub (i32.load (i32.const 12)) (i32.const 1))))",
        )
        .start();
    let body: Vec<u8> =
        (0..1024 * 1024_u32).map(|index| index.to_le_bytes()[0] ^ index.to_le_bytes()[1]).collect();
    let stream = vm.open(FakeStream { request_body: (Vec::new(), body.clone()), ..exchange() });
    vm.request_body(stream).unwrap();
    assert_eq!(vm.said(), ["0", "1048576", "0"]);
    assert!(vm.stream(stream).request_body.1 == body[1..]);
}
