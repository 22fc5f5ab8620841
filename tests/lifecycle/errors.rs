//! What an operator reads when a plugin does not load: one line that names the plugin, the field, what was found and
//! what was expected. Only a trap adds lines: its backtrace.

use std::path::Path;
use std::time::Duration;

use graft::config::{Code, PluginConfig};
use graft::lifecycle::error::LoadError;

use crate::guest::Guest;
use crate::house::{House, allowing_only, config, config_of, configured, file, with_limits, with_vm};

/// The line for a plugin called `auth` that does not load.
fn line(config: &PluginConfig) -> String {
    let line = House::new(1).refuse(config);
    assert!(!line.contains('\n'), "one line: {line}");
    line
}

/// The line for these bytes in the configuration itself.
fn line_of(bytes: &[u8]) -> String {
    line(&config_of("auth", Code::Inline(bytes.to_vec())))
}

/// The line for a guest that does not load.
fn line_for(guest: &Guest) -> String {
    line(&config("auth", guest))
}

#[test]
fn a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let of = |path: &Path| line(&config_of("auth", Code::File(path.to_owned())));
    let missing = folder.path().join("missing.wasm");
    assert_eq!(
        of(&missing),
        format!(
            "plugin \"auth\": vm_config.code.local.filename: no such file {missing:?}, \
             expected the path of a Wasm file"
        )
    );
    assert_eq!(
        of(folder.path()),
        format!(
            "plugin \"auth\": vm_config.code.local.filename: {:?} is no regular file, expected a Wasm file",
            folder.path()
        )
    );
    let beyond = file(&folder, b"").join("plugin.wasm");
    let unreadable = of(&beyond);
    let start = format!("plugin \"auth\": vm_config.code.local.filename: {beyond:?} cannot be read (");
    assert!(unreadable.starts_with(&start), "{unreadable}");
    assert!(unreadable.ends_with("), expected a readable Wasm file"), "{unreadable}");
}

#[test]
fn an_environment_variable_without_code() {
    let of = |name: &str| line(&config_of("auth", Code::Environment(name.to_owned())));
    assert_eq!(
        of("NOBODY_SETS_THIS"),
        "plugin \"auth\": vm_config.code.local.environment_variable: environment variable \
         \"NOBODY_SETS_THIS\" is not set, expected it to hold Wasm bytes"
    );
    // Cargo sets it, to the name of this package.
    assert_eq!(
        of("CARGO_PKG_NAME"),
        "plugin \"auth\": vm_config.code.local.environment_variable: 5 bytes that start with \
         67 72 61 66 74, expected a Wasm module (it starts with the bytes 00 61 73 6d 01 00 00 00)"
    );
}

#[test]
fn bytes_that_are_no_module() {
    for (bytes, found) in [
        (&b""[..], "an empty file"),
        (b"\x7fELF\x02\x01\x01", "an ELF file (a native library or a precompiled module)"),
        (b"\x1f\x8b\x08\x00", "a gzip file"),
        (b"PK\x03\x04", "a zip file"),
        (b"(module)", "Wasm in text form"),
        (b"<!doctype html>", "an HTML or XML page"),
        (b"\0asm\x0d\0\x01\0", "a Wasm component"),
        (b"\0asm\x02\0\0\0", "a Wasm binary of an unknown version"),
        (b"hello", "5 bytes that start with 68 65 6c 6c 6f"),
    ] {
        let expected = format!(
            "plugin \"auth\": vm_config.code.local: {found}, expected a Wasm module \
             (it starts with the bytes 00 61 73 6d 01 00 00 00)"
        );
        assert_eq!(line_of(bytes), expected);
    }
}

#[test]
fn the_field_is_that_of_where_the_bytes_came_from() {
    let folder = tempfile::tempdir().unwrap();
    let line = line(&config_of("auth", Code::File(file(&folder, b"\x7fELF"))));
    assert!(line.starts_with("plugin \"auth\": vm_config.code.local.filename: an ELF file"), "{line}");
}

#[test]
fn a_module_that_is_cut_or_broken() {
    let wasm = Guest::new().wasm();
    for (bytes, place) in [(&wasm[..wasm.len() - 5], "offset"), (&[&wasm[..8], &[99]].concat(), "offset")] {
        let line = line_of(bytes);
        let start = "plugin \"auth\": vm_config.code.local: an invalid Wasm module: ";
        assert!(line.starts_with(start) && line.contains(place), "{line}");
        assert!(line.ends_with(", expected a valid core module"), "{line}");
    }
}

#[test]
fn a_module_that_is_no_plugin() {
    for (guest, found) in [
        (
            Guest::new().abi(""),
            "exports no Proxy-Wasm ABI marker, expected a function named proxy_abi_version_0_1_0, \
             proxy_abi_version_0_2_0 or proxy_abi_version_0_2_1 (is it a Proxy-Wasm plugin?)",
        ),
        (
            Guest::new().without_allocator(),
            "exports no allocator, expected a function named malloc or proxy_on_memory_allocate",
        ),
        (Guest::new().memory("(memory 2)"), "exports no memory, expected a memory named \"memory\""),
        (
            Guest::new().import(r#"(import "env" "proxy_fly" (func))"#),
            "imports env.proxy_fly, expected only functions of Proxy-Wasm 0.2.1 and WASI preview 1",
        ),
        (
            Guest::new().import(r#"(import "wasi:http/types" "send" (func))"#),
            "imports wasi:http/types.send, expected only functions of Proxy-Wasm 0.2.1 and WASI preview 1",
        ),
    ] {
        assert_eq!(line_for(&guest), format!("plugin \"auth\": vm_config.code.local: the code {found}"));
    }
}

#[test]
fn an_import_or_an_entry_point_of_another_type() {
    let import = line_for(&Guest::new().import(r#"(import "env" "proxy_done" (func (param i64)))"#));
    let start = "plugin \"auth\": vm_config.code.local: the code has an import that does not fit: ";
    assert!(import.starts_with(start) && import.contains("proxy_done"), "{import}");

    let entry = line_for(&Guest::new().with(r#"(func (export "proxy_on_done") (param i64))"#));
    let start =
        "plugin \"auth\": vm_config.code.local: the plugin exports proxy_on_done with the wrong type (";
    assert!(entry.starts_with(start), "{entry}");
    assert!(entry.ends_with("), expected the type that the Proxy-Wasm ABI gives it"), "{entry}");
}

#[test]
fn a_plugin_that_refuses() {
    assert_eq!(
        line_for(&Guest::new().answer("proxy_on_vm_start", 0, "")),
        "plugin \"auth\": vm_config.configuration: the plugin refused to start: \
         proxy_on_vm_start answered false, expected true"
    );
    let refusing = config("auth", &Guest::new().answer("proxy_on_configure", 0, ""));
    let secret = configured(&refusing, "hunter2");
    assert_eq!(
        line(&secret),
        "plugin \"auth\": configuration: the plugin refused its configuration: \
         proxy_on_configure answered false, expected true"
    );
}

#[test]
fn a_plugin_that_traps_while_it_starts() {
    for step in ["_initialize", "proxy_on_context_create", "proxy_on_vm_start", "proxy_on_configure"] {
        let guest = Guest::new()
            .with("(func $check_the_rules unreachable)")
            .export(step, "(call $check_the_rules) unreachable");
        let text = House::new(1).refuse(&config("auth", &guest));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                "plugin \"auth\": vm_config.code.local: the plugin trapped while starting: \
                 Function: {step} failed: wasm trap: wasm `unreachable` instruction executed"
            )
        );
        assert_eq!(lines[1], "Proxy-Wasm plugin in-VM backtrace:");
        assert!(lines[2].ends_with(" - check_the_rules"), "{text}");
        assert_eq!(lines.len(), 4, "{text}");
    }
}

#[test]
fn a_plugin_that_does_not_come_to_an_end_while_it_starts() {
    for (step, limit) in [("_initialize", "start"), ("proxy_on_configure", "configure")] {
        let guest = config("auth", &Guest::new().export(step, "(loop $ever (br $ever)) unreachable"));
        let text = House::new(1).refuse(&with_limits(&guest, |limits| {
            if limit == "start" {
                limits.start_deadline = Duration::from_millis(20);
            } else {
                limits.configure_deadline = Duration::from_millis(30);
            }
        }));
        let time = if limit == "start" { 20 } else { 30 };
        let expected = format!(
            "plugin \"auth\": vm_config.code.local: the plugin trapped while starting: Function: {step} failed: \
             did not return within graft.limits.{limit}_deadline ({time}ms)"
        );
        assert_eq!(text.lines().next().unwrap(), expected);
    }
}

#[test]
fn a_plugin_that_needs_more_than_its_limits() {
    let limits = |memory_bytes: u64, table_elements: u32| {
        let guest = Guest::new().with("(table 20 funcref)");
        line(&with_limits(&config("auth", &guest), |limits| {
            (limits.memory_bytes, limits.table_elements) = (memory_bytes, table_elements);
        }))
    };
    let memory = limits(65_536, 20);
    let start = "plugin \"auth\": vm_config.code.local: the plugin cannot be instantiated: ";
    assert!(memory.starts_with(start), "{memory}");
    assert!(
        memory.contains("memory of 131072 bytes was refused: graft.limits.memory_bytes is 65536"),
        "{memory}"
    );
    let table = limits(131_072, 19);
    assert!(table.starts_with(start), "{table}");
    assert!(
        table.contains("a table of 20 elements was refused: graft.limits.table_elements is 19"),
        "{table}"
    );
}

#[test]
fn a_plugin_whose_growth_was_refused_before_it_trapped() {
    let guest = Guest::new().on(
        "proxy_on_configure",
        "(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))",
    );
    let text =
        House::new(1).refuse(&with_limits(&config("auth", &guest), |limits| limits.memory_bytes = 131_072));
    let first = text.lines().next().unwrap();
    let end =
        "executed; before that, memory of 6684672 bytes was refused: graft.limits.memory_bytes is 131072";
    assert!(first.ends_with(end), "{first}");
}

#[test]
fn a_function_that_the_capabilities_deny_is_no_error_of_the_load() {
    let guest = Guest::new().on("proxy_on_configure", "(call $say (i32.const 1))");
    let house = House::new(1);
    let _plugin = house.load(&allowing_only(&config("auth", &guest), &["proxy_on_configure"]));
    assert_eq!(house.said(), ["Attempted call to restricted proxy-wasm capability: proxy_log"]);
}

#[test]
fn an_error_of_the_configuration_is_told_in_its_own_words() {
    let config = config("auth", &Guest::new());
    let error = LoadError::from(config.unexpected("vm_config.vm_id", "this", "that"));
    assert_eq!(error.describe(&config), "plugin \"auth\": vm_config.vm_id: this, expected that");
}

#[test]
fn nothing_secret_is_told() {
    let secret = "hunter2";
    let refusing = config("auth", &Guest::new().answer("proxy_on_vm_start", 0, ""));
    let told = line(&with_vm(&configured(&refusing, secret), |vm| {
        vm.configuration = secret.as_bytes().to_vec();
        vm.environment.key_values = crate::house::variables(&[("PASSWORD", secret)]);
    }));
    assert!(!told.contains(secret), "{told}");
}
