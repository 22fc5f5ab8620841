//! What a page refers to exists.

use std::collections::BTreeSet;
use std::path::Path;

use crate::markdown::{Page, pages, spans};
use crate::{root, text};

#[test]
fn links_lead_to_a_page_and_to_a_heading_of_it() {
    let mut dead = Vec::new();
    for page in pages() {
        for link in page.links() {
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = page.path.parent().expect("a folder");
            let target = if path.is_empty() { page.path.clone() } else { folder.join(path) };
            let is_there = root().join(&target).exists();
            let has_anchor = anchor.is_empty()
                || is_there && Page::read(&target).anchors().iter().any(|own| own == anchor);
            if !is_there || !has_anchor {
                dead.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

/// The folders whose files pages name by their path from the root.
const FOLDERS: [&str; 10] =
    ["src/", "tests/", "docs/", "include/", "envoy/", "examples/", "tools/", "benches/", "bazel/", ".ci/"];

#[test]
fn files_that_a_page_names_are_there() {
    let mut missing = Vec::new();
    for page in pages() {
        for span in page.spans() {
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder)) && !span.contains(' ');
            // A pattern, or a name to be filled in: tests/plugins/LANGUAGE/NAME.
            let is_pattern = span.contains('*')
                || span.split('/').any(|part| part.len() > 1 && part.chars().all(|c| c.is_ascii_uppercase()));
            if is_path && !is_pattern && !root().join(&span).exists() {
                missing.push(format!("{}: {span}", page.path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "files that do not exist:\n{}", missing.join("\n"));
}

#[test]
fn tasks_that_a_page_names_are_in_the_makefile() {
    let makefile = text("Makefile");
    let tasks: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').filter(|_| line.contains("## ")))
        .map(|(task, _)| task)
        .collect();
    assert!(tasks.contains("test"), "{tasks:?}");
    for page in pages() {
        let blocks = page.blocks();
        let commands = blocks.iter().filter(|block| block.info == "sh").flat_map(|block| block.text.lines());
        for command in page.spans().iter().map(String::as_str).chain(commands) {
            let Some(words) = command.trim().strip_prefix("make ") else { continue };
            for task in
                words.split_whitespace().take_while(|word| word.chars().all(|c| c.is_ascii_lowercase()))
            {
                assert!(tasks.contains(task), "{}: `make {task}` is no task", page.path.display());
            }
        }
    }
}

#[test]
fn test_binaries_that_a_page_runs_exist() {
    for page in pages() {
        for block in page.blocks().iter().filter(|block| block.info == "sh") {
            let mut words = block.text.split_whitespace();
            while words.any(|word| word == "--test") {
                let name = words.next().expect("a name");
                let is_there = [format!("tests/{name}.rs"), format!("tests/{name}/main.rs")]
                    .iter()
                    .any(|path| root().join(path).exists());
                assert!(is_there, "{}: there is no test {name}", page.path.display());
            }
        }
    }
}

#[test]
fn the_layout_of_the_readme_is_that_of_the_repository() {
    let layout = Page::read("README.md").section("Layout").block("text");
    assert_eq!(layout.lines().count(), 10, "the layout has ten lines");
    for line in layout.lines() {
        let path = line.split_whitespace().next().expect("a path");
        let source = format!("{path}.rs");
        assert!(root().join(path).exists() || root().join(source).exists(), "{path} does not exist");
    }
}

#[test]
fn each_difference_names_a_test_that_exists() {
    let scenarios = text("tests/envoy/parity/scenarios.rs");
    let rows = Page::read("docs/PROXY_WASM.md").section("Differences from the built-in host").rows();
    assert!(rows.len() > 20, "the rows were found");
    for row in rows {
        let [what, _, _, _, tests] = row.as_slice() else { panic!("five cells: {row:?}") };
        for test in spans(tests) {
            let is_there = if let Some((file, story)) = test.split_once("::") {
                text(Path::new("tests/envoy/stories").join(format!("{file}.rs")))
                    .contains(&format!("fn {story}("))
            } else {
                test.contains('/') || scenarios.contains(&format!(" {test},"))
            };
            assert!(is_there, "{what}: there is no test {test}");
        }
        let points_elsewhere = row.iter().any(|cell| cell.contains("]("));
        assert!(!spans(tests).is_empty() || points_elsewhere, "{what}: no test holds it");
    }
}

#[test]
fn the_parity_report_has_a_place() {
    let report = text("docs/PROXY_WASM.md");
    let begin = report.find("<!-- parity:begin -->").expect("its begin");
    let end = report.find("<!-- parity:end -->").expect("its end");
    assert!(begin < end);
}
