//! Header maps: what can be read and written, with which answer, and when.

use graft::host::pairs;
use graft::host::testing::{FakeStream, pairs};
use graft::host::types::{Direction, HeadersAction, Status};

use crate::guest::{Guest, VALUE, exchange};
use crate::phases::unusual;

/// `(name, value)` as the proxy has them.
fn text(pairs: &graft::host::testing::Pairs) -> Vec<(String, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    pairs.iter().flatten().map(|(name, value)| (text(name), text(value))).collect()
}

/// What a guest says that gets this header of this map while the request's headers are there.
fn get(guest: Guest, map: u32, name: &str) -> Vec<String> {
    let body = format!(
        r#"(i64.store (i32.const 8) (i64.const 0x0000000000000000))
           (call $say (call $proxy_get_header_map_value (i32.const {map}) (text "{name}") (i32.const 8) (i32.const 12)))
           (call $show (i32.const 8))"#
    );
    let mut vm = guest.on("proxy_on_request_headers", &body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.said()
}

/// The request headers after a guest ran this in `proxy_on_request_headers`, and what it said.
fn edit(body: &str) -> (Vec<String>, FakeStream) {
    let mut vm = Guest::new().on("proxy_on_request_headers", body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    (vm.said(), vm.stream(stream).clone())
}

#[test]
fn the_first_of_repeated_headers_is_given() {
    assert_eq!(get(Guest::new(), 0, "x-a"), ["0", "1"]);
}

#[test]
fn names_match_in_any_letter_case() {
    assert_eq!(get(Guest::new(), 0, "X-A"), ["0", "1"]);
    assert_eq!(get(Guest::new(), 0, ":PATH"), ["0", "/a"]);
}

#[test]
fn an_empty_value_is_no_bytes_at_no_address() {
    assert_eq!(get(Guest::new(), 0, "x-empty"), ["0", ""]);
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            r#"(i64.store (i32.const 8) (i64.const -1))
               (call $say (call $proxy_get_header_map_value (i32.const 0) (text "x-empty") (i32.const 8) (i32.const 12)))
               (call $say64 (i64.load (i32.const 8)))"#,
        )
        .export("malloc", "unreachable")
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0"], "and the allocator was not asked");
}

#[test]
fn a_header_that_is_not_there_is_not_found() {
    assert_eq!(get(Guest::new(), 0, "x-none"), ["1", ""]);
    assert_eq!(get(Guest::new(), 0, ""), ["1", ""]);
}

#[test]
fn before_0_2_0_a_header_that_is_not_there_is_empty() {
    assert_eq!(get(Guest::new().abi("0_1_0"), 0, "x-none"), ["0", ""]);
    assert_eq!(get(Guest::new().abi("0_2_0"), 0, "x-none"), ["1", ""]);
}

#[test]
fn a_map_that_is_not_there_now_is_a_bad_argument() {
    for map in [1, 2, 3, 4, 5, 6, 7] {
        assert_eq!(get(Guest::new(), map, "x-a"), ["2", ""], "{map}");
        assert_eq!(get(Guest::new().abi("0_1_0"), map, "x-a"), ["2", ""], "{map}");
    }
}

#[test]
fn a_number_that_is_no_map_is_a_bad_argument_for_every_hostcall() {
    for map in [8, 9, 0x7fff_ffff, 0xffff_ffff] {
        for (hostcall, arguments) in [
            ("proxy_get_header_map_value", &[map, 0, 1, 8, 12][..]),
            ("proxy_get_header_map_pairs", &[map, 8, 12]),
            ("proxy_get_header_map_size", &[map, 8]),
            ("proxy_set_header_map_pairs", &[map, 0, 0]),
            ("proxy_add_header_map_value", &[map, 0, 1, 0, 1]),
            ("proxy_replace_header_map_value", &[map, 0, 1, 0, 1]),
            ("proxy_remove_header_map_value", &[map, 0, 1]),
        ] {
            assert_eq!(
                unusual(Guest::new(), Status::BadArgument, hostcall, arguments),
                [],
                "{hostcall} {map}"
            );
        }
    }
}

#[test]
fn a_value_can_be_read_in_the_phase_of_its_map_and_in_the_log() {
    let read = |map| {
        // The name is "t", which only the request trailers have; so a map that can be read answers NOT_FOUND.
        let arguments = [map, 16, 1, i64::from(VALUE), 12];
        unusual(Guest::new().data(16, "t"), Status::BadArgument, "proxy_get_header_map_value", &arguments)
    };
    let at = |phase, status: Status| (phase, (status as u32).to_string());
    assert_eq!(read(0), [at("request headers", Status::NotFound), at("log", Status::NotFound)]);
    assert_eq!(read(1), [at("request trailers", Status::Ok), at("log", Status::NotFound)]);
    assert_eq!(read(2), [at("response headers", Status::NotFound), at("log", Status::NotFound)]);
    assert_eq!(read(3), [at("response trailers", Status::NotFound), at("log", Status::NotFound)]);
    // Replies to callouts have no maps outside their entry points, but a log takes no map amiss.
    for map in 4..8 {
        assert_eq!(read(map), [at("log", Status::NotFound)], "{map}");
    }
}

#[test]
fn the_log_reads_every_map_but_the_request_trailers() {
    let read = |map: u32, name: &str| {
        let body = format!(
            r#"(call $say (call $proxy_get_header_map_value (i32.const {map}) (text "{name}") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#
        );
        let mut vm = Guest::new().on("proxy_on_log", &body).start();
        let stream = vm.open(exchange());
        vm.vm.on_log(stream).unwrap();
        vm.said()
    };
    assert_eq!(read(0, ":path"), ["0", "/a"]);
    assert_eq!(read(1, "t"), ["1", ""]);
    assert_eq!(read(2, ":status"), ["0", "200"]);
    assert_eq!(read(3, "u"), ["0", "5"]);
}

#[test]
fn the_log_of_0_1_0_reads_a_missing_map_as_empty_values() {
    let arguments = [2, 16, 1, i64::from(VALUE), 12];
    let mut vm = Guest::new()
        .abi("0_1_0")
        .calling("proxy_on_log", "proxy_get_header_map_value", &[&arguments])
        .start();
    let stream = vm.open(FakeStream::default());
    vm.vm.on_log(stream).unwrap();
    assert_eq!(vm.said(), ["0"]);
}

#[test]
fn all_pairs_are_given_in_order() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_response_headers",
            "(call $say (call $proxy_get_header_map_pairs (i32.const 2) (i32.const 8) (i32.const 12)))
             (call $show (i32.const 8))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.response_headers(stream).unwrap();
    let said = vm.said();
    assert_eq!(said[0], "0");
    let given: Vec<_> = pairs::decode(said[1].as_bytes()).collect();
    assert_eq!(given, [(&b":status"[..], &b"200"[..]), (b"x-r", b"4")]);
}

#[test]
fn all_pairs_of_a_map_that_is_empty_or_not_there_are_no_bytes() {
    let arguments = [0, i64::from(VALUE), 12];
    for map in 0..8 {
        let arguments = [map, i64::from(VALUE), 12];
        assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_get_header_map_pairs", &arguments), []);
    }
    let mut vm = Guest::new()
        .calling("proxy_on_request_headers", "proxy_get_header_map_pairs", &[&arguments])
        .export("malloc", "unreachable")
        .start();
    let stream = vm.open(FakeStream { request_headers: pairs(&[]), ..FakeStream::default() });
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0"]);
}

#[test]
fn the_size_of_a_map_is_that_of_its_names_and_values() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            "(call $say (call $proxy_get_header_map_size (i32.const 0) (i32.const 8)))
             (call $say (i32.load (i32.const 8)))",
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    // :methodPOST :path/a x-a1 x-a2 x-empty
    assert_eq!(vm.said(), ["0", &(11 + 7 + 4 + 4 + 7).to_string()]);
}

#[test]
fn a_size_is_asked_of_maps_that_could_be_written() {
    let sized = |map| unusual(Guest::new(), Status::BadArgument, "proxy_get_header_map_size", &[map, 8]);
    let only = |phase| vec![(phase, "0".to_owned())];
    assert_eq!(sized(0), only("request headers"));
    assert_eq!(sized(1), only("request trailers"));
    assert_eq!(sized(2), only("response headers"));
    assert_eq!(sized(3), only("response trailers"));
    for map in 4..8 {
        assert_eq!(sized(map), [], "{map}");
    }
}

#[test]
fn a_map_is_written_only_in_its_phase() {
    for (hostcall, rest) in [
        ("proxy_set_header_map_pairs", &[0, 0][..]),
        ("proxy_add_header_map_value", &[16, 1, 16, 1]),
        ("proxy_replace_header_map_value", &[16, 1, 16, 1]),
        ("proxy_remove_header_map_value", &[16, 1]),
    ] {
        let written = |map: i64| {
            let arguments = [&[map], rest].concat();
            unusual(Guest::new().data(16, "n"), Status::BadArgument, hostcall, &arguments)
        };
        let only = |phase| vec![(phase, "0".to_owned())];
        assert_eq!(written(0), only("request headers"), "{hostcall}");
        assert_eq!(written(1), only("request trailers"), "{hostcall}");
        assert_eq!(written(2), only("response headers"), "{hostcall}");
        assert_eq!(written(3), only("response trailers"), "{hostcall}");
        for map in 4..8 {
            assert_eq!(written(map), [], "{hostcall} {map}");
        }
    }
}

#[test]
fn headers_that_are_held_stay_writable_while_the_body_arrives() {
    let add = &[0, 16, 1, 16, 1][..];
    let mut vm = Guest::new()
        .data(16, "n")
        .allowing_stop_iteration()
        .answer("proxy_on_request_headers", 1, "")
        .calling("proxy_on_request_body", "proxy_add_header_map_value", &[add])
        .calling("proxy_on_response_headers", "proxy_add_header_map_value", &[add])
        .start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::StopIteration));
    vm.request_body(stream).unwrap();
    vm.response_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0"]);
    assert_eq!(text(&vm.stream(stream).request_headers).len(), 7);
}

#[test]
fn an_added_header_stands_beside_those_of_its_name() {
    let (said, stream) = edit(
        r#"(call $say (call $proxy_add_header_map_value (i32.const 0) (text "X-A") (text "9")))
           (call $say (call $proxy_add_header_map_value (i32.const 0) (text "x-new") (text "")))"#,
    );
    assert_eq!(said, ["0", "0"]);
    let headers = text(&stream.request_headers);
    let values: Vec<_> = headers.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| value).collect();
    assert_eq!(values, ["1", "2", "9"]);
    assert!(headers.contains(&("x-new".to_owned(), String::new())));
}

#[test]
fn a_replaced_header_has_one_value_and_is_made_if_it_was_not_there() {
    let (said, stream) = edit(
        r#"(call $say (call $proxy_replace_header_map_value (i32.const 0) (text "x-a") (text "only")))
           (call $say (call $proxy_replace_header_map_value (i32.const 0) (text "x-new") (text "one")))"#,
    );
    assert_eq!(said, ["0", "0"]);
    let headers = text(&stream.request_headers);
    assert_eq!(headers.iter().filter(|(name, _)| name == "x-a").count(), 1);
    assert!(headers.contains(&("x-a".to_owned(), "only".to_owned())));
    assert!(headers.contains(&("x-new".to_owned(), "one".to_owned())));
}

#[test]
fn removing_takes_all_values_and_what_is_not_there_is_fine() {
    let (said, stream) = edit(
        r#"(call $say (call $proxy_remove_header_map_value (i32.const 0) (text "X-A")))
           (call $say (call $proxy_remove_header_map_value (i32.const 0) (text "x-none")))"#,
    );
    assert_eq!(said, ["0", "0"]);
    assert_eq!(text(&stream.request_headers).len(), 3);
}

#[test]
fn set_pairs_replaces_the_whole_map() {
    // Two pairs, a=1 and b=22, written by hand.
    let (said, stream) = edit(
        r#"(call $say (call $proxy_set_header_map_pairs (i32.const 0)
             (text "\02\00\00\00\01\00\00\00\01\00\00\00\01\00\00\00\02\00\00\00a\001\00b\0022\00")))"#,
    );
    assert_eq!(said, ["0"]);
    let expected = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "22".to_owned())];
    assert_eq!(text(&stream.request_headers), expected);
}

#[test]
fn pairs_that_are_no_pairs_empty_the_map_as_in_the_built_in_host() {
    for bytes in [
        "",
        r"\00",
        r"\01\00\00\00",
        r"\ff\ff\ff\ff",
        r"\01\00\00\00\01\00\00\00\01\00\00\00a-1-",
        "nonsense",
    ] {
        let (said, stream) =
            edit(&format!("(call $say (call $proxy_set_header_map_pairs (i32.const 0) (text \"{bytes}\")))"));
        assert_eq!(said, ["0"], "{bytes}");
        assert_eq!(text(&stream.request_headers), [], "{bytes}");
    }
}

#[test]
fn only_changes_of_request_headers_clear_the_route_cache() {
    let clears = |direction, map: u32| {
        let name = match direction {
            Direction::Request => "proxy_on_request_headers",
            Direction::Response => "proxy_on_response_headers",
        };
        let body = format!(
            r#"(drop (call $proxy_add_header_map_value (i32.const {map}) (text "n") (text "v")))
               (drop (call $proxy_replace_header_map_value (i32.const {map}) (text "n") (text "v")))
               (drop (call $proxy_remove_header_map_value (i32.const {map}) (text "n")))
               (drop (call $proxy_set_header_map_pairs (i32.const {map}) (text "")))"#
        );
        let mut vm = Guest::new().on(name, &body).start();
        let stream = vm.open(exchange());
        vm.vm.on_headers(stream, direction, true).unwrap();
        vm.stream(stream).route_cache_clears
    };
    assert_eq!(clears(Direction::Request, 0), 4);
    assert_eq!(clears(Direction::Response, 2), 0);
    assert_eq!(clears(Direction::Request, 1), 0, "a map that is not there was not changed");
}

#[test]
fn names_and_values_are_bytes_and_may_be_any() {
    let (said, stream) = edit(
        r#"(call $say (call $proxy_add_header_map_value (i32.const 0) (text "\ff\00") (text "\fe\0a")))
           (call $say (call $proxy_get_header_map_value (i32.const 0) (text "\ff\00") (i32.const 8) (i32.const 12)))
           (call $say (i32.load (i32.const 12)))"#,
    );
    assert_eq!(said, ["0", "0", "2"]);
    assert_eq!(stream.request_headers.unwrap().last().unwrap(), &(vec![0xff, 0], vec![0xfe, 0x0a]));
}
