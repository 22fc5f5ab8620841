//! WASI as a plugin uses it: printing becomes its log lines, the clocks are the process's, the environment the VM's.
//!
//! What each function answers is tested beside it, in `src/engine/wasi`.

use std::sync::atomic::Ordering;

use graft::telemetry::Level;

use crate::guest::{Guest, exchange};

const WRITE: &str =
    r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#;

/// Prints "hi\n" to a file descriptor.
fn print(fd: u32) -> String {
    format!(
        "(i32.store (i32.const 32) (i32.const 16)) (i32.store (i32.const 36) (i32.const 3))
         (call $say (call $write (i32.const {fd}) (i32.const 32) (i32.const 1) (i32.const 40)))"
    )
}

#[test]
fn what_is_printed_is_a_log_line_of_the_context() {
    let mut vm = Guest::new()
        .named("name", "root", "")
        .import(WRITE)
        .data(16, "hi\\0a")
        .on("_initialize", &print(1))
        .on("proxy_on_configure", &print(2))
        .on("proxy_on_request_headers", &print(1))
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let lines: Vec<_> =
        vm.services.lines.lock().clone().into_iter().filter(|(_, line)| line.ends_with("hi")).collect();
    assert_eq!(
        lines,
        [
            (Level::Info, "wasm log: hi".to_owned()),
            (Level::Error, "wasm log root: hi".to_owned()),
            (Level::Info, "wasm log name root: hi".to_owned()),
        ]
    );
}

#[test]
fn a_start_section_may_print() {
    let section = format!("(func $begin {}) (start $begin)", print(1));
    let vm = Guest::new().import(WRITE).data(16, "hi\\0a").with(&section).start();
    assert_eq!(vm.said(), ["hi", "0"]);
}

#[test]
fn the_clocks_are_those_of_the_process() {
    let mut vm = Guest::new()
        .import(r#"(import "wasi_unstable" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#)
        .on(
            "proxy_on_request_headers",
            "(call $say (call $clock (i32.const 0) (i64.const 1) (i32.const 16))) (call $say64 (i64.load (i32.const 16)))
             (call $say (call $clock (i32.const 1) (i64.const 1) (i32.const 16))) (call $say64 (i64.load (i32.const 16)))
             (call $say (call $clock (i32.const 2) (i64.const 1) (i32.const 16)))",
        )
        .start();
    vm.services.now.store(12_345, Ordering::Relaxed);
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "12345", "0", "12345", "58"]);
}

#[test]
fn the_environment_is_the_vms() {
    let vm = Guest::new()
        .environment(&[("KEY", "value"), ("B", "")])
        .import(
            r#"(import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
               (import "wasi_snapshot_preview1" "environ_get" (func $get (param i32 i32) (result i32)))"#,
        )
        .on(
            "_initialize",
            "(drop (call $sizes (i32.const 16) (i32.const 20)))
             (call $say (i32.load (i32.const 16))) (call $say (i32.load (i32.const 20)))
             (drop (call $get (i32.const 32) (i32.const 64)))
             (drop (call $proxy_log (i32.const 2) (i32.load (i32.const 32)) (i32.const 9)))
             (drop (call $proxy_log (i32.const 2) (i32.load (i32.const 36)) (i32.const 2)))",
        )
        .start();
    assert_eq!(vm.said(), ["2", "13", "KEY=value", "B="]);
}

#[test]
fn a_guest_that_exits_is_still_asked_about_streams() {
    let mut vm = Guest::new()
        .import(r#"(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#)
        .on("proxy_on_request_headers", "(call $exit (i32.const 1)) (call $say (i32.const 7))")
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["7"]);
}
