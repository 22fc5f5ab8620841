//! The capability restriction: what is denied is there, answers that it is denied, and does nothing.

use graft::host::types::HeadersAction;
use graft::telemetry::Level;

use crate::guest::{Guest, call, exchange, hostcalls};

#[test]
fn every_hostcall_that_is_denied_answers_so_and_says_it() {
    for row in hostcalls().filter(|row| row.name != "proxy_log") {
        let abi = if graft::host::hostcalls::V0_1_0.contains(row) { "0_1_0" } else { "0_2_1" };
        let call = format!("(call $say {})", call(row.name, &vec![0; row.parameters]));
        let mut vm = Guest::new()
            .abi(abi)
            .allowing_only(&["proxy_log", "proxy_on_request_headers"])
            .on("proxy_on_request_headers", &call)
            .start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        let lines = vm.services.lines.lock().clone();
        let denied = format!("wasm log: Attempted call to restricted proxy-wasm capability: {}", row.name);
        assert_eq!(lines[0], (Level::Error, denied));
        assert_eq!(lines[1].1, "wasm log: 10", "{}", row.name);
        assert_eq!(*vm.stream(stream), exchange(), "{}", row.name);
        assert_eq!(vm.effects(stream), [], "{}", row.name);
    }
}

#[test]
fn the_log_itself_can_be_denied() {
    let mut vm = Guest::new()
        .allowing_only(&["proxy_on_request_headers"])
        .on("proxy_on_request_headers", r#"(drop (call $proxy_log (i32.const 2) (text "hello")))"#)
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["Attempted call to restricted proxy-wasm capability: proxy_log"]);
}

#[test]
fn a_hostcall_that_is_denied_answers_also_while_code_starts() {
    let vm = Guest::new()
        .allowing_only(&["proxy_log"])
        .on("_initialize", "(call $say (call $proxy_done))")
        .start();
    assert_eq!(vm.said()[1], "10", "and does not end the VM, as it would were it allowed");
}

#[test]
fn a_wasi_function_that_is_denied_answers_not_capable() {
    let vm = Guest::new()
        .allowing_only(&["proxy_log", "proxy_on_configure", "fd_write"])
        .import(
            r#"(import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
               (import "wasi_unstable" "random_get" (func $old (param i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
        )
        .on(
            "proxy_on_configure",
            "(call $say (call $random (i32.const 16) (i32.const 4)))
             (call $say (call $old (i32.const 16) (i32.const 4)))
             (call $say (i32.load (i32.const 16)))
             (call $say (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 16)))",
        )
        .start();
    let denied = "Attempted call to restricted WASI capability: random_get";
    assert_eq!(vm.said(), [denied, "76", denied, "76", "0", "0"]);
}

#[test]
fn an_entry_point_that_is_denied_is_not_called() {
    let mut vm = Guest::new()
        .allowing_only(&["proxy_log", "proxy_on_response_headers"])
        .export("proxy_on_request_headers", "unreachable")
        .export("proxy_on_context_create", "unreachable")
        .export("proxy_on_vm_start", "unreachable")
        .export("proxy_on_configure", "unreachable")
        .export("proxy_on_done", "unreachable")
        .answer("proxy_on_response_headers", 3, "")
        .start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_headers(stream), Ok(HeadersAction::Continue));
    assert_eq!(vm.response_headers(stream), Ok(HeadersAction::StopAllAndBuffer));
    vm.vm.end_stream(stream);
    assert!(!vm.vm.has_failed());
}

#[test]
fn how_code_starts_and_allocates_is_not_a_capability() {
    let mut vm = Guest::new()
        .allowing_only(&["proxy_log", "proxy_get_header_map_value", "proxy_on_request_headers"])
        .on("_initialize", r#"(drop (call $proxy_log (i32.const 2) (text "started")))"#)
        .on("main", r#"(drop (call $proxy_log (i32.const 2) (text "main")))"#)
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#,
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["started", "main", "/a"]);
}

#[test]
fn an_entry_point_that_is_denied_may_have_any_type() {
    let guest =
        Guest::new().allowing_only(&["proxy_log"]).with(r#"(func (export "proxy_on_log") (param i64))"#);
    assert!(guest.try_start().is_ok());
}

#[test]
fn the_helpers_of_emscripten_are_never_denied() {
    let vm = Guest::new()
        .allowing_only(&["proxy_log", "proxy_on_configure"])
        .import(r#"(import "env" "pthread_equal" (func $equal (param i32 i32) (result i32)))"#)
        .on("proxy_on_configure", "(call $say (call $equal (i32.const 1) (i32.const 1)))")
        .start();
    assert_eq!(vm.said(), ["1"]);
}
