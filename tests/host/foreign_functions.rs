//! `proxy_call_foreign_function`: its frame, and the functions that need a context.

use std::sync::atomic::Ordering;

use graft::host::foreign::NAMES;
use graft::host::stream::{LifeSpan, MetadataSource, MetadataValue};
use graft::host::types::Status;

use crate::guest::{Guest, Running, exchange};
use crate::phases::unusual;

/// A call as a guest makes it, saying the status and the result.
fn call(name: &str, argument: &[u8]) -> String {
    let hex: String = argument.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(call $say (call $proxy_call_foreign_function
             (text "{name}") (text "{hex}") (i32.const 8) (i32.const 12)))
           (call $show (i32.const 8)) (i64.store (i32.const 8) (i64.const 0))"#
    )
}

/// What a guest says that makes these calls in `proxy_on_request_headers` of [`exchange`], and its VM.
fn on_stream(calls: &[(&str, &[u8])]) -> (Vec<String>, Running) {
    let body: String = calls.iter().map(|(name, argument)| call(name, argument)).collect();
    let mut vm = Guest::new().on("proxy_on_request_headers", &body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    (vm.said(), vm)
}

/// What it says, and what the proxy was told.
fn told(calls: &[(&str, &[u8])]) -> (Vec<String>, Vec<String>) {
    let body: String = calls.iter().map(|(name, argument)| call(name, argument)).collect();
    let mut vm = Guest::new().on("proxy_on_request_headers", &body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let told = vm.stream(stream).told.clone();
    (vm.said(), told)
}

#[test]
fn a_name_that_nobody_has_is_not_found_and_writes_nothing() {
    let body = r#"(i64.store (i32.const 8) (i64.const 7))
        (call $say (call $proxy_call_foreign_function
            (text "no_such") (text "") (i32.const 8) (i32.const 12)))
        (call $say (i32.load (i32.const 8)))"#;
    let mut vm = Guest::new().on("proxy_on_configure", body).start();
    assert_eq!(vm.said(), ["1", "7"]);
    vm.open(exchange());
}

#[test]
fn a_function_that_fails_writes_zeros() {
    let body = r#"(i64.store (i32.const 8) (i64.const -1))
        (call $say (call $proxy_call_foreign_function
            (text "uncompress") (text "no stream") (i32.const 8) (i32.const 12)))
        (call $say64 (i64.load (i32.const 8)))"#;
    let vm = Guest::new().on("proxy_on_configure", body).start();
    assert_eq!(vm.said(), ["3", "0"]);
}

#[test]
fn a_guest_that_wants_no_result_gives_no_address() {
    let body = r#"
        (call $say (call $proxy_call_foreign_function
            (text "compress") (text "text") (i32.const 0) (i32.const 0)))
        (i32.store (i32.const 12) (i32.const 0))
        (call $say (call $proxy_call_foreign_function
            (text "compress") (text "text") (i32.const 0) (i32.const 12)))
        (call $say (i32.gt_u (i32.load (i32.const 12)) (i32.const 0)))"#;
    let vm = Guest::new().on("proxy_on_configure", body).start();
    assert_eq!(vm.said(), ["0", "0", "1"]);
}

#[test]
fn addresses_outside_the_memory_are_refused() {
    for arguments in [[0xffff_fff0, 8, 0, 0, 8, 12], [0, 0, 0xffff_fff0, 8, 8, 12]] {
        let refused =
            unusual(Guest::new(), Status::InvalidMemoryAccess, "proxy_call_foreign_function", &arguments);
        assert_eq!(refused, [], "{arguments:?}");
    }
    let body = r#"(call $say (call $proxy_call_foreign_function
        (text "compress") (text "text") (i32.const 0x7ffffff0) (i32.const 12)))"#;
    assert_eq!(Guest::new().on("proxy_on_configure", body).start().said(), ["6"]);
}

#[test]
fn every_function_refuses_arguments_that_it_cannot_read() {
    for name in NAMES {
        let (said, _) = on_stream(&[(name, b"\x0a\xff\xff")]);
        let takes_anything = [
            "compress",
            "clear_route_cache",
            "graft_log_to_span",
            "graft_start_child_span",
            "graft_list_shared_data",
        ];
        let status = match *name {
            name if takes_anything.contains(&name) => "0",
            "uncompress" => "3",
            _ => "2",
        };
        // A reason may have been logged before.
        assert_eq!(said[said.len() - 2], status, "{name}");
    }
}

#[test]
fn what_is_compressed_can_be_uncompressed() {
    let body = r#"
        (call $say (call $proxy_call_foreign_function
            (text "compress") (text "some text, some text") (i32.const 8) (i32.const 12)))
        (call $say (call $proxy_call_foreign_function (text "uncompress")
            (i32.load (i32.const 8)) (i32.load (i32.const 12)) (i32.const 8) (i32.const 12)))
        (call $show (i32.const 8))"#;
    let vm = Guest::new().on("proxy_on_configure", body).start();
    assert_eq!(vm.said(), ["0", "0", "some text, some text"]);
}

#[test]
fn a_stream_larger_than_the_memory_of_a_guest_is_refused() {
    let compress = r#"
        (call $say (call $proxy_call_foreign_function
            (text "compress") (i32.const 65536) (i32.const 65536) (i32.const 8) (i32.const 12)))
        (call $say (call $proxy_call_foreign_function (text "uncompress")
            (i32.load (i32.const 8)) (i32.load (i32.const 12)) (i32.const 0) (i32.const 0)))"#;
    let vm = Guest::new().limits(131_072, 100).on("proxy_on_configure", compress).start();
    assert_eq!(vm.said(), ["0", "0"]);
}

#[test]
fn the_route_cache_is_cleared_for_the_stream() {
    let body = call("clear_route_cache", b"");
    let mut vm = Guest::new().on("proxy_on_configure", &body).on("proxy_on_request_headers", &body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "", "0", ""]);
    assert_eq!(vm.stream(stream).route_cache_clears, 1);
}

#[test]
fn filter_state_objects_are_made_by_the_proxy() {
    let (said, told) = told(&[
        ("set_envoy_filter_state", b"\x0a\x07envoy.x\x12\x03abc\x18\x02"),
        ("set_envoy_filter_state", b"\x0a\x05other\x12\x03abc"),
    ]);
    assert_eq!(said, ["0", "", "1", ""]);
    assert_eq!(told, ["object envoy.x abc"]);
}

#[test]
fn a_property_that_was_declared_read_only_is_set_once() {
    let set = r#"(call $say (call $proxy_set_property (text "mine") (text "value")))"#;
    let mut vm = Guest::new()
        .on("proxy_on_configure", &call("declare_property", b"\x0a\x04mine\x10\x01\x28\x02").repeat(2))
        .on("proxy_on_request_headers", &set.repeat(2))
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "", "2", "", "0", "2"]);
    assert_eq!(vm.stream(stream).last_span, LifeSpan::Connection);
}

#[test]
fn an_expression_is_evaluated_over_the_stream() {
    let mut vm = Guest::new()
        .named("name", "root", "vm")
        .on(
            "proxy_on_configure",
            &[
                call("expr_create", b"request.path + ' ' + plugin_name"),
                call("expr_create", b"request.headers['none']"),
                call("expr_create", b"1 +"),
            ]
            .concat(),
        )
        .on(
            "proxy_on_request_headers",
            &[
                call("expr_evaluate", &[0; 4]),
                call("expr_evaluate", &[1, 0, 0, 0]),
                call("expr_delete", &[0; 4]),
                call("expr_evaluate", &[0; 4]),
            ]
            .concat(),
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let said = vm.said();
    assert_eq!(said[6..], ["", "0", "/a name", "No such key: none", "10", "", "0", "", "1", ""]);
    assert_eq!([&said[0], &said[2], &said[5]], ["0", "0", "2"]);
}

#[test]
fn an_expression_acts_for_the_effective_context() {
    let act = "(drop (call $proxy_set_effective_context (i32.const 2)))";
    let mut vm = Guest::new()
        .on("proxy_on_configure", &call("expr_create", b"request.path"))
        .on(
            "proxy_on_tick",
            &[call("expr_evaluate", &[0; 4]).as_str(), act, &call("expr_evaluate", &[0; 4])].concat(),
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.said();
    vm.vm.on_tick(1);
    assert_eq!(
        vm.said(),
        ["Undeclared reference to 'request'", "10", "", "0", "/a"],
        "a root has no request, the stream has"
    );
}

#[test]
fn expressions_of_one_plugin_are_bounded() {
    let body = r#"
        (loop $again
            (local.set $status (call $proxy_call_foreign_function
                (text "expr_create") (text "1 + 1") (i32.const 0) (i32.const 0)))
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (br_if $again (i32.eqz (local.get $status))))
        (call $say (local.get $status))
        (call $say (i32.lt_u (local.get $count) (i32.const 10000)))"#;
    let body = format!("(local $status i32) (local $count i32) {body}");
    let vm = Guest::new().on("proxy_on_configure", &body).start();
    assert_eq!(vm.said(), ["10", "1"]);
}

#[test]
fn metadata_has_types() {
    let mut metadata = exchange();
    metadata.metadata.push((
        MetadataSource::Route,
        b"ns".to_vec(),
        b"list".to_vec(),
        MetadataValue::List(vec![MetadataValue::Text(b"a".to_vec()), MetadataValue::Boolean(false)]),
    ));
    let body = [
        call("graft_set_metadata", b"\x0a\x02ns\x12\x01k\x1a\x03\x1a\x01v"),
        call("graft_get_metadata", b"\x0a\x02ns\x12\x01k"),
        call("graft_get_metadata", b"\x0a\x02ns\x12\x04list\x18\x01"),
        call("graft_get_metadata", b"\x0a\x02ns\x12\x04list"),
        call("graft_set_metadata", b"\x0a\x02ns\x12\x01k\x1a\x02\x08\x00"),
        call("graft_get_metadata", b"\x0a\x02ns\x12\x01k\x18\x05"),
    ];
    let mut vm = Guest::new().on("proxy_on_request_headers", &body.concat()).start();
    let stream = vm.open(metadata);
    vm.request_headers(stream).unwrap();
    let list = "2\t\n\u{3}\u{1a}\u{1}a\n\u{2} \u{0}";
    assert_eq!(vm.said(), ["0", "", "0", "\u{1a}\u{1}v", "0", list, "1", "", "2", "", "2", ""]);
}

#[test]
fn spans_and_hosts_are_told_to_the_proxy() {
    let (said, told) = told(&[
        ("graft_set_span_tag", b"\x0a\x01k\x12\x01v"),
        ("graft_log_to_span", b"event"),
        ("graft_start_child_span", b"work"),
        ("graft_set_span_tag", b"\x0a\x01k\x12\x01v\x18\x01"),
        ("graft_set_span_tag", b"\x0a\x01k\x12\x01v\x18\x02"),
        ("graft_finish_child_span", &[1, 0, 0, 0]),
        ("graft_finish_child_span", &[2, 0, 0, 0]),
        ("graft_override_upstream_host", b"\x0a\x0410:1\x10\x01"),
        ("graft_override_upstream_host", b"\x0a\x02no"),
    ]);
    let statuses: Vec<_> = said.iter().step_by(2).collect();
    assert_eq!(statuses, ["0", "0", "0", "0", "1", "0", "1", "0", "2"]);
    assert_eq!(
        told,
        ["tag of 0 k v", "event event", "child work", "tag of 1 k v", "end of 1", "strict host 10:1"]
    );
}

#[test]
fn what_needs_a_stream_is_not_found_without_one() {
    let calls: [(&str, &[u8]); 7] = [
        ("set_envoy_filter_state", b"\x0a\x07envoy.x\x12\x03abc"),
        ("graft_set_metadata", b"\x0a\x02ns\x12\x01k\x1a\x03\x1a\x01v"),
        ("graft_get_metadata", b"\x0a\x02ns\x12\x01k"),
        ("graft_set_span_tag", b"\x0a\x01k\x12\x01v"),
        ("graft_log_to_span", b"event"),
        ("graft_start_child_span", b"work"),
        ("graft_override_upstream_host", b"\x0a\x0410:1"),
    ];
    for (name, argument) in calls {
        let vm = Guest::new().on("proxy_on_configure", &call(name, argument)).start();
        assert_eq!(vm.said(), ["1", ""], "{name}");
    }
}

#[test]
fn shared_data_ends_is_listed_and_is_deleted() {
    let get = r#"(call $say (call $proxy_get_shared_data (text "k1") (i32.const 8) (i32.const 12) (i32.const 20)))"#;
    let before = [
        call("graft_set_shared_data", b"\x0a\x02k1\x12\x01v\x20\x05"),
        call("graft_set_shared_data", b"\x0a\x02k2\x12\x01v"),
        call("graft_set_shared_data", b"\x0a\x02k2\x12\x01w\x18\x7f"),
        call("graft_list_shared_data", b"k"),
        get.to_owned(),
    ];
    let after = [
        get.to_owned(),
        call("graft_list_shared_data", b"k"),
        call("graft_delete_shared_data", b"\x0a\x02k2\x10\x7f"),
        call("graft_delete_shared_data", b"\x0a\x02k2"),
        call("graft_delete_shared_data", b"\x0a\x02k2"),
        call("graft_list_shared_data", b"k"),
    ];
    let mut vm = Guest::new()
        .on("proxy_on_configure", &before.concat())
        .on("proxy_on_request_headers", &after.concat())
        .start();
    let said = vm.said();
    assert_eq!(said[..6], ["0", "\u{1}", "0", "\u{1}", "0", "\0"]);
    assert!(said[7].contains("k1") && said[7].contains("k2"), "{said:?}");
    assert_eq!(said[8], "0");
    vm.services.now.store(5_000_000, Ordering::Relaxed);
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let said = vm.said();
    assert_eq!(said[..2], ["1", "0"]);
    assert!(said[2].contains("k2") && !said[2].contains("k1"), "{said:?}");
    assert_eq!(said[3..], ["0", "\0", "0", "\u{1}", "1", "", "0", "\0\0\0\0"]);
}
