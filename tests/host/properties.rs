//! Properties: those that the host answers itself, those of the stream, and setting them.

use graft::host::testing::FakeStream;
use graft::host::types::Status;

use crate::guest::{Guest, VALUE, exchange, plugin};
use crate::phases::unusual;

/// What a guest says that reads a property in an entry point: status, and the value.
fn get(path: &str) -> String {
    format!(
        r#"(call $say (call $proxy_get_property (text "{path}") (i32.const 8) (i32.const 12)))
           (call $show (i32.const 8)) (i64.store (i32.const 8) (i64.const 0))"#
    )
}

/// The same in `proxy_on_request_headers` of [`exchange`].
fn on_stream(path: &str) -> Vec<String> {
    let mut vm = Guest::new().named("name", "root", "vm").on("proxy_on_request_headers", &get(path)).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    vm.said()
}

#[test]
fn a_property_of_the_stream_is_given_in_its_wire_form() {
    assert_eq!(on_stream(r"request\00path"), ["0", "/a"]);
}

#[test]
fn a_trailing_separator_is_tolerated() {
    assert_eq!(on_stream(r"request\00path\00"), ["0", "/a"]);
    assert_eq!(on_stream(r"plugin_name\00"), ["0", "name"]);
    assert_eq!(on_stream(r"request\00path\00\00"), ["1", ""]);
}

#[test]
fn what_is_not_there_is_not_found() {
    for path in [r"request\00none", "nonsense", r"\00", r"plugin_", r"plugin_name\00x", "PLUGIN_NAME"] {
        assert_eq!(on_stream(path), ["1", ""], "{path}");
    }
}

#[test]
fn the_whole_of_properties_has_no_wire_form() {
    assert_eq!(on_stream(""), ["3", ""]);
}

#[test]
fn a_path_longer_than_any_is_not_found() {
    let arguments = [0, 65_536, i64::from(VALUE), 12];
    assert_eq!(unusual(Guest::new(), Status::NotFound, "proxy_get_property", &arguments), []);
}

#[test]
fn the_plugin_knows_its_own_names_in_every_context() {
    for (path, expected) in [("plugin_name", "name"), ("plugin_root_id", "root"), ("plugin_vm_id", "vm")] {
        let mut vm = Guest::new()
            .named("name", "root", "vm")
            .on("proxy_on_configure", &get(path))
            .on("proxy_on_request_headers", &get(path))
            .start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        assert_eq!(vm.said(), ["0", expected, "0", expected], "{path}");
    }
}

#[test]
fn each_plugin_of_a_vm_knows_its_own_name() {
    let mut vm =
        Guest::new().named("one", "", "").on("proxy_on_request_headers", &get("plugin_name")).start();
    let other = vm.add(plugin(2, "two", b"")).unwrap();
    let stream = vm.vm.create_stream(other, exchange()).unwrap();
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "two"]);
}

#[test]
fn a_root_has_no_properties_of_a_stream() {
    let vm = Guest::new().on("proxy_on_configure", &get(r"request\00path")).start();
    assert_eq!(vm.said(), ["1", ""]);
}

#[test]
fn a_stream_has_its_properties_in_every_phase() {
    let arguments = [16, 12, i64::from(VALUE), 12];
    let root = |phase| (phase, "1".to_owned());
    assert_eq!(
        unusual(Guest::new().data(16, r"request\00path"), Status::Ok, "proxy_get_property", &arguments),
        [root("root create"), root("vm start"), root("configure"), root("root done"), root("root delete")]
    );
}

#[test]
fn an_empty_value_is_no_bytes_at_no_address() {
    let mut vm = Guest::new()
        .export("malloc", "unreachable")
        .on(
            "proxy_on_request_headers",
            r#"(i64.store (i32.const 8) (i64.const -1))
               (call $say (call $proxy_get_property (text "empty") (i32.const 8) (i32.const 12)))
               (call $say64 (i64.load (i32.const 8)))"#,
        )
        .start();
    let stream = vm.open(FakeStream { properties: [(b"empty".to_vec(), Vec::new())].into(), ..exchange() });
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0"]);
}

#[test]
fn what_is_set_is_stored_under_the_path_as_it_was_given() {
    let mut vm = Guest::new()
        .on(
            "proxy_on_request_headers",
            r#"(call $say (call $proxy_set_property (text "a\00b\00") (text "value\00")))
               (call $say (call $proxy_set_property (text "") (text "")))"#,
        )
        .start();
    let stream = vm.open(FakeStream::default());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0"]);
    let expected = [(b"a\0b\0".to_vec(), b"value\0".to_vec()), (Vec::new(), Vec::new())];
    assert_eq!(vm.stream(stream).properties, expected.into());
}

#[test]
fn a_property_that_the_proxy_keeps_read_only_is_a_bad_argument() {
    let mut vm = Guest::new()
        .on("proxy_on_request_headers", r#"(call $say (call $proxy_set_property (text "k") (text "v")))"#)
        .start();
    let stream = vm.open(FakeStream { read_only: vec![b"k".to_vec()], ..FakeStream::default() });
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["2"]);
    assert!(vm.stream(stream).properties.is_empty());
}

#[test]
fn a_root_has_no_place_to_set_a_property() {
    let root = |phase| (phase, "1".to_owned());
    assert_eq!(
        unusual(Guest::new(), Status::Ok, "proxy_set_property", &[16, 1, 16, 1]),
        [root("root create"), root("vm start"), root("configure"), root("root done"), root("root delete")]
    );
}

#[test]
fn reading_many_properties_in_turn_mixes_none_up() {
    let body = [get(r"request\00path"), get("plugin_name"), get("none"), get(r"request\00path")].concat();
    let mut vm = Guest::new().named("a-longer-name", "", "").on("proxy_on_request_headers", &body).start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "/a", "0", "a-longer-name", "1", "", "0", "/a"]);
}
