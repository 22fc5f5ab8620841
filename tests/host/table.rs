//! Nothing is left out: every hostcall and entry point of the host's tables is documented and tested.

use std::fs;
use std::path::Path;

use graft::engine::wasi;
use graft::host::entry_points;

use crate::guest::hostcalls;

/// A file of the repository.
fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files of this folder but the harness and this one, which name hostcalls without testing them.
fn tests() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host");
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !matches!(name, "guest.rs" | "table.rs" | "main.rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

#[test]
fn every_hostcall_has_a_row_in_the_documentation() {
    let page = read("docs/PROXY_WASM.md");
    let missing: Vec<&str> =
        hostcalls().map(|row| row.name).filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [""; 0], "docs/PROXY_WASM.md lacks these");
}

#[test]
fn every_entry_point_has_a_row_in_the_documentation() {
    let page = read("docs/PROXY_WASM.md");
    let missing: Vec<&&str> =
        entry_points::NAMES.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, [&""; 0], "docs/PROXY_WASM.md lacks these");
}

#[test]
fn every_wasi_function_is_named_in_the_documentation() {
    let page = read("docs/PROXY_WASM.md");
    let missing: Vec<&&str> = wasi::FUNCTIONS.iter().filter(|name| !page.contains(*name)).collect();
    assert_eq!(missing, [&""; 0], "docs/PROXY_WASM.md lacks these");
}

#[test]
fn every_hostcall_is_named_in_a_test() {
    let tests = tests();
    let missing: Vec<&str> = hostcalls().map(|row| row.name).filter(|name| !tests.contains(name)).collect();
    assert_eq!(missing, [""; 0], "tests/host lacks these");
}

#[test]
fn every_entry_point_is_named_in_a_test() {
    let tests = tests();
    let missing: Vec<&&str> = entry_points::NAMES.iter().filter(|name| !tests.contains(**name)).collect();
    assert_eq!(missing, [&""; 0], "tests/host lacks these");
}
