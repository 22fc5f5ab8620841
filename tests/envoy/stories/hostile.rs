//! Hostile guests: whatever a plugin does, Envoy stays up, other plugins work, and the plugin costs its own
//! streams only.

use serde_json::json;

use crate::harness::envoy::on_each_envoy;
use crate::harness::guests::Guests;
use crate::harness::{Bootstrap, Envoy, Host, Listener, Plugin, Request, Response, Upstream};

/// A hostile guest beside a good plugin in one Envoy.
struct Hostile {
    name: &'static str,
    /// The body of the guest's module.
    text: &'static str,
}

const fn hostile(name: &'static str, text: &'static str) -> Hostile {
    Hostile { name, text }
}

/// Guests whose streams fail, with 503, and only they.
const FAILING: [Hostile; 9] = [
    hostile(
        "loops",
        r#"(func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (loop (br 0)) (i32.const 0))"#,
    ),
    hostile(
        "loops-in-body",
        r#"
        (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
          (loop (br 0)) (i32.const 0))"#,
    ),
    hostile(
        "loops-in-create",
        r#"
        (func (export "proxy_on_context_create") (param i32 i32) (if (local.get 1) (then (loop (br 0)))))"#,
    ),
    hostile(
        "recurses",
        r#"
        (func $again (result i32) (i32.add (call $again) (i32.const 1)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (call $again))"#,
    ),
    hostile(
        "divides-by-zero",
        r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (i32.div_u (i32.const 1) (i32.const 0)))"#,
    ),
    hostile(
        "reads-beyond",
        r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (i32.load (i32.const -4)))"#,
    ),
    hostile(
        "traps-in-create",
        r#"
        (func (export "proxy_on_context_create") (param i32 i32) (if (local.get 1) (then unreachable)))"#,
    ),
    hostile(
        "calls-nothing",
        r#"
        (table 1 funcref)
        (type $entry (func))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (call_indirect (type $entry) (i32.const 0)) (i32.const 0))"#,
    ),
    hostile(
        "loops-in-response",
        r#"
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
          (loop (br 0)) (i32.const 0))"#,
    ),
];

/// Guests that try something and go on: every stream of theirs is served.
const TRYING: [Hostile; 5] = [
    hostile(
        "grows",
        r#"
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (loop (br_if 0 (i32.ne (memory.grow (i32.const 256)) (i32.const -1))))
          (i32.const 0))"#,
    ),
    hostile(
        "points-anywhere",
        r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_value" (func $get (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
        (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
        (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_property" (func $property (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_property" (func $set_property (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_set_buffer_bytes" (func $set_buffer (param i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_send_local_response"
          (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
        (func $try (param $at i32) (param $size i32)
          (drop (call $log (i32.const 2) (local.get $at) (local.get $size)))
          (drop (call $get (i32.const 0) (local.get $at) (local.get $size) (i32.const 0) (i32.const 4)))
          (drop (call $get (i32.const 0) (i32.const 0) (i32.const 1) (local.get $at) (local.get $size)))
          (drop (call $pairs (i32.const 0) (local.get $at) (local.get $size)))
          (drop (call $set_pairs (i32.const 2) (local.get $at) (local.get $size)))
          (drop (call $add (i32.const 0) (local.get $at) (local.get $size) (local.get $at) (local.get $size)))
          (drop (call $property (local.get $at) (local.get $size) (i32.const 0) (i32.const 4)))
          (drop (call $property (i32.const 0) (i32.const 4) (local.get $at) (local.get $size)))
          (drop (call $set_property (local.get $at) (local.get $size) (local.get $at) (local.get $size)))
          (drop (call $buffer (i32.const 0)
            (local.get $at) (local.get $size) (local.get $at) (local.get $size)))
          (drop (call $set_buffer (i32.const 0)
            (local.get $at) (local.get $size) (local.get $at) (local.get $size)))
          (drop (call $reply (i32.const 200) (local.get $at) (local.get $size) (local.get $at) (local.get $size)
            (local.get $at) (local.get $size) (i32.const -1)))
          (drop (call $define (i32.const 0) (local.get $at) (local.get $size) (local.get $at)))
          (drop (call $time (local.get $at))))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
          (call $try (i32.const -1) (i32.const -1))
          (call $try (i32.const 65535) (i32.const 2))
          (call $try (i32.const 65536) (i32.const 1))
          (call $try (i32.const 1) (i32.const -1))
          (call $try (i32.const -8) (i32.const 16))
          (call $try (i32.const 0x7fffffff) (i32.const 0x7fffffff))
          (i32.const 0))"#,
    ),
    hostile(
        "shouts",
        r#"
        (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $left i32)
          (local.set $left (i32.const 200))
          (loop
            (drop (call $log (i32.const 0) (i32.const 0) (i32.const 65536)))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.const 0))"#,
    ),
    hostile(
        "defines",
        r#"
        (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $left i32)
          (local.set $left (i32.const 2000))
          (loop
            (i32.store (i32.const 16) (i32.or (local.get $left) (i32.const 0x61610000)))
            (drop (call $define (i32.const 0) (i32.const 16) (i32.const 4) (i32.const 32)))
            (br_if 0 (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
          (i32.const 0))"#,
    ),
    hostile(
        "numbers",
        r#"
        (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
        (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
        (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
        (import "env" "proxy_done" (func $done (result i32)))
        (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (local $number i32)
          (local.set $number (i32.const -100))
          (loop
            (drop (call $effective (local.get $number)))
            (drop (call $increment (local.get $number) (i64.const -1)))
            (drop (call $done))
            (br_if 0 (i32.ne (local.tee $number (i32.add (local.get $number) (i32.const 1))) (i32.const 100))))
          (i32.const 0))"#,
    ),
];

/// Guests whose allocator is the trap.
const ALLOCATORS: [Hostile; 4] = [
    hostile("malloc-traps", r#"(func (export "malloc") (param i32) (result i32) unreachable)"#),
    hostile("malloc-fails", r#"(func (export "malloc") (param i32) (result i32) (i32.const 0))"#),
    hostile("malloc-points-beyond", r#"(func (export "malloc") (param i32) (result i32) (i32.const -16))"#),
    hostile(
        "malloc-loops",
        r#"(func (export "malloc") (param i32) (result i32) (loop (br 0)) (i32.const 0))"#,
    ),
];

/// A module that reads a header, so that its allocator is called.
fn allocating(allocator: &str) -> String {
    format!(
        r#"(module
          (import "env" "proxy_get_header_map_pairs" (func $pairs (param i32 i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "proxy_abi_version_0_2_1"))
          {allocator}
          (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
            (drop (call $pairs (i32.const 0) (i32.const 0) (i32.const 4)))
            (i32.const 0)))"#
    )
}

/// The guest with limits that a test can wait for.
fn limited(name: &str, code: &std::path::Path) -> Plugin {
    Plugin::new(name, code)
        .set("graft", json!({ "limits": { "call_deadline": "0.5s", "memory_bytes": 64 * 1024 * 1024 } }))
}

/// Envoy with these guests, each on a listener of its name, and a good plugin on `good`.
fn envoy(
    version: crate::harness::Version,
    upstream: &std::sync::Arc<Upstream>,
    guests: &[(&str, std::path::PathBuf)],
) -> Envoy {
    let good = Plugin::scripted("good", "response_headers: add response x-plugin good");
    let bootstrap =
        Bootstrap::new().upstream(upstream).listener(Listener::new("good").plugin(Host::Graft, &good));
    let bootstrap = guests.iter().fold(bootstrap, |bootstrap, (name, code)| {
        bootstrap.listener(Listener::new(name).plugin(Host::Graft, &limited(name, code)))
    });
    Envoy::start(version, &bootstrap)
}

fn assert_good(envoy: &Envoy) {
    let response = envoy.client("good").get("/");
    assert_eq!((response.status, response.header("x-plugin")), (200, Some("good")));
}

fn send(envoy: &Envoy, name: &str) -> Response {
    envoy.client(name).send(&Request::post("/", &[b"one ", b"two"]))
}

on_each_envoy! {
    fn a_guest_that_fails_costs_its_own_streams(version) {
        let (guests, upstream) = (Guests::new(), Upstream::http1("upstream"));
        let compile = |guest: &Hostile| (guest.name, guests.add(guest.name, guest.text));
        let codes: Vec<_> = FAILING.iter().map(compile).collect();
        let envoy = envoy(version, &upstream, &codes);
        for guest in &FAILING {
            for _ in 0..2 {
                assert_eq!(send(&envoy, guest.name).status, 503, "{}", guest.name);
                assert_good(&envoy);
            }
        }
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    fn a_guest_that_tries_gets_nothing(version) {
        let (guests, upstream) = (Guests::new(), Upstream::http1("upstream"));
        let compile = |guest: &Hostile| (guest.name, guests.add(guest.name, guest.text));
        let codes: Vec<_> = TRYING.iter().map(compile).collect();
        let envoy = envoy(version, &upstream, &codes);
        for guest in &TRYING {
            for _ in 0..2 {
                assert_eq!(send(&envoy, guest.name).status, 200, "{}", guest.name);
                assert_good(&envoy);
            }
        }
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }

    fn an_allocator_is_not_trusted(version) {
        let (guests, upstream) = (Guests::new(), Upstream::http1("upstream"));
        let compile = |guest: &Hostile| (guest.name, guests.add_whole(guest.name, &allocating(guest.text)));
        let codes: Vec<_> = ALLOCATORS.iter().map(compile).collect();
        let envoy = envoy(version, &upstream, &codes);
        for guest in &ALLOCATORS {
            // An address that is refused is a status for the guest; a call that does not return is its end.
            let is_served = ["malloc-fails", "malloc-points-beyond"].contains(&guest.name);
            let expected = if is_served { 200 } else { 503 };
            for _ in 0..2 {
                assert_eq!(send(&envoy, guest.name).status, expected, "{}", guest.name);
                assert_good(&envoy);
            }
        }
        let ended = envoy.stop();
        assert!(ended.status.success(), "{ended}");
    }
}
