//! A guest that calls every hostcall with arbitrary numbers, in every entry point, over arbitrary memory.
//!
//! It is compiled once for each ABI. What it does follows from a number that it asks the clock for when it starts, so
//! that a case costs an instance and not a compilation. Its allocator is as unreliable as the rest of it.

use graft::host::entry_points;
use graft::host::hostcalls::{ALL, Hostcall, SINCE_V0_2_0, SINCE_V0_2_1, V0_1_0};

use crate::guest::{Guest, MEMORY, type_of};

/// The functions of WASI that take addresses, with their parameters.
const WASI: &[(&str, &[&str])] = &[
    ("fd_write", &["i32", "i32", "i32", "i32"]),
    ("fd_pwrite", &["i32", "i32", "i32", "i64", "i32"]),
    ("fd_fdstat_get", &["i32", "i32"]),
    ("fd_tell", &["i32", "i32"]),
    ("fd_readdir", &["i32", "i32", "i32", "i64", "i32"]),
    ("clock_time_get", &["i32", "i64", "i32"]),
    ("clock_res_get", &["i32", "i32"]),
    ("random_get", &["i32", "i32"]),
    ("environ_get", &["i32", "i32"]),
    ("environ_sizes_get", &["i32", "i32"]),
    ("args_get", &["i32", "i32"]),
    ("args_sizes_get", &["i32", "i32"]),
    ("poll_oneoff", &["i32", "i32", "i32", "i32"]),
    ("path_open", &["i32", "i32", "i32", "i32", "i32", "i64", "i64", "i32", "i32"]),
    ("path_readlink", &["i32", "i32", "i32", "i32", "i32", "i32"]),
    ("sock_accept", &["i32", "i32", "i32"]),
    ("sock_recv", &["i32", "i32", "i32", "i32", "i32", "i32"]),
    ("sock_send", &["i32", "i32", "i32", "i32", "i32"]),
];

/// `$any` is any number, `$number` one that a hostcall may take for an address, a length, a map, a context.
const NUMBERS: &str = r"
    (global $state (mut i64) (i64.const 88172645463325252))
    (func $any (result i64)
        (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 13))))
        (global.set $state (i64.xor (global.get $state) (i64.shr_u (global.get $state) (i64.const 7))))
        (global.set $state (i64.xor (global.get $state) (i64.shl (global.get $state) (i64.const 17))))
        (i64.shr_u (global.get $state) (i64.const 8)))
    (func $below (param $bound i32) (result i32)
        (i32.wrap_i64 (i64.rem_u (call $any) (i64.extend_i32_u (local.get $bound)))))
    (func $number (result i32)
        (block $wild (block $top (block $end (block $inside (block $name (block $small
            (br_table $small $small $small $small $name $name $name $inside $inside $end $top $wild
                (call $below (i32.const 12))))
            (return (call $below (i32.const 9))))
            (return (i32.const 16)))
            (return (call $below (i32.const MEMORY))))
            (return (i32.add (i32.const MEMORY) (i32.sub (call $below (i32.const 33)) (i32.const 24)))))
            (return (i32.sub (i32.const 0) (call $below (i32.const 24)))))
        (i32.wrap_i64 (call $any)))";

/// `_initialize` fills memory: a page of noise, but a name and one encoded pair where `$number` likes to point.
const BEGIN: &str = "(local $at i32)
    (drop (call $clock_time_get (i32.const 0) (i64.const 0) (i32.const 8)))
    (global.set $state (i64.or (i64.load (i32.const 8)) (i64.const 1)))
    (loop $fill
        (i64.store (local.get $at) (call $any))
        (br_if $fill (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 4096))))
    (memory.copy (i32.const 0) (i32.const 8192) (i32.const 64))";

/// The allocator: mostly right.
const ALLOCATE: &str = r"
    (block $nothing (block $wild (block $call (block $trap (block $grow
        (br_table $grow $trap $call $wild $nothing (call $below (i32.const 400))))
        (return (i32.mul (memory.grow (i32.const 1)) (i32.const 65536))))
        unreachable)
        (call $step))
        (return (i32.wrap_i64 (call $any))))
    (global.set $heap (i32.add (global.get $heap) (local.get $0)))
    (if (result i32) (i32.eq (call $below (i32.const 30)) (i32.const 7))
        (then (i32.const 0))
        (else (i32.rem_u (global.get $heap) (i32.const MEMORY))))";

/// The hostcalls of an ABI.
fn hostcalls(abi: &str) -> Vec<&'static Hostcall> {
    let tables: &[&[Hostcall]] = match abi {
        "0_1_0" => &[ALL, V0_1_0],
        "0_2_0" => &[ALL, SINCE_V0_2_0],
        _ => &[ALL, SINCE_V0_2_0, SINCE_V0_2_1],
    };
    tables.iter().copied().flatten().collect()
}

/// One call of anything, with numbers.
fn step(abi: &str) -> String {
    let argument = |wide: bool| if wide { " (call $any)" } else { " (call $number)" };
    let mut calls: Vec<String> = hostcalls(abi)
        .iter()
        .map(|row| {
            let arguments: String =
                (0..row.parameters).map(|number| argument(type_of(row.name, number) == "i64")).collect();
            format!("(drop (call ${}{arguments}))", row.name)
        })
        .collect();
    calls.extend(WASI.iter().map(|(name, types)| {
        let arguments: String = types.iter().map(|wasm| argument(*wasm == "i64")).collect();
        format!("(drop (call ${name}{arguments}))")
    }));
    let cases: String = calls
        .iter()
        .enumerate()
        .map(|(number, call)| format!("(if (i32.eq (local.get $which) (i32.const {number})) (then {call}))"))
        .collect();
    format!(
        "(func $step (local $which i32) (local.set $which (call $below (i32.const {}))) {cases})",
        calls.len()
    )
}

/// What each entry point does: some steps, then most often an answer that means something. Once in a while it traps,
/// recurses without end, or does not return.
const BODY: &str = r"(local $left i32)
    (local.set $left (call $below (i32.const 12)))
    (loop $steps
        (if (local.get $left) (then
            (call $step)
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $steps))))
    (block $fine (block $deep (block $long (block $outside (block $trap
        (br_table $trap $outside $long $deep $fine (call $below (i32.const 500))))
        unreachable)
        (i64.store (i32.wrap_i64 (call $any)) (i64.const 1)))
        (if (i32.eqz (call $below (i32.const 16))) (then (loop $ever (br $ever)))))
        (if (i32.eqz (call $below (i32.const 4))) (then (call $dive))))";

/// The guest of an ABI.
pub fn guest(abi: &'static str) -> Guest {
    let imports: String = WASI
        .iter()
        .map(|(name, types)| {
            let types = types.join(" ");
            format!(
                r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {types}) (result i32)))"#
            )
        })
        .collect();
    let memory = |text: &str| text.replace("MEMORY", &MEMORY.to_string());
    let mut guest = Guest::new()
        .abi(abi)
        .import(&imports)
        .with(&memory(NUMBERS))
        .with("(global $heap (mut i32) (i32.const 65536)) (func $dive (call $dive))")
        .with(&step(abi))
        .data(8192 + 16, r"x-a\00\00\00\00\00\01\00\00\00\01\00\00\00\02\00\00\00k\00vv\00")
        .on("_initialize", BEGIN)
        .export("malloc", &memory(ALLOCATE));
    for name in entry_points::NAMES {
        let answers = !matches!(
            *name,
            "proxy_on_context_create"
                | "proxy_on_log"
                | "proxy_on_delete"
                | "proxy_on_downstream_connection_close"
                | "proxy_on_upstream_connection_close"
                | "proxy_on_tick"
                | "proxy_on_queue_ready"
                | "proxy_on_http_call_response"
                | "proxy_on_grpc_receive_initial_metadata"
                | "proxy_on_grpc_receive"
                | "proxy_on_grpc_receive_trailing_metadata"
                | "proxy_on_grpc_close"
                | "envoy_on_resolve_dns"
        );
        // A start that is refused ends the case, so it mostly is not.
        let answer = match *name {
            "proxy_on_vm_start" | "proxy_on_configure" => "(call $below (i32.const 100))",
            _ => "(call $below (i32.const 6))",
        };
        guest = guest.export(name, &format!("{BODY} {}", if answers { answer } else { "" }));
    }
    guest
}
