//! The shape of the house, checked: which layer names which, where `unsafe` and each dependency may stand, how long
//! a file may be. The table is that of `docs/ARCHITECTURE.md`.
//!
//! The sources are read as text. Comments and literals are blanked first, so that a sentence about `crate::host`
//! is not a use of it; what is left is searched for paths. That is no parser, and need not be: rustfmt keeps the text
//! regular, and ways around the search (globs of the crate, re-exports of another layer) are refused as such.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that meets the unexpected fails"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each layer, from top to bottom, and the layers that it may name.
const LAYERS: [(&str, &[&str]); 9] = [
    ("exports", &["abi", "bridge"]),
    ("bridge", &["abi", "config", "host", "lifecycle", "telemetry"]),
    ("lifecycle", &["config", "engine", "host", "source", "telemetry"]),
    ("host", &["engine", "telemetry"]),
    ("source", &["config", "telemetry"]),
    ("engine", &["telemetry"]),
    ("abi", &[]),
    ("config", &[]),
    ("telemetry", &[]),
];

/// Dependencies with one door, and the layers behind which they are.
const DOORS: [(&str, &[&str]); 11] = [
    ("wasmtime", &["engine", "host"]),
    ("serde", &["config", "source"]),
    // The bridge writes the state of all plugins for Envoy's admin endpoint.
    ("serde_json", &["config", "source", "bridge"]),
    ("serde_path_to_error", &["config"]),
    ("getrandom", &["engine"]),
    ("libc", &["abi"]),
    ("rayon", &["engine"]),
    ("rustix", &["engine", "source"]),
    ("ureq", &["source"]),
    ("rustls", &["source"]),
    ("tar", &["source"]),
];

/// Most lines of a file, its unit tests apart. One that is longer wants a split.
const LONGEST_FILE: usize = 500;

/// A source file of the library.
struct Source {
    /// Its path below `src`, such as `host/vm/start.rs`.
    path: String,
    /// Its text.
    text: String,
    /// Its text with comments and literals blanked; as many lines.
    code: String,
}

impl Source {
    /// The layer that it belongs to; `lib` for the map of the crate.
    fn layer(&self) -> &str {
        let end = self.path.find(['/', '.']).unwrap();
        &self.path[..end]
    }

    /// How many modules lie between it and the root of the crate: 1 for `host.rs`, 2 for `host/vm.rs`.
    fn depth(&self) -> usize {
        self.path.matches('/').count() + 1
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, without what is made, fetched or git's own.
fn files(folder: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 4] = ["target", ".git", "node_modules", ".proptest-regressions"];
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if kind.is_dir() {
            found.extend(files(&path));
        } else if kind.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let sources: Vec<Source> = files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = blank(&text);
            Source { path: path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned(), text, code }
        })
        .collect();
    assert!(sources.len() > 20, "the sources are in src");
    sources
}

/// Replaces comments and literals by spaces. Lines stay lines.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = match (characters[at], characters.get(at + 1)) {
            ('/', Some('/')) => end_of_line(&characters, at),
            ('/', Some('*')) => end_of_block(&characters, at),
            ('"', _) => end_of_string(&characters, at),
            ('r', Some('"' | '#')) if !is_in_word(&characters, at) => end_of_raw_string(&characters, at),
            ('\'', _) => end_of_character(&characters, at),
            _ => at,
        };
        if end == at {
            code.push(characters[at]);
            at += 1;
        }
        for character in &characters[at..end.max(at)] {
            code.push(if *character == '\n' { '\n' } else { ' ' });
        }
        at = at.max(end);
    }
    code
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether the place is inside a word: the `r` of `for` begins no raw string, but that of `br"…"` does.
fn is_in_word(characters: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| characters.get(at)).copied();
    match before(1) {
        Some('b' | 'c') => before(2).is_some_and(is_word),
        other => other.is_some_and(is_word),
    }
}

fn end_of_line(characters: &[char], at: usize) -> usize {
    characters[at..]
        .iter()
        .position(|character| *character == '\n')
        .map_or(characters.len(), |length| at + length)
}

fn end_of_block(characters: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut here = at;
    while here < characters.len() {
        match (characters[here], characters.get(here + 1)) {
            ('/', Some('*')) => (depth, here) = (depth + 1, here + 2),
            ('*', Some('/')) => (depth, here) = (depth - 1, here + 2),
            _ => here += 1,
        }
        if depth == 0 {
            break;
        }
    }
    here
}

fn end_of_string(characters: &[char], at: usize) -> usize {
    let mut here = at + 1;
    while here < characters.len() && characters[here] != '"' {
        here += if characters[here] == '\\' { 2 } else { 1 };
    }
    (here + 1).min(characters.len())
}

/// The end of `r"…"` or `r#"…"#`; the place itself for a raw identifier.
fn end_of_raw_string(characters: &[char], at: usize) -> usize {
    let hashes = characters[at + 1..].iter().take_while(|character| **character == '#').count();
    if characters.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut here = at + 2 + hashes;
    while here < characters.len() {
        let closes = characters[here] == '"'
            && characters[here + 1..].iter().take_while(|character| **character == '#').count() >= hashes;
        if closes {
            return here + 1 + hashes;
        }
        here += 1;
    }
    here
}

/// The end of `'x'` or `'\n'`; the place itself for a lifetime.
fn end_of_character(characters: &[char], at: usize) -> usize {
    match (characters.get(at + 1), characters.get(at + 2)) {
        (Some('\\'), _) => {
            // The character behind the backslash may itself be a quote.
            let rest = characters.iter().skip(at + 3);
            at + 3 + rest.take_while(|character| **character != '\'').count() + 1
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The words of a text, and the signs between them, without white space.
fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|character| !is_word(character)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    tokens
}

/// The first words of what follows a path's beginning: one, or all of a group. `{a::b, c}` are `a` and `c`.
fn heads<'a>(tokens: &[&'a str]) -> Vec<&'a str> {
    if tokens.first() != Some(&"{") {
        return tokens.first().copied().into_iter().collect();
    }
    let mut heads = Vec::new();
    let (mut depth, mut is_head) = (0_usize, false);
    for token in tokens {
        match *token {
            "{" => (depth, is_head) = (depth + 1, depth == 0),
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," => is_head = depth == 1,
            word => {
                if is_head {
                    heads.push(word);
                }
                is_head = false;
            }
        }
    }
    heads
}

/// What a file names of the crate's root: by `crate::…`, and by a `super::…` that reaches it.
fn names_of_the_root(source: &Source) -> BTreeSet<&str> {
    let tokens = tokens(&source.code);
    let mut named = BTreeSet::new();
    let (mut at, mut is_in_tests) = (0, false);
    while at < tokens.len() {
        let mut here = at;
        while tokens[here] == "super" && tokens.get(here + 1) == Some(&"::") {
            here += 2;
        }
        let supers = (here - at) / 2;
        let begins = if tokens[here] == "crate" && tokens.get(here + 1) == Some(&"::") && supers == 0 {
            Some(here + 2)
        } else {
            // A module inside the file lies one deeper, so more of them may still not reach the root; then the
            // next word is no layer.
            (supers >= source.depth()).then_some(here)
        };
        let found = begins.map(|begins| heads(&tokens[begins..])).unwrap_or_default();
        is_in_tests = is_in_tests || tokens[at..].starts_with(&["cfg", "(", "test", ")"]);
        // Unit tests begin with `use super::*`, which is the file itself.
        named.extend(found.into_iter().filter(|name| !(*name == "*" && supers == 1 && is_in_tests)));
        at = here.max(at) + 1;
    }
    named
}

fn is_layer(name: &str) -> bool {
    LAYERS.iter().any(|(layer, _)| *layer == name)
}

#[test]
fn layers_name_only_what_is_below_them() {
    for source in sources().iter().filter(|source| source.layer() != "lib") {
        let layer = source.layer();
        let row = LAYERS.iter().find(|(name, _)| *name == layer);
        let (_, may_name) = row.unwrap_or_else(|| panic!("src/{}: {layer} is no layer", source.path));
        for name in names_of_the_root(source) {
            let may = name == layer || may_name.contains(&name) || !is_layer(name);
            assert!(may, "src/{}: {layer} may not name {name}", source.path);
        }
    }
}

#[test]
fn no_layer_is_named_by_a_detour() {
    for source in sources().iter().filter(|source| source.layer() != "lib") {
        let path = &source.path;
        assert!(
            !names_of_the_root(source).contains("*"),
            "src/{path}: a glob of the whole crate names every layer"
        );
        let tokens = tokens(&source.code);
        for (at, token) in tokens.iter().enumerate().filter(|(_, token)| **token == "use") {
            let statement: Vec<&str> =
                tokens[at..].iter().copied().take_while(|token| *token != ";").collect();
            let is_public = at > 0 && matches!(tokens[at - 1], "pub" | ")");
            let is_of_another = statement.iter().any(|word| is_layer(word) && *word != source.layer())
                && statement.contains(&"crate");
            assert!(!(is_public && is_of_another), "src/{path}: {token} re-exports another layer");
            let is_of_an_engine = statement.contains(&"wasmtime");
            assert!(!(is_public && is_of_an_engine), "src/{path}: the engine is not re-exported");
        }
        for word in ["extern crate", "crate as"] {
            assert!(!source.code.contains(word), "src/{path}: {word}");
        }
    }
}

#[test]
fn each_dependency_has_its_door() {
    for source in sources() {
        let tokens = tokens(&source.code);
        for (dependency, layers) in DOORS {
            let is_named = tokens.windows(2).any(|pair| pair == [dependency, "::"])
                || tokens.windows(2).any(|pair| pair == ["use", dependency]);
            let may = layers.contains(&source.layer());
            assert!(may || !is_named, "src/{}: {dependency} belongs to {layers:?}", source.path);
        }
    }
}

/// Where unsafe code may stand.
fn may_be_unsafe(path: &str) -> bool {
    ["exports", "abi"]
        .iter()
        .any(|layer| path == format!("{layer}.rs") || path.starts_with(&format!("{layer}/")))
        || path == "engine/code.rs"
}

#[test]
fn unsafe_code_stands_at_the_seam_alone() {
    let is_unsafe =
        |source: &Source| tokens(&source.code).iter().any(|token| matches!(*token, "unsafe" | "unsafe_code"));
    let sources = sources();
    for source in &sources {
        assert!(may_be_unsafe(&source.path) || !is_unsafe(source), "src/{}: unsafe code", source.path);
    }
    // Loading compiled code: the permission, and one block.
    let code = sources.iter().find(|source| source.path == "engine/code.rs").unwrap();
    let count = |word: &str| tokens(&code.code).iter().filter(|token| **token == word).count();
    assert_eq!((count("unsafe_code"), count("unsafe")), (1, 1), "src/engine/code.rs: one unsafe operation");
    assert!(sources.iter().any(is_unsafe), "the seam is unsafe, or this test looks at nothing");
}

#[test]
fn every_safety_comment_cites_facts_that_are_written_down() {
    let page = fs::read_to_string(root().join("docs/SAFETY.md")).unwrap();
    let mut comments = 0;
    for source in sources() {
        for (number, line) in source.text.lines().enumerate() {
            let Some((_, reason)) = line.split_once("// SAFETY:") else { continue };
            comments += 1;
            let place = format!("src/{}:{}: {}", source.path, number + 1, line.trim());
            let is_fact = |word: &&str| word.starts_with('F') && word[1..].parse::<u32>().is_ok();
            let facts: Vec<&str> = reason.split(|character| !is_word(character)).filter(is_fact).collect();
            assert!(!facts.is_empty(), "{place}: cites no fact of docs/SAFETY.md");
            for fact in facts {
                assert!(page.contains(&format!("**{fact}. ")), "{place}: docs/SAFETY.md has no {fact}");
            }
        }
    }
    assert!(comments > 0, "no comment was found");
}

#[test]
fn every_file_says_what_it_is() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "src/{}: begins without a header", source.path);
    }
}

/// The lines of a file before its unit tests, which stand at its end.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests =
        lines.windows(2).position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {"));
    tests.unwrap_or(lines.len())
}

#[test]
fn no_file_is_too_long() {
    for source in sources() {
        let lines = lines_without_tests(&source.text);
        assert!(lines <= LONGEST_FILE, "src/{}: {lines} lines, at most {LONGEST_FILE}", source.path);
    }
}

#[test]
fn no_file_names_the_machine_that_it_was_written_on() {
    // In pieces, or this file would be one that does.
    let machine = ["/wo+rk/", "/ro+ot/", "/ho+me/", "/t+mp/"].map(|path| path.replace('+', ""));
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            for folder in &machine {
                let is_named = line.match_indices(folder.as_str()).any(|(at, _)| {
                    // "framework/root/x" is a path of somebody else's.
                    !line[..at].ends_with(|before: char| {
                        is_word(before) || matches!(before, '.' | '-' | '}' | ')' | '$')
                    })
                });
                assert!(!is_named, "{}:{}: {}", path.display(), number + 1, line.trim());
            }
        }
    }
}

/// The checks above can fail: what they lean on is checked with samples.
mod the_checks {
    use super::*;

    fn source(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: blank(text) }
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        for (text, expected) in [
            ("a // crate::host\nb", &["a", "b"][..]),
            ("a /* x /* y */ z */ b", &["a", "b"]),
            ("a \"crate::host\\\" x\" b", &["a", "b"]),
            ("a r#\"un\"safe\"# b", &["a", "b"]),
            ("a 'y' '\\'' '\\u{1}' &'b str", &["a", "&'b", "str"]),
            ("for r in r#type", &["for", "r", "in", "r#type"]),
        ] {
            let code = blank(text);
            assert_eq!(code.split_whitespace().collect::<Vec<_>>(), expected, "{text}");
            assert_eq!((code.len(), code.lines().count()), (text.len(), text.lines().count()), "{text}");
        }
    }

    #[test]
    fn names_of_the_root_are_found_however_they_are_written() {
        for (text, expected) in [
            ("use crate::host::vm::Vm;", &["host"][..]),
            ("use crate::{abi::x, host::{a, b}, telemetry};", &["abi", "host", "telemetry"]),
            ("fn f() -> crate::bridge::X { y }", &["bridge"]),
            ("use super::super::host;", &["host"]),
            ("use super::super::{host::x, abi};", &["abi", "host"]),
            ("use super::x; use self::y; // crate::abi", &[]),
            ("use crate::*;", &["*"]),
        ] {
            let source = source("engine/code.rs", text);
            assert_eq!(names_of_the_root(&source).into_iter().collect::<Vec<_>>(), expected, "{text}");
        }
    }

    #[test]
    fn a_glob_of_the_crate_is_told_from_that_of_unit_tests() {
        let tests = "#[cfg(test)] mod tests { use super::*; }";
        assert_eq!(names_of_the_root(&source("engine.rs", tests)).len(), 0);
        assert_eq!(names_of_the_root(&source("engine.rs", "use super::*;")).len(), 1);
    }

    #[test]
    fn unit_tests_are_not_counted_as_length() {
        assert_eq!(lines_without_tests("a\nb\n\n#[cfg(test)]\nmod tests {\n}\n"), 3);
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests;\n"), 4);
    }

    #[test]
    fn layers_and_doors_are_read_from_paths() {
        assert_eq!(source("host/vm/start.rs", "").layer(), "host");
        assert_eq!(source("host.rs", "").layer(), "host");
        assert_eq!(source("host/vm/start.rs", "").depth(), 3);
        assert!(may_be_unsafe("abi/http_filter/body.rs") && may_be_unsafe("abi.rs"));
        assert!(!may_be_unsafe("engine.rs") && !may_be_unsafe("abide.rs"));
    }
}
