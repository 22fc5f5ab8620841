//! Each table has exactly the rows that the code has.

use std::collections::{BTreeMap, BTreeSet};

use graft::engine::wasi;
use graft::host::entry_points;
use graft::host::hostcalls::{ALL, Hostcall, SINCE_V0_2_0, SINCE_V0_2_1, V0_1_0};

use crate::markdown::{Page, spans};
use crate::{made, root, text};

const PROXY_WASM: &str = "docs/PROXY_WASM.md";

/// The rows of a section by the code spans in their first cell.
fn rows_by_name(page: &str, section: &str) -> BTreeMap<String, Vec<String>> {
    let mut by_name = BTreeMap::new();
    for row in Page::read(page).section(section).rows() {
        for name in spans(&row[0]) {
            let twice = by_name.insert(name.clone(), row.clone());
            assert!(twice.is_none(), "{page}, {section}: {name} has two rows");
        }
    }
    by_name
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// How many parameters a cell lists; what stands in brackets describes one.
fn count_parameters(cell: &str) -> usize {
    let mut depth = 0;
    let commas = cell.chars().filter(|character| {
        depth += i32::from(*character == '(') - i32::from(*character == ')');
        *character == ',' && depth == 0
    });
    if cell.is_empty() { 0 } else { commas.count() + 1 }
}

#[test]
fn every_hostcall_has_a_row_that_is_right() {
    let rows = rows_by_name(PROXY_WASM, "Hostcalls");
    let tables: [(&str, &[Hostcall]); 4] =
        [("0.1.0", ALL), ("0.1.0 only", V0_1_0), ("0.2.0", SINCE_V0_2_0), ("0.2.1", SINCE_V0_2_1)];
    let linked = names(tables.iter().flat_map(|(_, table)| table.iter().map(|hostcall| hostcall.name)));
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), linked);
    for (since, table) in tables {
        for hostcall in table {
            let name = hostcall.name;
            let [_, own_since, parameters, _, answers, test] = rows[name].as_slice() else {
                panic!("{name}: six cells: {:?}", rows[name])
            };
            assert_eq!(own_since, since, "{name}");
            assert_eq!(count_parameters(parameters), hostcall.parameters, "{name}: {parameters}");
            assert!(!answers.starts_with("UNIMPLEMENTED"), "{name}: {answers}");
            let file = format!("tests/host/{}", spans(test).join(""));
            assert!(text(&file).contains(name), "{file} has no test of {name}");
        }
    }
}

#[test]
fn every_foreign_function_has_a_row() {
    let rows = rows_by_name("docs/FOREIGN_FUNCTIONS.md", "Table");
    assert_eq!(names(rows.keys().map(String::as_str)), names(graft::host::foreign::NAMES.iter().copied()));
}

#[test]
fn every_entry_point_has_a_row() {
    let rows = rows_by_name(PROXY_WASM, "Entry points");
    let called = names(entry_points::NAMES.iter().copied());
    assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), called);
}

#[test]
fn every_wasi_function_has_a_row() {
    let rows = rows_by_name(PROXY_WASM, "WASI");
    let linked = names(wasi::FUNCTIONS);
    assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), linked);
}

/// The names in the table of `src/bridge/properties/names.rs`: `group { member = …, }`, and those of one part.
fn properties_of_the_code() -> BTreeSet<String> {
    let source = text("src/bridge/properties/names.rs");
    let (_, table) = source.split_once("\nnames! {").expect("the table");
    let (table, rest) = table.split_once("\n}").expect("its end");
    let mut properties = BTreeSet::new();
    for group in table.split_inclusive('}') {
        let Some((group, members)) = group.split_once('{') else { continue };
        let members = members
            .split(|character: char| !character.is_alphanumeric() && character != '_' && character != '=');
        let words: Vec<&str> = members.filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2).filter(|pair| pair[1] == "=") {
            properties.insert(format!("{}.{}", group.trim(), pair[0]));
        }
    }
    let (_, single) = rest.split_once("const SINGLE").expect("the names of one part");
    let (single, _) = single.split_once("];").expect("their end");
    // A row is the name and the two parts of what it stands for.
    properties.extend(single.split('"').skip(1).step_by(2).step_by(3).map(str::to_owned));
    properties
}

#[test]
fn every_property_has_a_row() {
    let properties = properties_of_the_code();
    assert!(properties.len() > 60 && properties.contains("request.path"), "{properties:?}");
    let documented = rows_by_name(PROXY_WASM, "Properties");
    let missing: Vec<_> = properties.iter().filter(|name| !documented.contains_key(*name)).collect();
    assert!(missing.is_empty(), "properties without a row: {missing:?}");
}

/// The entries of a list in `src/abi/callbacks.h`.
fn entries(list: &str) -> BTreeSet<String> {
    let header = text("src/abi/callbacks.h");
    let (_, list) = header.split_once(&format!("#define {list}(ENTRY)")).expect("the list");
    let entries = list.lines().skip(1).map_while(|line| {
        let is_comment = line.trim_start().starts_with("/*");
        let entry = line.trim_start().strip_prefix("ENTRY(").and_then(|entry| entry.split_once(')'));
        (is_comment || entry.is_some()).then(|| entry.map(|(name, _)| name.to_owned()))
    });
    let entries: BTreeSet<String> = entries.flatten().collect();
    assert!(entries.len() > 20, "{entries:?}");
    entries
}

#[test]
fn every_hook_is_in_the_index() {
    let rows = rows_by_name("docs/ARCHITECTURE.md", "A hook of Envoy");
    assert_eq!(rows.into_keys().collect::<BTreeSet<_>>(), entries("GRAFT_HOOKS"));
}

#[test]
fn every_benchmark_is_described() {
    let source = text("benches/host.rs");
    let page = text("docs/PERFORMANCE.md");
    let benchmarks: Vec<&str> =
        source.split("bench_function(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(benchmarks.len() > 5, "{benchmarks:?}");
    let missing: Vec<_> = benchmarks.iter().filter(|name| !page.contains(&format!("{name}`"))).collect();
    assert!(missing.is_empty(), "benchmarks without a row: {missing:?}");
}

/// The callbacks of the ABI whose names stand in an Envoy.
fn callbacks_of(version: &str) -> BTreeSet<String> {
    const PREFIX: &[u8] = b"envoy_dynamic_module_callback_";
    let path = root().join("target/envoy").join(version).join("envoy");
    let program = std::fs::read(made(path, "envoys")).expect("an Envoy can be read");
    let mut callbacks = BTreeSet::new();
    let mut rest = program.as_slice();
    while let Some(at) = rest.windows(PREFIX.len()).position(|window| window == PREFIX) {
        rest = &rest[at + PREFIX.len()..];
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        if let Ok(name) = std::str::from_utf8(&rest[..end]) {
            callbacks.insert(name.to_owned());
        }
    }
    callbacks
}

/// What degrades is read off the Envoys themselves: since when each callback is there.
#[test]
fn every_callback_that_an_envoy_lacks_has_a_row_with_its_first_release() {
    const RELEASES: [(&str, &str); 4] =
        [("1.37", "1.37.0"), ("1.38", "1.38.3"), ("1.39", "1.39.3"), ("1.40", "1.40.0")];
    let releases = RELEASES.map(|(release, version)| (release, callbacks_of(version)));
    let mut late = BTreeMap::new();
    for callback in entries("GRAFT_CALLBACKS") {
        let first = releases.iter().position(|(_, callbacks)| callbacks.contains(&callback));
        let first = first.unwrap_or_else(|| panic!("no Envoy has {callback}"));
        if first > 0 {
            late.insert(callback, releases[first].0.to_owned());
        }
    }
    let rows = rows_by_name("docs/COMPATIBILITY.md", "Callbacks that are missing");
    let documented: BTreeMap<_, _> = rows.into_iter().map(|(name, row)| (name, row[1].clone())).collect();
    assert_eq!(documented, late);
}

#[test]
fn parameters_are_counted_at_commas_outside_of_brackets() {
    assert_eq!(count_parameters(""), 0);
    assert_eq!(count_parameters("id, offset (64 bits, signed)"), 2);
}
