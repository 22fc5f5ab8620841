//! As much of Markdown as the pages use: headings, fenced code, tables, links and code spans.

use std::fs;
use std::path::{Path, PathBuf};

use crate::root;

/// A page, line by line, with what each line is.
pub struct Page {
    /// Relative to the repository.
    pub path: PathBuf,
    lines: Vec<Line>,
}

struct Line {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prose,
    /// A line of a fenced block.
    Code,
    /// The line that opens or closes one.
    Fence,
}

/// A fenced block.
pub struct Block {
    /// What stands behind the opening fence: `yaml quickstart`.
    pub info: String,
    pub text: String,
}

/// Every page of the repository that people read.
pub fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    for folder in [
        "",
        "docs",
        "docs/adr",
        "bazel",
        "examples/plugins",
        "examples/plugins/rust/ext-authz",
        "examples/plugins/rust/jwt-auth",
        "examples/plugins/rust/rate-limit",
        "examples/plugins/rust/telemetry-batcher",
        "examples/plugins/rust/telemetry-filter",
        "tests/plugins",
        "tests/plugins/rust/hostcalls",
    ] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of pages");
        for entry in entries {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                paths.push(path.strip_prefix(root()).expect("below the root").to_owned());
            }
        }
    }
    paths.sort();
    assert!(paths.len() > 15, "pages were found: {paths:?}");
    paths.iter().map(Page::read).collect()
}

impl Page {
    pub fn read(path: impl AsRef<Path>) -> Self {
        let text = crate::text(&path);
        let mut is_code = false;
        let lines = text
            .lines()
            .map(|line| {
                let is_fence = line.trim_start().starts_with("```");
                let kind = match (is_fence, is_code) {
                    (true, _) => Kind::Fence,
                    (false, true) => Kind::Code,
                    (false, false) => Kind::Prose,
                };
                is_code ^= is_fence;
                Line { text: line.to_owned(), kind }
            })
            .collect();
        assert!(!is_code, "{}: a block of code is not closed", path.as_ref().display());
        Self { path: path.as_ref().to_owned(), lines }
    }

    fn prose(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|line| line.kind == Kind::Prose).map(|line| line.text.as_str())
    }

    /// The anchors of the headings, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        self.prose()
            .filter_map(|line| {
                line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#'))
            })
            .map(anchor)
            .collect()
    }

    /// The section under a heading, up to the next heading of the same depth or above.
    pub fn section(&self, heading: &str) -> Self {
        let depth = |line: &Line| match line.kind {
            Kind::Prose => line.text.len() - line.text.trim_start_matches('#').len(),
            Kind::Code | Kind::Fence => 0,
        };
        let title = |line: &Line| line.text.trim_start_matches('#').trim().to_owned();
        let start = self
            .lines
            .iter()
            .position(|line| depth(line) > 0 && title(line) == heading)
            .unwrap_or_else(|| panic!("{} has no heading {heading:?}", self.path.display()));
        let level = depth(&self.lines[start]);
        let lines = self.lines[start + 1..]
            .iter()
            .take_while(|line| depth(line) == 0 || depth(line) > level)
            .map(|line| Line { text: line.text.clone(), kind: line.kind })
            .collect();
        Self { path: self.path.clone(), lines }
    }

    /// The rows of all tables, as cells, without their headings.
    pub fn rows(&self) -> Vec<Vec<String>> {
        let lines: Vec<&str> = self.prose().collect();
        let is_rule = |line: &str| line.starts_with("| ---");
        lines
            .iter()
            .enumerate()
            .filter(|(index, line)| {
                let is_heading = lines.get(index + 1).is_some_and(|next| is_rule(next));
                line.starts_with('|') && !is_rule(line) && !is_heading
            })
            .map(|(_, line)| cells(line))
            .collect()
    }

    /// The targets of links.
    pub fn links(&self) -> Vec<String> {
        let mut links = Vec::new();
        for line in self.prose() {
            let line = without_code(line);
            let mut rest = line.as_str();
            while let Some((_, after)) = rest.split_once("](") {
                let (target, after) = after.split_once(')').unwrap_or((after, ""));
                links.push(target.to_owned());
                rest = after;
            }
        }
        links
    }

    /// The code spans of the prose.
    pub fn spans(&self) -> Vec<String> {
        self.prose().flat_map(spans).collect()
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut is_open = false;
        for line in &self.lines {
            match line.kind {
                Kind::Fence if !is_open => {
                    let info = line.text.trim().trim_start_matches('`').to_owned();
                    blocks.push(Block { info, text: String::new() });
                    is_open = true;
                }
                Kind::Fence => is_open = false,
                Kind::Code => {
                    let block = blocks.last_mut().expect("an open block");
                    block.text.push_str(&line.text);
                    block.text.push('\n');
                }
                Kind::Prose => {}
            }
        }
        blocks
    }

    /// The block with this info.
    pub fn block(&self, info: &str) -> String {
        let block = self.blocks().into_iter().find(|block| block.info == info);
        block.unwrap_or_else(|| panic!("{} has no block ```{info}", self.path.display())).text
    }
}

/// The cells of a row. A bar within a code span divides nothing.
fn cells(row: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut is_code = false;
    for character in row.trim().trim_start_matches('|').trim_end_matches('|').chars() {
        is_code ^= character == '`';
        if character == '|' && !is_code {
            cells.push(String::new());
        } else {
            cells.last_mut().expect("a cell").push(character);
        }
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The code spans of a line.
pub fn spans(line: &str) -> Vec<String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// GitHub's anchor of a heading: lower case, hyphens for spaces, no punctuation.
fn anchor(heading: &str) -> String {
    let kept =
        heading.trim().chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.flat_map(char::to_lowercase)
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

#[test]
fn a_row_is_divided_at_bars_outside_of_code() {
    assert_eq!(cells("| `a | b` | c |  |"), ["`a | b`", "c", ""]);
    assert_eq!(spans("x `a` y `b|c`"), ["a", "b|c"]);
}

#[test]
fn a_heading_has_the_anchor_that_github_gives_it() {
    assert_eq!(anchor("Coming from `envoy.filters.http.wasm`"), "coming-from-envoyfiltershttpwasm");
    assert_eq!(anchor("Objects and who owns them"), "objects-and-who-owns-them");
}
