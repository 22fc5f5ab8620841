//! Log lines with their prefixes and levels, the level asked for, and the time.

use std::sync::atomic::Ordering;

use graft::host::types::Status;
use graft::telemetry::Level;

use crate::guest::{Guest, exchange};
use crate::phases::unusual;

/// A time that begins ten seconds for a limit.
const TENS: u64 = 10_000_000_000;

const HELLO: &str = r#"(drop (call $proxy_log (i32.const 2) (text "hello")))"#;

#[test]
fn every_level_is_logged_as_itself_and_other_numbers_are_bad_arguments() {
    let rows: Vec<[i64; 3]> = [0, 1, 2, 3, 4, 5, 6, 7, 0xffff_ffff].map(|level| [level, 16, 2]).to_vec();
    let rows: Vec<&[i64]> = rows.iter().map(<[i64; 3]>::as_slice).collect();
    let vm = Guest::new().data(16, "hi").calling("proxy_on_configure", "proxy_log", &rows).start();
    let lines = vm.services.lines.lock().clone();
    let logged: Vec<Level> =
        lines.iter().filter(|(_, line)| line.ends_with(": hi")).map(|(level, _)| *level).collect();
    assert_eq!(logged, [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error, Level::Critical]);
    let statuses: Vec<String> = vm.said().into_iter().filter(|line| line != "hi").collect();
    assert_eq!(statuses, ["0", "0", "0", "0", "0", "0", "2", "2", "2"]);
}

#[test]
fn logging_needs_no_context() {
    assert_eq!(unusual(Guest::new(), Status::BadArgument, "proxy_log", &[6, 16, 2]), []);
}

#[test]
fn lines_of_a_stream_name_the_plugin_and_lines_of_a_root_do_not() {
    let lines = |name, root_id, vm_id| {
        let mut vm = Guest::new()
            .named(name, root_id, vm_id)
            .on("_initialize", HELLO)
            .on("proxy_on_configure", HELLO)
            .on("proxy_on_request_headers", HELLO)
            .start();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        vm.services.log()
    };
    assert_eq!(
        lines("name", "root", "vm"),
        ["wasm log: hello", "wasm log root vm: hello", "wasm log name root vm: hello"]
    );
    assert_eq!(lines("name", "", ""), ["wasm log: hello", "wasm log: hello", "wasm log name: hello"]);
    assert_eq!(lines("", "", "vm"), ["wasm log: hello", "wasm log vm: hello", "wasm log vm: hello"]);
}

#[test]
fn a_level_that_is_off_writes_nothing_and_answers_ok() {
    let vm = Guest::new()
        .log_level(Level::Error)
        .on(
            "proxy_on_configure",
            r#"(if (i32.eqz (call $proxy_log (i32.const 3) (text "a warning")))
                (then (drop (call $proxy_log (i32.const 4) (text "an error")))))"#,
        )
        .start();
    assert_eq!(vm.said(), ["an error"]);
}

#[test]
fn an_empty_line_is_a_line_and_bytes_may_be_any() {
    let vm = Guest::new()
        .on(
            "proxy_on_configure",
            r#"(drop (call $proxy_log (i32.const 2) (text "")))
               (drop (call $proxy_log (i32.const 2) (text "a\0a\ff\00b")))"#,
        )
        .start();
    assert_eq!(vm.said(), ["", "a\n\u{fffd}\0b"]);
}

#[test]
fn the_level_that_is_on_is_told_also_while_code_starts() {
    let ask = "(call $say (call $proxy_get_log_level (i32.const 8))) (call $say (i32.load (i32.const 8)))";
    let vm = Guest::new().on("_initialize", ask).on("proxy_on_configure", ask).start();
    assert_eq!(vm.said(), ["0", "0", "0", "0"]);
    let vm = Guest::new().log_level(Level::Info).on("proxy_on_configure", ask).start();
    assert_eq!(vm.said(), ["0", "2"]);
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_get_log_level", &[8]), []);
}

#[test]
fn the_wall_clock_is_given_in_nanoseconds() {
    let guest = Guest::new().on(
        "proxy_on_request_headers",
        "(call $say (call $proxy_get_current_time_nanoseconds (i32.const 8)))
         (call $say64 (i64.load (i32.const 8)))",
    );
    let mut vm = guest.start();
    vm.services.now.store(1_763_000_000_123_456_789, Ordering::Relaxed);
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["0", "1763000000123456789"]);
    assert_eq!(unusual(Guest::new(), Status::Ok, "proxy_get_current_time_nanoseconds", &[8]), []);
}

#[test]
fn a_time_needs_room_for_eight_bytes() {
    let last = i64::from(crate::guest::MEMORY);
    let vm = Guest::new()
        .calling(
            "proxy_on_configure",
            "proxy_get_current_time_nanoseconds",
            &[&[last - 8], &[last - 7], &[last - 4], &[0xffff_fffc]],
        )
        .start();
    assert_eq!(vm.said(), ["0", "6", "6", "6"]);
}

/// Logs so many lines in a request.
fn loop_of(lines: u32) -> String {
    format!(
        "(local $left i32) (local.set $left (i32.const {lines}))
         (loop $again {HELLO}
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br_if $again (local.get $left)))"
    )
}

#[test]
fn lines_over_the_limit_are_left_out_and_the_next_one_says_how_many() {
    let mut vm = Guest::new()
        .named("noisy", "", "")
        .log_lines_per_second(1)
        .on("proxy_on_request_headers", &loop_of(25))
        .start();
    let mut request = |tens: u64| {
        vm.services.now.store(tens * TENS, Ordering::Relaxed);
        vm.services.lines.lock().clear();
        let stream = vm.open(exchange());
        vm.request_headers(stream).unwrap();
        vm.vm.pass_on();
        vm.services.lines.lock().clone()
    };
    let hello = (Level::Info, "wasm log noisy: hello".to_owned());
    let beyond = "graft: plugin \"noisy\": log lines beyond 1 a second (graft.limits.log_lines_per_second) are left out until \
                  these 10 seconds are over";
    let beyond = (Level::Warn, beyond.to_owned());
    let lines = request(2);
    assert_eq!(lines[..10], vec![hello.clone(); 10]);
    assert_eq!((lines.len(), lines.last()), (11, Some(&beyond)));
    assert_eq!(request(2), [], "the ten seconds are not over");
    let lines = request(3);
    let left_out = "graft: plugin \"noisy\": 40 log lines were left out, those beyond 1 a second \
                    (graft.limits.log_lines_per_second)";
    assert_eq!(lines[0], (Level::Warn, left_out.to_owned()));
    assert_eq!(lines[1..11], vec![hello; 10]);
    assert_eq!(lines[11..], [beyond]);
    // And counted, once.
    assert_eq!(vm.services.metric("graft_log_lines_left_out.noisy"), Some(40));
    assert_eq!(vm.services.publications.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_printed_counts_as_well() {
    let print = r"(i32.store (i32.const 32) (i32.const 16)) (i32.store (i32.const 36) (i32.const 3))
                  (drop (call $write (i32.const 2) (i32.const 32) (i32.const 1) (i32.const 40)))";
    let mut vm = Guest::new()
        .log_lines_per_second(1)
        .import(
            r#"(import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))"#,
        )
        .data(16, r"hi\n")
        .on("proxy_on_request_headers", &print.repeat(12))
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let printed = vm.services.log().iter().filter(|line| line.ends_with(": hi")).count();
    assert_eq!((printed, vm.services.log().len()), (10, 11));
}

#[test]
fn a_long_line_counts_once_for_each_kilobyte() {
    let long = "(drop (call $proxy_log (i32.const 2) (i32.const 0) (i32.const 4097)))";
    let mut vm = Guest::new()
        .log_lines_per_second(1)
        .on("proxy_on_request_headers", &[long, long, HELLO].concat())
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    let lines = vm.services.log();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[2].contains("log lines beyond 1 a second"), "{lines:?}");
}

#[test]
fn lines_whose_level_is_off_do_not_count() {
    let error = r#"(drop (call $proxy_log (i32.const 4) (text "an error")))"#;
    let body = loop_of(25) + error;
    let mut vm = Guest::new()
        .log_level(Level::Error)
        .log_lines_per_second(1)
        .on("proxy_on_request_headers", &body)
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap();
    assert_eq!(vm.said(), ["an error"]);
}
