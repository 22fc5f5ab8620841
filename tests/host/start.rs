//! Start-up: the order in which code starts and plugins begin, and how each step can refuse.

use graft::host::vm::StartError;

use crate::guest::{Guest, Running, exchange, plugin};

/// A body that says a word.
fn word(word: &str) -> String {
    format!("(drop (call $proxy_log (i32.const 2) (text \"{word}\")))")
}

/// The guest that says the name of each of these when it is called.
fn saying(names: &[&'static str]) -> Guest {
    names.iter().fold(Guest::new(), |guest, name| guest.on(name, &word(name)))
}

/// The error of a start that must fail.
fn error(result: Result<Running, StartError>) -> StartError {
    match result {
        Ok(_) => panic!("it started"),
        Err(error) => error,
    }
}

#[test]
fn a_reactor_is_initialized_and_then_its_main_runs() {
    assert_eq!(
        saying(&["main", "_start", "_initialize", "__main_void"]).start().said(),
        ["_initialize", "main"]
    );
    assert_eq!(saying(&["__main_void", "_initialize"]).start().said(), ["_initialize", "__main_void"]);
    assert_eq!(saying(&["_initialize"]).start().said(), ["_initialize"]);
}

#[test]
fn a_command_runs_its_start_and_its_main_is_its_own_affair() {
    assert_eq!(saying(&["main", "_start", "__main_void"]).start().said(), ["_start"]);
    assert_eq!(saying(&["main", "__main_void"]).start().said(), [""; 0]);
}

#[test]
fn what_main_returns_is_not_looked_at() {
    let guest = Guest::new().on("_initialize", "").answer("main", 1, "");
    assert!(guest.try_start().is_ok());
}

#[test]
fn a_plugin_is_created_started_and_configured() {
    let vm = saying(&["proxy_on_configure", "proxy_on_context_create", "proxy_on_vm_start", "_initialize"])
        .start();
    let order = ["_initialize", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"];
    assert_eq!(vm.said(), order);
}

#[test]
fn the_vm_starts_for_each_plugin_and_the_code_only_once() {
    let mut vm =
        saying(&["_initialize", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"])
            .start();
    vm.said();
    vm.add(plugin(2, "", b"")).unwrap();
    assert_eq!(vm.said(), ["proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"]);
}

#[test]
fn a_plugin_without_any_entry_point_starts_and_lets_everything_go() {
    let mut vm = Guest::new().start();
    let stream = vm.open(exchange());
    assert_eq!(vm.request_headers(stream).unwrap(), graft::host::types::HeadersAction::Continue);
    vm.vm.on_log(stream).unwrap();
    vm.vm.end_stream(stream);
}

#[test]
fn a_vm_start_that_answers_false_refuses_and_nothing_is_configured() {
    let mut vm = Guest::new()
        .answer("proxy_on_vm_start", 0, "")
        .on("proxy_on_configure", &word("configured"))
        .boot()
        .unwrap();
    let refused = vm.add(plugin(1, "", b""));
    assert_eq!(refused, Err(StartError::VmStartRefused));
    assert_eq!(vm.said(), [""; 0]);
    assert_eq!(vm.vm.root(1), None);
    assert!(!vm.vm.has_failed());
}

#[test]
fn a_configure_that_answers_false_refuses_the_plugin_and_leaves_the_others() {
    let mut vm = Guest::new()
        .configuration("good")
        .export("proxy_on_configure", "(i32.eq (local.get $1) (i32.const 4))")
        .start();
    assert_eq!(vm.add(plugin(2, "", b"bad")), Err(StartError::ConfigureRefused));
    assert_eq!(vm.vm.root(2), None);
    let stream = vm.open(exchange());
    assert!(vm.request_headers(stream).is_ok());
    assert!(vm.add(plugin(3, "", b"fine")).is_ok());
}

#[test]
fn any_answer_but_zero_is_true() {
    let guest = Guest::new().answer("proxy_on_vm_start", 0xffff_ffff, "").answer("proxy_on_configure", 2, "");
    assert!(guest.try_start().is_ok());
}

#[test]
fn a_root_is_found_by_its_key_while_it_serves() {
    let mut vm = Guest::new().start();
    let two = vm.add(plugin(2, "two", b"")).unwrap();
    assert_eq!(vm.vm.root(2), Some(two));
    assert_eq!(vm.vm.root(3), None);
}

#[test]
fn each_step_that_traps_names_itself() {
    for step in
        ["_initialize", "_start", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"]
    {
        let message = error(Guest::new().export(step, "unreachable").try_start()).to_string();
        let expected =
            format!("trapped while starting: Function: {step} failed: wasm trap: wasm `unreachable`");
        assert!(message.starts_with(&expected), "{message}");
    }
    for step in ["main", "__main_void"] {
        let guest = Guest::new().on("_initialize", "").export(step, "unreachable");
        let message = error(guest.try_start()).to_string();
        assert!(message.contains(&format!("Function: {step} failed")), "{message}");
    }
}

#[test]
fn a_start_section_runs_and_may_trap() {
    let vm = Guest::new().with(&format!("(func $begin {}) (start $begin)", word("section"))).start();
    assert_eq!(vm.said(), ["section"]);

    let guest = Guest::new().with("(func $begin unreachable) (start $begin)");
    let message = error(guest.try_start()).to_string();
    assert!(message.starts_with("cannot be instantiated") && message.contains("unreachable"), "{message}");
}

#[test]
fn entry_points_of_another_type_refuse_the_code() {
    for (name, wrong) in [
        ("proxy_on_request_headers", "(param i32 i32) (result i32) (i32.const 0)"),
        ("proxy_on_request_body", "(param i32 i32 i32)"),
        ("proxy_on_log", "(param i64)"),
        ("proxy_on_done", "(param i32)"),
        ("proxy_on_configure", "(param i32 i32) (result i64) (i64.const 1)"),
        ("proxy_on_context_create", ""),
        ("_initialize", "(param i32)"),
        ("_start", "(result i32) (i32.const 0)"),
        ("malloc", "(param i64) (result i32) (i32.const 0)"),
    ] {
        let guest = Guest::new().with(&format!("(func (export \"{name}\") {wrong})"));
        let guest = if name == "malloc" { guest.without_allocator() } else { guest };
        let message = error(guest.try_start()).to_string();
        assert!(message.starts_with(&format!("exports {name} with the wrong type")), "{message}");
        assert!(message.ends_with("expected the type that the Proxy-Wasm ABI gives it"), "{message}");
    }
}

#[test]
fn an_export_of_an_entry_points_name_that_is_no_function_is_not_one() {
    let guest = Guest::new().with(r#"(global (export "proxy_on_log") i32 (i32.const 0))"#);
    assert!(guest.try_start().is_ok());
}

#[test]
fn vms_of_one_template_share_nothing() {
    let linked = Guest::new()
        .with("(global $count (mut i32) (i32.const 0))")
        .on(
            "proxy_on_configure",
            "(global.set $count (i32.add (global.get $count) (i32.const 1)))
             (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
             (call $say (global.get $count)) (call $say (i32.load (i32.const 16)))",
        )
        .link()
        .unwrap();
    for _ in 0..3 {
        let mut vm = graft::host::vm::Vm::start(&linked.template).unwrap();
        vm.create_root(&linked.plugin).unwrap();
    }
    assert_eq!(linked.services.log(), ["wasm log: 1"; 6]);
}
