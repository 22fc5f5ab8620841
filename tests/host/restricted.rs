//! Code that starts or allocates: the few hostcalls that it may use, and allocators that misbehave.

use crate::guest::{Guest, HEAP, MEMORY, Running, call, exchange, hostcalls};

/// A guest that gets the header `:path` when request headers arrive, with this allocator.
fn getting(malloc: &str) -> Running {
    Guest::new()
        .export("malloc", malloc)
        .on(
            "proxy_on_request_headers",
            r#"(i64.store (i32.const 8) (i64.const 0))
               (call $say (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#,
        )
        .start()
}

/// The arguments of a hostcall when they do not matter.
fn zeros(parameters: usize) -> Vec<i64> {
    vec![0; parameters]
}

/// Hostcalls that need no context, so that code may call them while it starts or allocates.
const FREE: [&str; 2] = ["proxy_log", "proxy_get_log_level"];

fn abi_of(name: &str) -> &'static str {
    if graft::host::hostcalls::V0_1_0.iter().any(|row| row.name == name) { "0_1_0" } else { "0_2_1" }
}

#[test]
fn code_that_starts_may_call_no_hostcall_but_the_log() {
    for row in hostcalls() {
        let body = format!("(drop {})", call(row.name, &zeros(row.parameters)));
        for entry in ["_initialize", "_start"] {
            let started = Guest::new().abi(abi_of(row.name)).on(entry, &body).try_start();
            match (FREE.contains(&row.name), started) {
                (true, started) => assert!(started.is_ok(), "{}", row.name),
                (false, Ok(_)) => panic!("{} was allowed in {entry}", row.name),
                (false, Err(error)) => {
                    let expected = format!(
                        "Function: {entry} failed: {} was called while the code starts or allocates, \
                         expected only proxy_log and WASI there",
                        row.name
                    );
                    assert!(error.to_string().contains(&expected), "{error}");
                }
            }
        }
    }
}

#[test]
fn a_start_section_and_main_are_restricted_too() {
    let guest = Guest::new().on("_initialize", "").on("main", "(drop (call $proxy_done))");
    assert!(guest.try_start().is_err());
    let guest = Guest::new().with("(func $begin (drop (call $proxy_done))) (start $begin)");
    assert!(guest.try_start().is_err());
}

#[test]
fn the_restriction_ends_with_the_start() {
    let time = "(call $say (call $proxy_get_current_time_nanoseconds (i32.const 8)))";
    let vm = Guest::new().on("_initialize", "").on("proxy_on_context_create", time).start();
    assert_eq!(vm.said(), ["0"]);
}

#[test]
fn an_allocator_may_log_and_the_line_is_the_vms() {
    let mut vm = Guest::new()
        .named("name", "root", "vm")
        .export("malloc", r#"(drop (call $proxy_log (i32.const 2) (text "in malloc"))) (i32.const 65536)"#)
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))"#,
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.services.log(), ["wasm log: in malloc", "wasm log name root vm: /a"]);
}

#[test]
fn an_allocator_that_calls_a_hostcall_ends_its_vm() {
    for row in hostcalls().filter(|row| !FREE.contains(&row.name)) {
        let body = format!("(drop {}) (i32.const 65536)", call(row.name, &zeros(row.parameters)));
        let mut vm = Guest::new()
            .abi(abi_of(row.name))
            .export("malloc", &body)
            .on(
                "proxy_on_request_headers",
                r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))"#,
            )
            .start();
        let stream = vm.open(exchange());
        let error = vm.request_headers(stream).unwrap_err().to_string();
        assert!(
            error.contains(&format!("{} was called while the code starts or allocates", row.name)),
            "{error}"
        );
        assert!(vm.vm.has_failed());
    }
}

#[test]
fn an_allocator_may_use_wasi_as_gos_does() {
    let mut vm = Guest::new()
        .import(
            r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
               (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))"#,
        )
        .export(
            "malloc",
            "(call $say (call $clock (i32.const 1) (i64.const 0) (i32.const 32)))
             (call $say (call $poll (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 32)))
             (i32.const 65536)",
        )
        .on(
            "proxy_on_request_headers",
            r#"(call $say (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))"#,
        )
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "0", "0"]);
}

#[test]
fn after_an_allocation_the_guest_acts_as_before() {
    let mut vm = Guest::new()
        .allowing_stop_iteration()
        .answer("proxy_on_request_headers", 1, "")
        .on(
            "proxy_on_request_body",
            r#"(drop (call $proxy_set_effective_context (i32.const 2)))
               (drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
               (call $show (i32.const 8))
               (call $say (call $proxy_remove_header_map_value (i32.const 0) (text ":path")))"#,
        )
        .start();
    let (first, second) = (vm.open(exchange()), vm.open(exchange()));
    vm.request_headers(first).unwrap();
    vm.request_body(second).unwrap();
    assert_eq!(vm.said(), ["/a", "0"]);
    assert_eq!(vm.stream(first).request_headers.as_ref().unwrap().len(), 4);
}

#[test]
fn an_allocator_that_has_no_memory_left_is_an_invalid_access() {
    let mut vm = getting("(i32.const 0)");
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["6", ""]);
}

#[test]
fn an_allocator_that_points_outside_is_an_invalid_access() {
    // The value has two bytes.
    for address in [MEMORY - 1, MEMORY, MEMORY + 1, 0x7fff_ffff, 0xffff_fffe, 0xffff_ffff] {
        let mut vm = getting(&format!("(i32.const {address})"));
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        assert_eq!(vm.said(), ["6", ""], "{address}");
    }
    let mut vm = getting(&format!("(i32.const {})", MEMORY - 2));
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "/a"], "the last two bytes are memory");
}

#[test]
fn an_allocator_that_traps_ends_its_vm() {
    let mut vm = getting("unreachable");
    let stream = vm.open(exchange());
    let error = vm.request_headers(stream).unwrap_err().to_string();
    assert!(
        error.starts_with("Function: proxy_on_request_headers failed: wasm trap: wasm `unreachable`"),
        "{error}"
    );
    assert!(vm.vm.has_failed());
    vm.vm.end_stream(stream);
}

#[test]
fn an_allocator_is_given_the_size_and_its_memory_may_grow() {
    let mut vm = getting(
        "(call $say (local.get $0))
         (drop (memory.grow (i32.const 1)))
         (i32.const 131072)",
    );
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["2", "0", "/a"], "the value lies in the page that the allocator added");
}

#[test]
fn malloc_is_preferred_and_the_other_allocator_is_enough() {
    let get = r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))
                 (call $say (i32.load (i32.const 8)))"#;
    let run = |guest: Guest| {
        let mut vm = guest.on("proxy_on_request_headers", get).start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        vm.said().remove(0)
    };
    let both = Guest::new().answer("proxy_on_memory_allocate", HEAP + 2, "").answer("malloc", HEAP + 1, "");
    assert_eq!(run(both), (HEAP + 1).to_string());
    let other = Guest::new().answer("proxy_on_memory_allocate", HEAP + 2, "");
    assert_eq!(run(other), (HEAP + 2).to_string());
}

#[test]
fn an_allocator_that_recurses_for_ever_ends_its_vm() {
    let mut vm = Guest::new()
        .without_allocator()
        .with(r#"(func $malloc (export "malloc") (param i32) (result i32) (call $malloc (local.get 0)))"#)
        .on(
            "proxy_on_request_headers",
            r#"(drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12)))"#,
        )
        .start();
    let stream = vm.open(exchange());
    let error = vm.request_headers(stream).unwrap_err().to_string();
    assert!(error.contains("call stack exhausted"), "{error}");
}
