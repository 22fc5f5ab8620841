//! Linking: what code must export and may import, and what is said about code that does not.

use graft::engine::wasi;
use graft::host::types::AbiVersion;

use crate::guest::{Guest, hostcalls, type_of};

/// What is said about code that does not fit.
fn refusal(guest: Guest) -> String {
    match guest.link() {
        Ok(_) => panic!("it was linked"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn code_without_a_marker_is_not_a_plugin() {
    assert_eq!(
        refusal(Guest::new().abi("")),
        "exports no Proxy-Wasm ABI marker, expected a function named proxy_abi_version_0_1_0, \
         proxy_abi_version_0_2_0 or proxy_abi_version_0_2_1 (is it a Proxy-Wasm plugin?)"
    );
    assert!(refusal(Guest::new().abi("0_3_0")).starts_with("exports no Proxy-Wasm ABI marker"));
    let global = r#"(global (export "proxy_abi_version_0_2_1") i32 (i32.const 0))"#;
    assert!(refusal(Guest::new().abi("").with(global)).starts_with("exports no Proxy-Wasm ABI marker"));
}

#[test]
fn the_first_marker_decides() {
    let linked =
        Guest::new().abi("0_2_0").with(r#"(func (export "proxy_abi_version_0_1_0"))"#).link().unwrap();
    assert_eq!(linked.template.abi(), AbiVersion::V0_2_0);
}

#[test]
fn each_marker_is_its_abi() {
    for (marker, abi) in
        [("0_1_0", AbiVersion::V0_1_0), ("0_2_0", AbiVersion::V0_2_0), ("0_2_1", AbiVersion::V0_2_1)]
    {
        assert_eq!(Guest::new().abi(marker).link().unwrap().template.abi(), abi);
    }
}

#[test]
fn code_without_an_allocator_cannot_be_given_anything() {
    assert_eq!(
        refusal(Guest::new().without_allocator()),
        "exports no allocator, expected a function named malloc or proxy_on_memory_allocate"
    );
}

#[test]
fn code_without_memory_cannot_be_reached() {
    let expected = "exports no memory, expected a memory named \"memory\"";
    assert_eq!(refusal(Guest::new().memory("(memory 1)")), expected);
    assert_eq!(refusal(Guest::new().memory("(memory (export \"mem\") 1)")), expected);
    let global = "(memory 1) (global (export \"memory\") i32 (i32.const 0))";
    assert_eq!(refusal(Guest::new().memory(global)), expected);
}

#[test]
fn an_unknown_import_is_named_with_its_module() {
    assert_eq!(
        refusal(Guest::new().import(r#"(import "env" "proxy_fly" (func))"#)),
        "imports env.proxy_fly, expected only functions of Proxy-Wasm 0.2.1 and WASI preview 1"
    );
    assert_eq!(
        refusal(Guest::new().abi("0_1_0").import(r#"(import "wasi_snapshot_preview2" "fd_write" (func))"#)),
        "imports wasi_snapshot_preview2.fd_write, expected only functions of Proxy-Wasm 0.1.0 and WASI preview 1"
    );
    let imported = r#"(import "env" "memory" (memory 1)) (export "memory" (memory 0))"#;
    let memory = Guest::new().memory("").import(imported);
    assert!(refusal(memory).starts_with("imports env.memory"));
    assert!(refusal(Guest::new().import(r#"(import "env" "g" (global i32))"#)).starts_with("imports env.g"));
}

#[test]
fn an_import_of_another_type_does_not_fit() {
    for import in [
        r#"(import "env" "proxy_log" (func (param i32 i32) (result i32)))"#,
        r#"(import "env" "proxy_log" (func (param i32 i32 i32)))"#,
        r#"(import "env" "proxy_log" (func (param i64 i32 i32) (result i32)))"#,
        r#"(import "env" "proxy_log" (global i32))"#,
        r#"(import "wasi_snapshot_preview1" "proc_exit" (func (result i32)))"#,
    ] {
        let message = refusal(Guest::new().import(import));
        assert!(message.starts_with("has an import that does not fit: "), "{message}");
        assert!(message.contains("incompatible import type"), "{message}");
    }
}

/// Whether code of an ABI may import a hostcall, with its type.
fn can_import(abi: &'static str, name: &str, parameters: usize) -> bool {
    let types: String = (0..parameters).map(|number| format!(" {}", type_of(name, number))).collect();
    let import = format!(r#"(import "env" "{name}" (func (param{types}) (result i32)))"#);
    Guest::new().abi(abi).import(&import).link().is_ok()
}

#[test]
fn every_abi_has_its_hostcalls_and_no_other() {
    use graft::host::hostcalls::{ALL, SINCE_V0_2_0, SINCE_V0_2_1, V0_1_0};
    for (table, abis) in [
        (ALL, [true, true, true]),
        (V0_1_0, [true, false, false]),
        (SINCE_V0_2_0, [false, true, true]),
        (SINCE_V0_2_1, [false, false, true]),
    ] {
        for row in table {
            let can = ["0_1_0", "0_2_0", "0_2_1"].map(|abi| can_import(abi, row.name, row.parameters));
            assert_eq!(can, abis, "{}", row.name);
        }
    }
}

#[test]
fn the_table_has_every_hostcall_of_the_specification_once() {
    let mut names: Vec<&str> = hostcalls().map(|row| row.name).collect();
    names.sort_unstable();
    // The 39 of 0.2.1, the four that only 0.1.0 has, and Envoy's name resolution.
    assert_eq!(names.len(), 39 + 4 + 1);
    names.dedup();
    assert_eq!(names.len(), 44);
}

#[test]
fn wasi_and_the_helpers_of_emscripten_can_be_imported_by_every_abi() {
    for abi in ["0_1_0", "0_2_0", "0_2_1"] {
        for module in wasi::MODULES {
            let import = format!(
                r#"(import "{module}" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                   (import "{module}" "random_get" (func (param i32 i32) (result i32)))"#
            );
            assert!(Guest::new().abi(abi).import(&import).link().is_ok(), "{module}");
        }
        let helpers = r#"(import "env" "pthread_equal" (func $equal (param i32 i32) (result i32)))
                         (import "env" "emscripten_notify_memory_growth" (func $grown (param i32)))"#;
        let vm = Guest::new()
            .abi(abi)
            .import(helpers)
            .on(
                "proxy_on_configure",
                "(call $grown (i32.const 0))
                 (call $say (call $equal (i32.const 7) (i32.const 7)))
                 (call $say (call $equal (i32.const 7) (i32.const 8)))",
            )
            .start();
        assert_eq!(vm.said(), ["1", "0"]);
    }
}
