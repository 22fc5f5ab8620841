//! The library as Envoy's loader sees it: what it exports, and what it needs.

// In a test a panic is the verdict.
#![allow(clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

/// The library under test; `make build` makes it.
fn library() -> PathBuf {
    let path = std::env::var_os("GRAFT_MODULE").filter(|path| !path.is_empty()).map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/release/libgraft.so"),
        PathBuf::from,
    );
    assert!(path.exists(), "{} is missing: run `make build`", path.display());
    path
}

/// What a tool of binutils prints of the library.
fn inspect(tool: &str, arguments: &[&str]) -> String {
    let output = Command::new(tool)
        .args(arguments)
        .arg(library())
        .output()
        .unwrap_or_else(|error| panic!("{tool} cannot be run ({error}): run `make packages`"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn only_hooks_are_exported() {
    let symbols = inspect("nm", &["-D", "--defined-only"]);
    let names: BTreeSet<&str> = symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(names.contains("envoy_dynamic_module_on_program_init"), "{names:?}");
    let others: Vec<_> = names.iter().filter(|name| !name.starts_with("envoy_dynamic_module_on_")).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn callbacks_of_envoy_are_weak() {
    let symbols = inspect("nm", &["-D", "--undefined-only"]);
    let strong: Vec<_> = symbols
        .lines()
        .filter(|line| line.contains("envoy_dynamic_module_callback_") && !line.contains(" w "))
        .collect();
    assert!(strong.is_empty(), "an Envoy without one of these refuses the library: {strong:?}");
}

#[test]
fn libc_alone_is_needed_and_the_library_stays_mapped() {
    let section = inspect("readelf", &["-d", "--wide"]);
    let needed: BTreeSet<&str> = section
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split_once('[')?.1.split_once(']').map(|(name, _)| name))
        .collect();
    assert_eq!(needed, BTreeSet::from(["ld-linux-x86-64.so.2", "libc.so.6"]));
    assert!(section.contains("NODELETE"), "{section}");
}
