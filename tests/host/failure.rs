//! Traps: the VM is dead after one, what is said about it, and that nothing enters it again.

use graft::host::calls::{Reply, Token};
use graft::host::types::{Direction, PeerType};
use graft::host::vm::{CallError, StartError};
use graft::telemetry::Level;

use crate::background::pairs_text;
use crate::guest::{Guest, Running, exchange, plugin};

/// A guest whose request headers trap, two functions deep.
fn trapping() -> Running {
    Guest::new()
        .named("careless", "", "")
        .with("(func $divide_by_zero (drop (i32.div_u (i32.const 1) (i32.const 0)))) (func $middle (call $divide_by_zero))")
        .on("proxy_on_request_headers", "(call $middle)")
        .export("proxy_on_request_body", "unreachable")
        .on("proxy_on_done", r#"(drop (call $proxy_log (i32.const 2) (text "done")))"#)
        .start()
}

#[test]
fn a_trap_says_where_and_why_with_the_names_of_functions() {
    let mut vm = trapping();
    let stream = vm.open(exchange());
    let error = vm.request_headers(stream).unwrap_err();
    let CallError::Trapped { entry_point, reason, backtrace } = &error else { panic!("{error}") };
    assert_eq!(*entry_point, "proxy_on_request_headers");
    assert_eq!(reason, "wasm trap: integer divide by zero");
    let lines: Vec<&str> = backtrace.lines().collect();
    assert_eq!(lines[..2], ["", "Proxy-Wasm plugin in-VM backtrace:"]);
    assert!(lines[2].starts_with("  0:  0x") && lines[2].ends_with(" - divide_by_zero"), "{backtrace}");
    assert!(lines[3].starts_with("  1:  0x") && lines[3].ends_with(" - middle"), "{backtrace}");
    assert_eq!(lines.len(), 5, "{backtrace}");
    let message = error.to_string();
    assert!(message.starts_with(
        "Function: proxy_on_request_headers failed: wasm trap: integer divide by zero\nProxy-Wasm plugin in-VM backtrace:"
    ));
}

#[test]
fn a_long_backtrace_is_cut() {
    let mut vm = Guest::new()
        .with(
            "(func $down (param i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (call $down (i32.sub (local.get 0) (i32.const 1))))",
        )
        .on("proxy_on_request_headers", "(call $down (i32.const 100))")
        .start();
    let stream = vm.open(exchange());
    let CallError::Trapped { backtrace, .. } = vm.request_headers(stream).unwrap_err() else { panic!() };
    assert_eq!(backtrace.lines().count(), 2 + 20);
}

#[test]
fn a_trap_inside_the_allocator_shows_both_sides_of_the_hostcall() {
    let mut vm = Guest::new()
        .without_allocator()
        .with(r#"(func $broken_malloc (export "malloc") (param i32) (result i32) unreachable)"#)
        .with(
            r#"(func $reader
                (drop (call $proxy_get_header_map_value (i32.const 0) (text ":path") (i32.const 8) (i32.const 12))))"#,
        )
        .on("proxy_on_request_headers", "(call $reader)")
        .start();
    let stream = vm.open(exchange());
    let error = vm.request_headers(stream).unwrap_err().to_string();
    assert!(error.contains("broken_malloc") && error.contains("reader"), "{error}");
}

#[test]
fn nothing_enters_a_vm_that_failed() {
    let mut vm = trapping();
    let (root, stream, other) = (vm.root(), vm.open(exchange()), vm.open(exchange()));
    assert!(!vm.vm.has_failed());
    vm.request_headers(stream).unwrap_err();
    assert!(vm.vm.has_failed());
    vm.said();

    for direction in [Direction::Request, Direction::Response] {
        assert_eq!(vm.vm.on_headers(other, direction, true), Err(CallError::VmFailed));
        assert_eq!(vm.vm.on_body(other, direction, true), Err(CallError::VmFailed));
        assert_eq!(vm.vm.on_trailers(other, direction), Err(CallError::VmFailed));
    }
    assert_eq!(vm.vm.on_log(other), Err(CallError::VmFailed));
    assert_eq!(vm.vm.create_stream(root, exchange()), Err(CallError::VmFailed));
    assert!(vm.add(plugin(2, "", b"")).is_err());
    vm.vm.end_stream(stream);
    vm.vm.end_stream(other);
    vm.vm.retire_root(root);
    assert_eq!(
        vm.said(),
        [""; 0],
        "no word of the guest, and none about it: the trap was told when it happened"
    );
}

#[test]
fn what_a_guest_asked_for_before_it_trapped_can_still_be_taken() {
    let mut vm = Guest::new()
        .on("proxy_on_request_headers", "(drop (call $proxy_continue_stream (i32.const 0))) unreachable")
        .start();
    let stream = vm.open(exchange());
    vm.request_headers(stream).unwrap_err();
    assert_eq!(vm.effects(stream).len(), 1, "the owner decides by its failure policy");
}

#[test]
fn a_trap_is_logged_with_the_plugins_name_and_the_streams_context() {
    let mut vm = trapping();
    let stream = vm.open(exchange());
    let error = vm.request_headers(stream).unwrap_err();
    vm.vm.log_failure(&error);
    vm.vm.log_failure(&CallError::VmFailed);
    let lines = vm.services.lines.lock().clone();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0].0, Level::Error);
    let expected = "graft: plugin \"careless\": stream 2: Function: proxy_on_request_headers failed: wasm trap: integer divide";
    assert!(lines[0].1.starts_with(expected), "{}", lines[0].1);
}

#[test]
fn a_stream_whose_creation_traps_is_not_there_and_the_plugin_is_named() {
    let mut vm = Guest::new()
        .named("careless", "", "")
        .on("proxy_on_context_create", "(if (local.get $1) (then unreachable))")
        .start();
    let root = vm.root();
    let error = vm.vm.create_stream(root, exchange()).unwrap_err();
    vm.vm.log_failure(&error);
    let line = vm.services.log().remove(0);
    assert!(
        line.starts_with("graft: plugin \"careless\": stream 2: Function: proxy_on_context_create failed"),
        "{line}"
    );
}

#[test]
fn a_trap_at_the_end_of_a_stream_is_logged_and_the_stream_is_gone() {
    for entry in ["proxy_on_done", "proxy_on_delete"] {
        let mut vm = Guest::new().named("careless", "", "").export(entry, "unreachable").start();
        let stream = vm.open(exchange());
        vm.vm.end_stream(stream);
        assert!(vm.vm.has_failed());
        assert!(vm.vm.stream_mut(stream).is_none());
        let lines = vm.services.log();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with(&format!("graft: plugin \"careless\": stream 2: Function: {entry} failed")),
            "{lines:?}"
        );
    }
}

#[test]
fn a_trap_at_the_end_of_a_root_is_logged_and_the_root_is_gone() {
    for entry in ["proxy_on_done", "proxy_on_delete"] {
        let mut vm = Guest::new().named("careless", "", "").export(entry, "unreachable").start();
        let root = vm.root();
        vm.vm.retire_root(root);
        assert!(vm.vm.has_failed());
        assert_eq!(vm.vm.root(1), None);
        let lines = vm.services.log();
        assert_eq!(lines.len(), 1);
        assert!(
            lines[0].starts_with(&format!("graft: plugin \"careless\": Function: {entry} failed")),
            "{lines:?}"
        );
    }
}

/// Everything that a plugin is told where no stream is at hand: a tick, a message, replies of every kind. The guest has
/// three calls under way.
fn without_a_stream(vm: &mut Running) {
    vm.vm.on_tick(1);
    vm.vm.on_queue_ready(1, 1);
    let (call, stream) = (Token(1 << 2), Token(2 << 2 | 2));
    vm.vm.on_reply(call, Reply::HttpFailed);
    for reply in [
        Reply::GrpcInitial(Vec::new()),
        Reply::GrpcMessage(Vec::new()),
        Reply::GrpcTrailing(Vec::new()),
        Reply::GrpcClose(0, Vec::new()),
    ] {
        vm.vm.on_reply(stream, reply);
    }
    vm.vm.on_reply(Token(3 << 2 | 3), Reply::Addresses(Vec::new()));
}

#[test]
fn every_entry_point_may_trap() {
    let calls = format!(
        r#"(if (i32.eq (local.get $0) (i32.const 2)) (then
            (drop (call $proxy_http_call (text "a") {headers} (text "") (text "") (i32.const 0) (i32.const 16)))
            (drop (call $proxy_grpc_stream (text "a") (text "b") (text "c") (text "") (i32.const 16)))
            (drop (call $envoy_resolve_dns (text "a") (i32.const 16)))))"#,
        headers = pairs_text(&[(":method", "GET"), (":path", "/"), (":authority", "a")])
    );
    for (number, name) in graft::host::entry_points::NAMES.iter().enumerate() {
        let guest = Guest::new().export(name, "unreachable");
        // The context that calls is the stream's, unless its creation is what traps.
        let guest = if *name == "proxy_on_context_create" {
            guest
        } else {
            guest.on("proxy_on_context_create", &calls)
        };
        let mut vm = match guest.try_start() {
            Ok(vm) => vm,
            Err(StartError::Trapped(error)) => {
                assert!(error.to_string().contains(name), "{number} {error}");
                continue;
            }
            Err(error) => panic!("{error}"),
        };
        let stream = vm.open(exchange());
        let mut errors = Vec::new();
        for direction in [Direction::Request, Direction::Response] {
            errors.extend(vm.vm.on_headers(stream, direction, true).err());
            errors.extend(vm.vm.on_body(stream, direction, true).err());
            errors.extend(vm.vm.on_trailers(stream, direction).err());
        }
        errors.extend(vm.vm.on_new_connection(stream).err());
        for direction in [Direction::Request, Direction::Response] {
            errors.extend(vm.vm.on_data(stream, direction, true).err());
            errors.extend(vm.vm.on_close(stream, direction, PeerType::Remote).err());
        }
        errors.extend(vm.vm.on_log(stream).err());
        without_a_stream(&mut vm);
        vm.vm.end_stream(stream);
        let said = vm.services.log().concat();
        let told = errors.first().map_or(said, ToString::to_string);
        assert!(told.contains(&format!("Function: {name} failed")), "{name}: {told}");
        assert!(vm.vm.has_failed());
    }
}

#[test]
fn every_kind_of_trap_is_survived() {
    for (body, reason) in [
        ("unreachable", "unreachable"),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", "divide by zero"),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", "integer overflow"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", "invalid conversion to integer"),
        ("(drop (i32.load (i32.const -1)))", "out of bounds memory access"),
        ("(i64.store (i32.const 131065) (i64.const 0))", "out of bounds memory access"),
        ("(memory.fill (i32.const 0) (i32.const 1) (i32.const -1))", "out of bounds memory access"),
        ("(call_indirect (i32.const 7))", "undefined element"),
        ("(call_indirect (i32.const 0))", "uninitialized element"),
    ] {
        let mut vm = Guest::new().with("(table 1 funcref)").on("proxy_on_request_headers", body).start();
        let stream = vm.open(exchange());
        let error = vm.request_headers(stream).unwrap_err().to_string();
        assert!(error.contains(reason), "{body}: {error}");
    }
}

#[test]
fn one_vm_that_fails_leaves_the_others_of_its_template() {
    let linked = Guest::new().export("proxy_on_request_headers", "unreachable").link().unwrap();
    let mut first = graft::host::vm::Vm::start(&linked.template).unwrap();
    let mut second = graft::host::vm::Vm::start(&linked.template).unwrap();
    let root = first.create_root(&linked.plugin).unwrap();
    let stream = first.create_stream(root, exchange()).unwrap();
    first.on_headers(stream, Direction::Request, true).unwrap_err();
    assert!(first.has_failed());
    assert!(!second.has_failed());
    second.create_root(&linked.plugin).unwrap();
}
